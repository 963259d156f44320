"""The PostgreSQL driver over real servers: copies are built, followed, promoted and repaired."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Sequence

import psycopg
import pytest

from standfast.adapters.postgresql.account import Done
from standfast.adapters.postgresql.building import Builder
from standfast.adapters.postgresql.server import postmaster
from standfast.ports.replication import Follower, Part, Replication
from standfast.ports.resource import Presence
from tests.integration.postgresql_bed import APP, PgNode, Writer, nodes

pytestmark = pytest.mark.root

DISK_BYTES, ROOM_BYTES = 256 << 20, 24 << 20


@pytest.fixture
async def pair() -> AsyncIterator[tuple[PgNode, PgNode]]:
    """A is active with an application's table; B has nothing and is tended."""
    async with nodes("a", "b") as (a, b):
        a.init()
        for node in (a, b):
            node.tend()
        await a.start()
        await a.until_invites()
        for statement in APP.split(";"):
            a.sql(statement)
        yield a, b


@pytest.fixture
async def following(pair: tuple[PgNode, PgNode]) -> tuple[PgNode, PgNode]:
    """B follows A."""
    a, b = pair
    a.lead(b)
    await b.until_follows()
    return a, b


def seen(replication: Replication, node: PgNode) -> Follower | None:
    uid = node.neighbour.uid
    return next((f for f in replication.followers if f.uid == uid), None)


async def in_sync(a: PgNode, b: PgNode) -> None:
    """Let A's writes wait for B, as the agent does before it proposes B."""
    a.driver.require(frozenset({b.neighbour.uid}))

    def holds(replication: Replication) -> bool:
        follower = seen(replication, b)
        return follower is not None and follower.holds_all

    await a.until(holds)


