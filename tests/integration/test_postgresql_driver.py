"""The PostgreSQL driver keeps what the port promises, over a real server."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

import psycopg
import pytest

from standfast.adapters.drivers.postgresql import PostgresqlDriver
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.postgresql.plan import Running
from standfast.ports.replication import Place
from standfast.ports.resource import Health, Presence, Verdict
from tests.integration.postgresql_bed import CLUSTER, PgCtlUnits, PgNode, nodes
from tests.unit.adapters.contracts import DriverContract, Subject

pytestmark = pytest.mark.root


@pytest.fixture
async def node() -> AsyncIterator[PgNode]:
    """A database cluster as initdb makes it, on the node to begin with."""
    async with nodes("a") as (a,):
        a.init()
        a.driver.settle(Place(CLUSTER, a.neighbour, (), begins=True))
        yield a


def server_of(driver: PostgresqlDriver) -> object:
    return driver._instance.postmaster()


class TestPostgresqlDriver(DriverContract):
    """The contract of every driver."""

    @pytest.fixture
    def subject(self, node: PgNode) -> Subject:
        units = node.driver._host.units

        async def begin() -> None:
            assert await units.start("") == "done"
            while await node.driver._instance.running() is not Running.PRIMARY:
                pass

        async def end() -> None:
            node.power_off()

        return Subject(node.driver, BootClock(), end, begin)


async def test_a_hung_server_is_down(node: PgNode) -> None:
    """F03: the port is open and nobody answers."""
    await node.start()
    ours = "SELECT pid FROM pg_stat_activity WHERE application_name = 'standfast-agent'"
    pid = int(node.value(ours))
    os.kill(pid, signal.SIGSTOP)
    health = await node.driver.check()
    assert health.verdict is Verdict.DOWN
    os.kill(pid, signal.SIGCONT)
    assert (await node.driver.check()).verdict is Verdict.UP


async def test_a_crashed_backend_is_not_a_dead_server(node: PgNode) -> None:
    await node.start()
    server = server_of(node.driver)
    pid = int(node.value("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"))
    os.kill(pid, signal.SIGKILL)
    verdicts = []
    while verdicts[-2:] != [Verdict.UNKNOWN, Verdict.UP]:
        verdicts.append((await node.driver.check()).verdict)
    assert not {Verdict.DOWN, Verdict.GONE} & set(verdicts)
    assert server_of(node.driver) == server
    assert (await node.driver.probe()).presence is Presence.RUNNING


async def test_a_server_that_is_killed_before_its_unit_is_up_is_started_anew_at_once(
    node: PgNode,
) -> None:
    """Debian's unit waits for seconds for a server that is gone."""
    await node.start()
    node.power_off()
    units = node.driver._host.units
    assert isinstance(units, PgCtlUnits)
    units.waits = True
    async with asyncio.timeout(5):
        await node.start()
    assert not units.waits
    assert (await node.driver.check()).verdict is Verdict.UP


async def beating(node: PgNode, limit_ms: int) -> Health:
    """The active server of an agent that writes as well, after its first writes."""
    node.heartbeat_ms = limit_ms
    node.make_driver()
    node.driver.settle(Place(CLUSTER, node.neighbour, (), begins=True))
    await node.start()
    await until(node, Verdict.UP)
    while node.value("SELECT count(*) FROM pg_class WHERE relname = 'heartbeat'") != "1":
        await node.driver.check()
    return await until(node, Verdict.UP)


async def until(node: PgNode, verdict: Verdict) -> Health:
    async with asyncio.timeout(20):
        while True:
            health = await node.driver.check()
            if health.verdict is verdict:
                return health
            await asyncio.sleep(0.05)


async def test_a_database_that_answers_and_takes_no_write_is_down(node: PgNode) -> None:
    await beating(node, 40_000)
    assert node.value("SELECT node FROM standfast.heartbeat") == "a"
    node.sql("ALTER SYSTEM SET default_transaction_read_only = on")
    node.sql("SELECT pg_reload_conf()")
    health = await until(node, Verdict.DOWN)
    assert "takes no write" in health.message
    assert "cannot execute INSERT in a read-only transaction" in health.message
    node.sql("ALTER SYSTEM RESET ALL")
    node.sql("SELECT pg_reload_conf()")
    await until(node, Verdict.UP)


async def test_a_write_that_hangs_fails_the_check_after_its_limit_and_holds_nothing_up(
    node: PgNode,
) -> None:
    await beating(node, 1500)
    ours = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'standfast-agent' "
        "AND query LIKE '%heartbeat%'"
    )
    pid = int(node.value(ours))
    os.kill(pid, signal.SIGSTOP)
    health = await until(node, Verdict.DOWN)
    assert health.message == "a write has not come back for 1.5 s"
    os.kill(pid, signal.SIGCONT)
    await until(node, Verdict.UP)


async def test_clients_that_use_up_all_connections_do_not_fail_the_check(node: PgNode) -> None:
    await beating(node, 2000)
    node.sql("CREATE ROLE guest LOGIN")
    hba = node.settings / "pg_hba.conf"
    hba.write_text(f"host postgres guest 127.0.0.1/32 trust\n{hba.read_text()}")
    node.sql("SELECT pg_reload_conf()")
    guests = []
    dsn = f"host=127.0.0.1 port={node.port} dbname=postgres user=guest"
    try:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                guests.append(await psycopg.AsyncConnection.connect(dsn))
        assert len(guests) > 50
        before = node.value("SELECT at FROM standfast.heartbeat")
        async with asyncio.timeout(20):
            while node.value("SELECT at FROM standfast.heartbeat") == before:
                assert (await node.driver.check()).verdict is Verdict.UP
    finally:
        for guest in guests:
            await guest.close()
