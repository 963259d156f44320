"""The PostgreSQL driver keeps what the port promises, over a real server."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from standfast.adapters.drivers.postgresql import PostgresqlDriver
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.postgresql.plan import Running
from standfast.ports.replication import Place
from standfast.ports.resource import Presence, Verdict
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
    assert Verdict.DOWN not in verdicts
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