async def promoted(node: PgNode) -> float:
    """Starts a node that follows in the active role; seconds until a write is acknowledged."""
    async with await psycopg.AsyncConnection.connect(node.dsn, autocommit=True) as connection:
        began = time.monotonic()
        start = asyncio.create_task(node.start())
        while True:
            with contextlib.suppress(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("INSERT INTO written VALUES (-1)")
                took_s = time.monotonic() - began
                await start
                return took_s
            await asyncio.sleep(0.002)


def numbers(node: PgNode) -> list[int]:
    return [int(str(row[0])) for row in node.sql("SELECT number FROM written ORDER BY 1")]


async def test_a_copy_is_built_and_follows(following: tuple[PgNode, PgNode]) -> None:
    a, b = following
    a.sql("INSERT INTO written VALUES (1)")
    await b.until_follows()
    assert numbers(b) == [1]
    assert (await a.driver.probe()).presence is Presence.RUNNING
    assert (await b.driver.probe()).presence is Presence.STOPPED
    assert await b.driver.ready() == []
    assert b.value("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) LIMIT 1") == "f"
    encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_replication USING (pid)"
    assert a.value(encrypted) == "t"


async def test_no_acknowledged_write_is_lost_by_a_promotion(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    await in_sync(a, b)
    async with Writer(a.dsn) as writer:
        await writer.until_writes(200)
        a.power_off()
        await a.driver.kill()
    took_s = await promoted(b)
    print(f"promoted and written after {took_s * 1000:.0f} ms")
    found = numbers(b)
    assert set(writer.acknowledged) <= set(found)
    assert len(found) == len(set(found))


async def test_what_was_active_rejoins_by_a_rewind(following: tuple[PgNode, PgNode]) -> None:
    a, b = following
    await in_sync(a, b)
    await b.forget()
    b.power_off()
    async with Writer(a.dsn) as writer:
        await asyncio.sleep(0.3)  # written here, waiting for B, never acknowledged
        assert writer.acknowledged == []
        a.power_off()
        await a.driver.kill()
    b.make_driver()
    b.tend()
    await b.start()
    await b.until_invites()
    b.sql("INSERT INTO written VALUES (-1)")
    b.lead(a)
    await a.until_follows()
    assert numbers(a) == numbers(b) == [-1]
    assert "Rewind" in [note.kind for note in a.sink.notes]
    (saved,) = (a.root / "data.standfast").glob("diverged-*")
    assert (saved / "pg_control").exists()


async def test_after_a_clean_stop_nothing_needs_to_be_repaired(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    await in_sync(a, b)
    a.sql("INSERT INTO written VALUES (1)")
    await a.driver.stop(10_000)
    await b.start()
    await b.until_invites()
    b.lead(a)
    await a.until_follows()
    assert [note.kind for note in a.sink.notes if note.kind in {"Rewind", "BaseBackup"}] == []
    assert numbers(a) == [1]


async def test_writes_wait_for_an_absent_follower_until_it_is_given_up(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    await in_sync(a, b)
    async with Writer(a.dsn) as writer:
        await writer.until_writes(10)
        await b.forget()
        b.power_off()
        await asyncio.sleep(0.2)
        stuck = len(writer.acknowledged)
        await asyncio.sleep(0.5)
        assert len(writer.acknowledged) == stuck
        a.driver.require(frozenset())
        await writer.until_writes(10)


async def test_a_follower_that_comes_back_holds_all_only_after_it_caught_up(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    await b.forget()
    b.power_off()
    a.sql("INSERT INTO written SELECT generate_series(1, 1000)")
    a.driver.require(frozenset({b.neighbour.uid}))
    await asyncio.sleep(1)
    follower = seen(a.driver.replication(), b)
    assert follower is None or not follower.holds_all
    b.make_driver()
    b.tend()
    a.lead(b)
    await in_sync(a, b)
    assert len(numbers(b)) == 1000


async def test_a_server_that_dies_is_started_again_on_its_timeline(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    await in_sync(a, b)
    names = a.value("SHOW synchronous_standby_names")
    server = postmaster(a.data)
    assert server is not None
    a.power_off()
    await a.start(frozenset({b.neighbour.uid}))
    assert a.value("SHOW synchronous_standby_names") == names
    assert a.value("SELECT timeline_id FROM pg_control_checkpoint()") == "1"
    await in_sync(a, b)


async def test_a_restarted_agent_adopts_what_is_active(following: tuple[PgNode, PgNode]) -> None:
    a, b = following
    await in_sync(a, b)
    server = postmaster(a.data)
    async with Writer(a.dsn) as writer:
        await writer.until_writes(10)
        await a.restart_agent()
        await a.start(frozenset({b.neighbour.uid}))
        await writer.until_writes(10)
        await in_sync(a, b)
    assert postmaster(a.data) == server


async def test_a_restarted_agent_lets_a_standby_follow_on(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    server = postmaster(b.data)
    await b.restart_agent()
    await b.driver.kill()  # what every agent does that finds no lease
    assert postmaster(b.data) == server
    a.lead(b)
    await b.until_follows()
    assert postmaster(b.data) == server


async def test_a_restarted_agent_kills_what_was_told_to_promote(
    following: tuple[PgNode, PgNode],
) -> None:
    _, b = following
    await b.start()
    await b.restart_agent()
    await b.driver.kill()
    assert postmaster(b.data) is None


async def test_what_never_followed_does_not_become_active(pair: tuple[PgNode, PgNode]) -> None:
    _, b = pair
    b.init()
    (why,) = await b.driver.ready()
    assert "never followed" in why


async def test_a_foreign_database_is_not_replaced(pair: tuple[PgNode, PgNode]) -> None:
    a, b = pair
    b.init()
    command = b.driver._host.units
    await command.start("")
    await asyncio.sleep(0.5)
    b.sql("CREATE TABLE precious (n int)")
    await b.driver.stop(10_000)
    a.lead(b)
    await b.until(lambda r: "another database cluster" in r.message)
    assert ("pg", "CannotFollow") in b.sink.alerts
    assert not list(b.root.glob("data.standfast/aside-*"))


async def test_a_fresh_database_is_set_aside(pair: tuple[PgNode, PgNode]) -> None:
    a, b = pair
    b.init()
    system = (b.data / "global" / "pg_control").read_bytes()
    a.lead(b)
    await b.until_follows()
    (aside,) = b.root.glob("data.standfast/aside-*")
    assert (aside / "global" / "pg_control").read_bytes() == system


async def test_an_interrupted_rewind_ends_in_a_base_backup(
    following: tuple[PgNode, PgNode],
) -> None:
    a, b = following
    a.power_off()
    await a.driver.kill()
    await b.start()
    await b.until_invites()
    note = a.root / "data.standfast" / "note.json"
    note.write_text(note.read_text().replace('"building":""', '"building":"rewind"'))
    b.lead(a)
    await a.until_follows()
    assert "BaseBackup" in [note.kind for note in a.sink.notes]
    assert list(a.root.glob("data.standfast/aside-*"))


async def test_a_stray_promotion_is_reported_and_stopped(
    following: tuple[PgNode, PgNode],
) -> None:
    _, b = following
    events: asyncio.Queue[object] = asyncio.Queue()
    watch = asyncio.create_task(b.driver.watch(events.put_nowait))
    b.sql("SELECT pg_promote()")
    await asyncio.wait_for(events.get(), 10)
    assert (await b.driver.probe()).presence is Presence.RUNNING
    await b.driver.stop(10_000)
    assert (await b.driver.probe()).presence is Presence.STOPPED
    watch.cancel()


async def test_three_nodes_follow_whoever_is_active() -> None:
    async with nodes("a", "b", "c") as (a, b, c):
        a.init()
        for node in (a, b, c):
            node.tend()
        await a.start()
        await a.until_invites()
        for statement in APP.split(";"):
            a.sql(statement)
        a.lead(b, c)
        for node in (b, c):
            await node.until_follows()
        a.driver.require(frozenset({b.neighbour.uid, c.neighbour.uid}))
        async with Writer(a.dsn) as writer:
            await a.until(
                lambda r: len(r.followers) == 2 and all(f.holds_all for f in r.followers)
            )
            await writer.until_writes(100)
            a.power_off()
            await a.driver.kill()
        await b.start()
        await b.until_invites()
        b.lead(a, c)
        for node in (a, c):
            await node.until_follows()
            assert set(writer.acknowledged) <= set(numbers(node))
        assert b.driver.replication().part is Part.ACTIVE


async def test_a_promotion_in_the_middle_of_a_base_backup() -> None:
    """C is being copied from A when A dies: it is copied from B then, or goes on to follow it."""
    async with nodes("a", "b", "c") as (a, b, c):
        a.init()
        for node in (a, b, c):
            node.tend()
        await a.start()
        await a.until_invites()
        for statement in APP.split(";"):
            a.sql(statement)
        a.sql("CREATE TABLE ballast AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)")
        a.lead(b)
        await b.until_follows()
        await in_sync(a, b)
        a.sql("INSERT INTO written VALUES (1)")
        a.lead(b, c)
        await c.until(lambda r: r.part is Part.BUILDING)
        a.power_off()
        await a.driver.kill()
        await b.start()
        await b.until_invites()
        b.sql("INSERT INTO written VALUES (2)")
        b.lead(a, c)
        for node in (c, a):
            await node.until_follows()
            assert numbers(node) == [1, 2]


async def test_an_image_of_the_active_that_is_restored_is_copied_anew(
    following: tuple[PgNode, PgNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F20: its log ends before the other one went its own way, so nothing is to rewind.

    The first rewind does not reach the other one: the log was replayed for it, which is no clean
    stop.
    """
    refused = Done(1, "", "connection to server failed: FATAL: pg_hba.conf rejects connection")
    run, asked = Builder._long, list[str]()

    async def refused_once(self: Builder, argv: Sequence[str]) -> Done:
        asked.append(argv[0])
        return refused if len(asked) == 1 else await run(self, argv)

    monkeypatch.setattr(Builder, "_long", refused_once)
    a, b = following
    await in_sync(a, b)
    a.sql("INSERT INTO written VALUES (1)")
    a.driver.require(frozenset())
    with a.stunned():
        image = shutil.copytree(a.data, a.root / "image")
    await in_sync(a, b)
    a.sql("INSERT INTO written SELECT generate_series(2, 5000)")
    a.power_off()
    await a.driver.kill()
    shutil.rmtree(a.data)
    shutil.move(image, a.data)
    (a.data / "postmaster.pid").unlink()
    for path in (a.data, *a.data.rglob("*")):
        shutil.chown(path, "postgres", "postgres")
    await b.start()
    await b.until_invites()
    b.sql("INSERT INTO written VALUES (5001)")
    b.lead(a)
    await a.until_follows()
    assert numbers(a) == list(range(1, 5002))
    assert [name.rpartition("/")[2] for name in asked] == [*["pg_rewind"] * 2, "pg_basebackup"]
    assert "CopyMade" in [note.kind for note in a.sink.notes]


async def test_a_standby_whose_log_is_gone_is_copied_anew(
    following: tuple[PgNode, PgNode],
) -> None:
    """The slot that kept it was lost; ten seconds without anything are waited for first."""
    a, b = following
    await b.forget()
    b.power_off()
    a.driver.require(frozenset())
    await a.until(lambda r: not any(f.is_connected for f in r.followers))
    for number in range(4):
        a.sql(f"INSERT INTO written VALUES ({number})")
        a.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        a.sql("SELECT pg_switch_wal()")
        a.sql("CHECKPOINT")
    copies = [note.kind for note in b.sink.notes].count("CopyMade")
    await b.restart_agent()
    a.lead(b)
    await b.until_follows()
    assert [note.kind for note in b.sink.notes].count("CopyMade") == copies + 1
    assert numbers(b) == [0, 1, 2, 3]


async def test_settings_among_the_data_are_each_nodes_own_again_after_a_copy() -> None:
    """PGDG's layout: a base backup and a rewind bring along the other node's settings."""
    async with nodes("a", "b", all_in_one=True) as (a, b):
        a.init()
        for node in (a, b):
            node.tend()
        await a.start()
        await a.until_invites()
        for statement in APP.split(";"):
            a.sql(statement)
        a.lead(b)
        await b.until_follows()
        await in_sync(a, b)
        a.power_off()
        await a.driver.kill()
        await b.start()
        await b.until_invites()
        b.sql("INSERT INTO written VALUES (1)")
        b.lead(a)
        await a.until_follows()
        assert "Rewind" in [note.kind for note in a.sink.notes]
        await in_sync(b, a)
        await b.driver.stop(10_000)
        await a.start()
        assert numbers(a) == [1]
        conf = (a.data / "postgresql.conf").read_text()
        assert conf.count("include_if_exists = 'standfast.conf'") == 1


async def test_an_agent_that_dies_in_any_step_of_the_way_back(
    following: tuple[PgNode, PgNode],
) -> None:
    """Each time a little later: in the recovery, the rewind, the start, the first connection."""
    a, b = following
    await in_sync(a, b)
    for pause_s in (0.05, 0.2, 0.4, 0.6, 0.8, 1.0, 1.3):
        active, former = (a, b) if await is_active(a) else (b, a)
        active.sql("INSERT INTO written SELECT coalesce(max(number), 0) + 1 FROM written")
        await in_sync(active, former)
        before = numbers(active)
        active.power_off()
        await active.driver.kill()
        await former.start()
        await former.until_invites()
        former.sql("INSERT INTO written SELECT coalesce(max(number), 0) + 1 FROM written")
        former.lead(active)
        await asyncio.sleep(pause_s)
        await active.restart_agent()
        former.lead(active)
        await active.until_follows()
        assert numbers(active) == numbers(former)
        assert set(before) < set(numbers(active))


async def is_active(node: PgNode) -> bool:
    return (await node.driver.probe()).presence is Presence.RUNNING


async def test_a_connection_that_is_broken_again_and_again(
    following: tuple[PgNode, PgNode],
) -> None:
    """Senders and receivers are killed by name while a client writes: nothing is lost."""
    a, b = following
    await in_sync(a, b)
    async with Writer(a.dsn) as writer:
        for kind, node in (("walsender", a), ("walreceiver", b)) * 3:
            await writer.until_writes(20)
            pid = f"SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}' LIMIT 1"
            node.sql(f"SELECT pg_terminate_backend(({pid}))")
        await writer.until_writes(20)
    a.power_off()
    await a.driver.kill()
    await b.start()
    assert set(writer.acknowledged) <= set(numbers(b))


async def test_a_standby_with_a_full_disk_is_not_waited_for_and_comes_back_with_room() -> None:
    """F55."""
    async with nodes("a", "b", disks={"b": DISK_BYTES}) as (a, b):
        a.init()
        for node in (a, b):
            node.tend()
        await a.start()
        await a.until_invites()
        for statement in APP.split(";"):
            a.sql(statement)
        a.lead(b)
        await b.until_follows()
        await in_sync(a, b)
        ballast = b.root / "ballast"
        ballast.write_bytes(b"x" * (shutil.disk_usage(b.root).free - ROOM_BYTES))
        a.driver.require(frozenset())
        await a.until(lambda replication: "wait" not in replication.message)
        a.sql(f"SELECT pg_logical_emit_message(true, 'x', repeat('x', {2 * ROOM_BYTES}))")
        said = await b.driver.ready()
        assert any("is full" in sentence for sentence in said), said

        def is_behind(replication: Replication) -> bool:
            follower = seen(replication, b)
            return follower is None or not follower.is_connected or follower.lag_bytes > 0

        await a.until(is_behind)
        async with Writer(a.dsn) as writer:
            await writer.until_writes(20)
            assert is_behind(a.driver.replication())
            ballast.unlink()
            await in_sync(a, b)
            await writer.until_writes(20)
        await b.until_follows()
        assert set(writer.acknowledged) <= set(numbers(b))
