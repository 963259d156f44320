"""What is done while active: writes wait for whom they must, and others can follow.

One pass looks at everything and does what is missing; it is called again and again. The order of
the first pass matters little: the application is served from the moment of the promotion on.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from standfast.adapters.postgresql import health
from standfast.adapters.postgresql.certificate import has_own_certificate, make_certificate
from standfast.adapters.postgresql.checkpointer import has_read_settings
from standfast.adapters.postgresql.invitation import Invitation
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.names import InForce, Names, read_names
from standfast.adapters.postgresql.plan import Running
from standfast.adapters.postgresql.role import ensure_role
from standfast.adapters.postgresql.session import Session
from standfast.adapters.postgresql.settings import Wanted, hba_block, slot_name, written
from standfast.errors import TransientError
from standfast.ports.events import Alert
from standfast.ports.replication import Follower, Part, Place, Replication

UPKEEP_MS = 5000
CHECKPOINT_S = 3600.0
RELOAD_AGAIN_MS = 1000
RELOADED_LOOK_S = 0.01

_LOOK = """
SELECT json_build_object(
  'position', (CASE WHEN pg_is_in_recovery() THEN '0/0'::pg_lsn
               ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn)::bigint,
  'isActive', NOT pg_is_in_recovery(),
  'names', current_setting('synchronous_standby_names'),
  'followers', (SELECT coalesce(json_agg(json_build_object(
      'name', application_name, 'state', state, 'priority', sync_priority,
      'position', (coalesce(flush_lsn, '0/0') - '0/0'::pg_lsn)::bigint)), '[]')
    FROM pg_stat_replication WHERE usename = 'standfast'),
  'kept', (SELECT coalesce(json_object_agg(slot_name,
      (restart_lsn - '0/0'::pg_lsn)::bigint), '{}') FROM pg_replication_slots
    WHERE NOT active AND restart_lsn IS NOT NULL
    AND slot_name LIKE 'standfast!_%' ESCAPE '!'))"""
_UPKEEP = """
SELECT json_build_object(
  'ssl', current_setting('ssl')::bool,
  'segment', pg_walfile_name(pg_current_wal_lsn()),
  'checkpointed', (SELECT timeline_id FROM pg_control_checkpoint()),
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'oldest', (SELECT coalesce(min(name), '') FROM pg_ls_waldir()
             WHERE name ~ '^[0-9A-F]{24}$'),
  'segmentBytes', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
  'archiveFailed', (SELECT coalesce(last_failed_wal, '') FROM pg_stat_archiver
                    WHERE last_failed_time > coalesce(last_archived_time, '-infinity')),
  'clients', (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
  'connections', (SELECT setting::int FROM pg_settings WHERE name = 'max_connections'),
  'sizeBytes', (SELECT sum(pg_database_size(oid))::bigint FROM pg_database),
  'slots', (SELECT coalesce(json_agg(json_build_object(
      'name', slot_name, 'status', coalesce(wal_status, ''), 'active', active)), '[]')
    FROM pg_replication_slots WHERE slot_name LIKE 'standfast!_%' ESCAPE '!'))"""

_UNREAD = """
SELECT current_setting('wal_retrieve_retry_interval') <> '250ms'"""
_PENDING = """
SELECT count(*) > 0 FROM pg_settings WHERE pending_restart
AND name IN ('listen_addresses', 'wal_log_hints', 'hot_standby')"""


class Row(msgspec.Struct, frozen=True):
    """A walsender that serves our role."""

    name: str
    state: str
    priority: int
    position: int


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """What one pass sees.

    Attributes:
        kept: Slot that nobody uses -> from where on the log is kept for it.
    """

    position: int
    is_active: bool
    names: str
    followers: tuple[Row, ...]
    kept: Mapping[str, int]


class Slot(msgspec.Struct, frozen=True):
    """A replication slot of ours."""

    name: str
    status: str
    active: bool


class Upkeep(msgspec.Struct, frozen=True, rename="camel"):
    """What is looked at now and then."""

    ssl: bool
    segment: str
    checkpointed: int
    system: str
    oldest: str
    segment_bytes: int
    archive_failed: str | None
    clients: int
    connections: int
    size_bytes: int
    slots: tuple[Slot, ...]

    @property
    def timeline(self) -> int:
        return int(self.segment[:8], 16)

    @property
    def oldest_position(self) -> int:
        """Where the oldest file of the log begins."""
        if not self.oldest:
            return 0
        per_log = (1 << 32) // self.segment_bytes
        number = int(self.oldest[8:16], 16) * per_log + int(self.oldest[16:], 16)
        return number * self.segment_bytes


_CONNECTED = frozenset({"streaming", "catchup"})


def _newest(rows: Iterable[Row]) -> Iterable[Row]:
    """One row for each follower: after a broken connection the old one is still listed."""
    best: dict[str, Row] = {}
    for row in rows:
        known = best.get(row.name)
        if known is None or (row.state in _CONNECTED, row.position) > (
            known.state in _CONNECTED,
            known.position,
        ):
            best[row.name] = row
    return best.values()


@dataclass(frozen=True, slots=True)
class State:
    """What passes leave for others to read."""

    replication: Replication
    invitation: bytes = b""
    alerts: tuple[Alert, ...] = ()


class Leading:
    """The passes of one tenure."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._instance = kit.instance
        self._clock = kit.clock
        self._in_force = InForce()
        self._reloaded_ms = 0
        self._upkept_ms = 0
        self._invitation = b""
        self._checkpoint: asyncio.Task[None] | None = None
        self._mismatched_ms: int | None = None
        self._alerts: tuple[Alert, ...] = ()
        self.required: frozenset[str] = frozenset()

    async def prepare(self, running: Running) -> bool:
        """Before the first write: the settings on disk wait for all that are required.

        A standby's wait for nobody, which is right for a first record; then nothing is written,
        and nothing delays the promotion: the first pass writes the rest.

        Returns:
            Whether a running server has to be started anew to take what others need to follow.
        """
        path = self._instance.places.included
        rows = written(path.read_text() if path.exists() else "")
        before = read_names(rows.get("synchronous_standby_names", ""))
        is_same = before.members == self.required
        self._in_force = InForce(before if is_same else before.next(self.required))
        if is_same and running is Running.STANDBY:
            return False
        changed = await self._write()
        if changed:
            await self._instance.reload()
        return changed and running is Running.PRIMARY and await self._waits_for_restart()

    async def _waits_for_restart(self) -> bool:
        """Whether the running server has read the settings, and takes some only when started."""
        session = self._instance.session()
        while True:
            if await session.rows(_UNREAD) == ["f"]:
                return await session.rows(_PENDING) == ["t"]
            await asyncio.sleep(RELOADED_LOOK_S)

    @property
    def names(self) -> Names:
        """For whom writes are to wait, as last written."""
        return self._in_force.names

    # ---------------------------------------------------------------- passes

    async def look(self, place: Place) -> State:
        """One pass.

        Raises:
            TransientError: The server does not answer, or is not active.
        """
        session = self._instance.session()
        seen = await session.one(_LOOK, Look)
        if not seen.is_active:
            raise TransientError("the server does not accept writes")
        await self._apply_names(session, seen)
        now_ms = self._clock.now_ms()
        if not self._upkept_ms or now_ms - self._upkept_ms >= UPKEEP_MS:
            await self._keep_up(session, place, seen)
            self._upkept_ms = now_ms
        return State(self._replication(place, seen), self._invitation, self._alerts)

    def _replication(self, place: Place, seen: Look) -> Replication:
        followers = tuple(
            Follower(
                uid=row.name,
                position=row.position,
                lag_bytes=max(0, seen.position - row.position),
                is_connected=row.state in _CONNECTED,
                holds_all=self._holds_all(row),
            )
            for row in _newest(seen.followers)
        )
        count = sum(follower.is_connected for follower in followers)
        waits = f", writes wait for {len(self.names.members)}" if self.names.members else ""
        message = f"active, {count} following{waits}"
        absent = tuple(
            (other.uid, max(0, seen.position - seen.kept[slot]))
            for other in place.others
            if (slot := slot_name(other.uid)) in seen.kept
        )
        return Replication(
            Part.ACTIVE, message, position=seen.position, followers=followers, absent=absent
        )

    def _holds_all(self, row: Row) -> bool:
        since = self._in_force.since
        return since is not None and row.name in self.names.members and row.position >= since

    # ---------------------------------------------------------------- for whom writes wait

    async def _apply_names(self, session: Session, seen: Look) -> None:
        if self.names.members != self.required:
            self._in_force = InForce(self.names.next(self.required))
            await self._write()
            await self._reload()
        elif seen.names != self.names.text:
            self._mismatched_ms = self._mismatched_ms or self._clock.now_ms()
            if self._clock.now_ms() - self._reloaded_ms >= RELOAD_AGAIN_MS:
                await self._write()
                await self._reload()
        elif self._in_force.since is None and await self._is_in_force(session, seen.followers):
            again = await session.one(_LOOK, Look)
            self._in_force = InForce(self.names, again.position)

    async def _is_in_force(self, session: Session, followers: Iterable[Row]) -> bool:
        """Whether every process of the server goes by this issue."""
        priorities = self.names.priorities
        if any(priorities.get(row.name, 0) != row.priority for row in followers):
            return False
        server = self._instance.postmaster()
        if server is None:
            return False
        later = self._instance.fresh_session(server)
        try:
            shown = await later.rows("SHOW synchronous_standby_names")
        finally:
            await later.close()
        return list(shown) == [self.names.text] and await has_read_settings(session)

    async def _write(self) -> bool:
        places = self._instance.places
        own = str(places.own) if has_own_certificate(places) else ""
        wanted = Wanted(
            self._kit.resource,
            places.version,
            names=self.names.text,
            own_certificate=own,
        )
        return await self._instance.write_settings(wanted)

    async def _reload(self) -> None:
        await self._instance.reload()
        self._reloaded_ms = self._clock.now_ms()

    # ---------------------------------------------------------------- so that others can follow

    async def _keep_up(self, session: Session, place: Place, seen: Look) -> None:
        upkeep = await session.one(_UPKEEP, Upkeep)
        self._alerts = self._judge(upkeep, seen)
        hosts = [host for other in place.others for host in other.hosts]
        places, account = self._instance.places, self._instance.account
        if not upkeep.ssl and not has_own_certificate(places):
            await make_certificate(places, account, place.me.name)
        changed = await self._write()
        changed |= await self._instance.write_hba(hba_block(hosts))
        if changed:
            await self._reload()
        password = await ensure_role(session, self._kit.passwords)
        await self._keep_slots(session, place, upkeep.slots)
        is_rewindable = upkeep.checkpointed == upkeep.timeline
        connected = {row.name for row in seen.followers}
        if not is_rewindable and any(other.uid not in connected for other in place.others):
            self._begin_checkpoint()
        server = self._instance.postmaster()
        history = self._instance.history(upkeep.timeline)
        if server is not None:
            self._invitation = Invitation(
                system=upkeep.system,
                version=self._instance.places.version,
                timeline=upkeep.timeline,
                past=tuple((branch.timeline, branch.end) for branch in history.past),
                port=server.port,
                password=password,
                is_rewindable=is_rewindable,
                oldest=upkeep.oldest_position,
                size_bytes=upkeep.size_bytes,
            ).encode()

    def _judge(self, upkeep: Upkeep, seen: Look) -> tuple[Alert, ...]:
        """What a person should know."""
        found = health.disk_alerts(health.rooms(self._instance.places.data))
        if upkeep.archive_failed:
            found.append(health.archive_alert(upkeep.archive_failed))
        clients = health.clients_alert(upkeep.clients, upkeep.connections)
        if clients is not None:
            found.append(clients)
        if seen.names == self.names.text:
            self._mismatched_ms = None
        since_ms = self._mismatched_ms
        if since_ms is not None and self._clock.now_ms() - since_ms >= UPKEEP_MS:
            setting = "synchronous_standby_names"
            found.append(health.overridden_alert(setting, self.names.text, seen.names))
        return tuple(found)

    async def _keep_slots(self, session: Session, place: Place, slots: tuple[Slot, ...]) -> None:
        """One for each other node; one that lost what it kept is made anew."""
        wanted = {slot_name(other.uid) for other in place.others}
        good = {slot.name for slot in slots if slot.status != "lost"}
        for slot in slots:
            if not slot.active and slot.name not in wanted & good:
                await session.do(f"SELECT pg_drop_replication_slot('{slot.name}')")
        for name in sorted(wanted - good):
            await session.do(f"SELECT pg_create_physical_replication_slot('{name}', true)")

    def _begin_checkpoint(self) -> None:
        if self._checkpoint is None or self._checkpoint.done():
            self._checkpoint = asyncio.create_task(self.checkpoint())

    async def checkpoint(self) -> None:
        """Write everything to the data files; never raises.

        pg_rewind can read from a server only behind the first checkpoint of its timeline; and a
        stop is quick when little has changed since the last one.
        """
        server = self._instance.postmaster()
        if server is None:
            return
        session = self._instance.fresh_session(server)
        try:
            await session.do("CHECKPOINT", CHECKPOINT_S)
            self._upkept_ms = 0
        except TransientError:
            return  # the next upkeep tries again
        finally:
            await session.close()

    async def close(self) -> None:
        """End what is under way."""
        if self._checkpoint is not None:
            self._checkpoint.cancel()
            await asyncio.wait({self._checkpoint})
