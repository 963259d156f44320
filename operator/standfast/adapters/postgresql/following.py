"""What is done while not active: see what is there, take the next step of `plan`, again and again.

A pass is cancelled when the node becomes active or everything is stopped; each step can be broken
off anywhere and is found again by the next pass.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from standfast.adapters.postgresql.building import Builder, Source
from standfast.adapters.postgresql.certificate import has_own_certificate
from standfast.adapters.postgresql.control import Control
from standfast.adapters.postgresql.invitation import Invitation, read_invitation
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.note import Note
from standfast.adapters.postgresql.plan import (
    BaseBackup,
    Configure,
    Copy,
    Refuse,
    Rewind,
    Running,
    StartStandby,
    Stay,
    Step,
    StopServer,
    Why,
    next_step,
)
from standfast.adapters.postgresql.server import replayed_timeline
from standfast.adapters.postgresql.settings import (
    SLOT_PREFIX,
    Wanted,
    conninfo,
    following,
    hba_block,
    slot_name,
    written,
)
from standfast.adapters.postgresql.wal import History
from standfast.errors import UserError
from standfast.ports.replication import Leader, Part, Place, Replication

STOP_MS = 30_000
COPYING = "standfast-copy"
"""Application name of a base backup: its stream confirms what it got, and must not count."""

_LOOK = """
SELECT json_build_object(
  'received', (coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0'::pg_lsn)::bigint,
  'replayed', (coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn)::bigint,
  'ageMs', (1000 * extract(epoch FROM now() - pg_last_xact_replay_timestamp()))::bigint,
  'conninfo', current_setting('primary_conninfo'),
  'slot', current_setting('primary_slot_name'),
  'status', coalesce((SELECT status FROM pg_stat_wal_receiver), ''),
  'latest', (SELECT (latest_end_lsn - '0/0'::pg_lsn)::bigint FROM pg_stat_wal_receiver),
  'timeline', coalesce((SELECT received_tli FROM pg_stat_wal_receiver), 0),
  'slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots
            WHERE NOT active AND slot_name LIKE 'standfast!_%' ESCAPE '!'))"""


class Look(msgspec.Struct, frozen=True, rename="camel"):
    """A running standby."""

    received: int
    replayed: int
    age_ms: int | None
    conninfo: str
    slot: str
    status: str
    latest: int | None
    timeline: int
    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to follow, and how."""

    name: str
    invitation: Invitation
    conninfo: str
    slot: str
    source: Source


class Following:
    """The passes on this node.

    Args:
        kit: The copy.
        news: Told when `replication` changed within a long step.
    """

    def __init__(self, kit: Kit, news: Callable[[], None]) -> None:
        self._kit = kit
        self._instance = kit.instance
        self._clock = kit.clock
        self._news = news
        self._builder = Builder(
            kit.instance.places, kit.instance.account, kit.notes, self._progress
        )
        self._beyond: History | None = None
        self._behind: History | None = None
        self._moved: tuple[int, int] = (0, 0)  # position, since when
        self._is_reloaded = False
        self.replication = Replication(Part.UNKNOWN, "not looked at yet")
        self.refusal: Refuse | None = None

    async def look(self, place: Place, leader: Leader | None) -> None:
        """One pass: what is there, and the next step.

        Raises:
            StandfastError: A step did not work; the next pass looks again.
        """
        target = self._target(place, leader)
        copy, seen = await self._see(target)
        name = "" if leader is None else leader.node.name
        step = next_step(copy, name, None if target is None else target.invitation)
        self.refusal = step if isinstance(step, Refuse) else None
        self.replication = self._shown(copy, seen, step)
        if target is not None:
            await self._take(place, target, copy, step)
            if isinstance(step, Stay) and copy.is_streaming:
                await self._settled(place, copy, seen)

    # ---------------------------------------------------------------- seeing

    def _target(self, place: Place, leader: Leader | None) -> Target | None:
        invitation = None if leader is None else read_invitation(leader.invitation)
        if leader is None or invitation is None:
            return None
        fields = following(
            leader.node.hosts, invitation.port, str(self._kit.passwords.path), place.me.uid
        )
        slot = slot_name(place.me.uid)
        history, size = invitation.history, invitation.size_bytes
        copying = {**fields, "application_name": COPYING}
        source = Source(leader.node.name, copying, slot, history, size)
        return Target(leader.node.name, invitation, conninfo(fields), slot, source)

    async def _see(self, target: Target | None) -> tuple[Copy, Look | None]:
        instance = self._instance
        running = await instance.running()
        control = await instance.control()
        seen: Look | None = None
        if running is Running.STANDBY:
            seen = await instance.session().one(_LOOK, Look)
        copy = Copy(
            running=running,
            version=instance.places.version,
            control=control,
            history=None,
            building=self._kit.notes.read().building,
            is_made=(instance.places.data / "backup_label").exists(),
            beyond=self._beyond,
            behind=self._behind,
        )
        if control is None:
            return copy, seen
        timeline = max(control.timeline, await self._timeline(seen))
        position = control.reach if seen is None else max(seen.received, seen.replayed)
        copy = replace(copy, history=instance.history(timeline), position=position)
        if target is not None and control.system != target.invitation.system:
            copy = replace(copy, is_fresh=self._builder.is_fresh())
        if seen is not None:
            copy = replace(
                copy,
                is_configured=self._is_configured(target, seen),
                is_streaming=seen.status == "streaming",
                stalled_ms=self._stalled_ms(position),
            )
        return copy, seen

    async def _timeline(self, seen: Look | None) -> int:
        """The timeline that a running standby is on; 0 when its files are all that is known."""
        if seen is None:
            return 0
        if seen.timeline:
            return seen.timeline
        return await asyncio.to_thread(replayed_timeline, self._instance.places.data)

    def _is_configured(self, target: Target | None, seen: Look) -> bool:
        if target is None or not self._is_reloaded:
            return False
        return (seen.conninfo, seen.slot) == (target.conninfo, target.slot)

    def _stalled_ms(self, position: int) -> int:
        now_ms = self._clock.now_ms()
        if position != self._moved[0]:
            self._moved = (position, now_ms)
        return now_ms - self._moved[1]

    def _shown(self, copy: Copy, seen: Look | None, step: Step) -> Replication:
        match copy.running:
            case Running.STANDBY:
                part = Part.STANDBY
            case Running.NO:
                part = Part.DOWN
            case _:
                part = Part.UNKNOWN
        if isinstance(step, Rewind | BaseBackup):
            part = Part.BUILDING
        if seen is None:
            return Replication(part, step.message, position=copy.position or None)
        reach = max(seen.received, seen.replayed)
        lag = None if seen.latest is None else max(0, seen.latest - reach)
        lag_ms = None if seen.age_ms is None else max(0, seen.age_ms)
        return Replication(part, step.message, reach, lag, 0 if lag == 0 else lag_ms)

    def _progress(self, percent: int | None) -> None:
        if percent != self.replication.percent:
            self.replication = replace(self.replication, percent=percent)
            self._news()

    # ---------------------------------------------------------------- doing

    async def _take(self, place: Place, target: Target, copy: Copy, step: Step) -> None:
        match step:
            case Stay() | Refuse():
                return
            case Configure():
                await self._configure(place, target)
                await self._instance.reload()
                self._is_reloaded = True
            case StopServer(message, why):
                self._kit.note("StandbyStopping", "Stopping the standby", reason=message)
                self._remember(why, target.invitation.history)
                await self._instance.halt(STOP_MS)
            case StartStandby(message):
                await self._start(place, target, message)
            case Rewind() | BaseBackup():
                self._news()
                await self._build(place, target, copy, step)

    async def _start(self, place: Place, target: Target, message: str) -> None:
        """The signal file first: without it the settings would let it write and wait for none."""
        self._kit.note("StandbyStarting", "Starting the standby", reason=message)
        path = str(self._instance.places.signal)
        await self._instance.account.shell(': > "$1"; sync "$1"', path)
        await self._configure(place, target)
        await self._instance.launch()
        self._is_reloaded = True
        self._moved = (0, self._clock.now_ms())

    async def _configure(self, place: Place, target: Target) -> None:
        await self._kit.passwords.write(target.invitation.password)
        instance = self._instance
        hosts = [host for other in place.others for host in other.hosts]
        await instance.write_hba(hba_block(hosts))
        included = instance.places.included
        before = written(included.read_text() if included.exists() else "")
        wanted = Wanted(
            self._kit.resource,
            instance.places.version,
            conninfo=target.conninfo,
            slot=target.slot,
            own_certificate=str(instance.places.own)
            if has_own_certificate(instance.places, before)
            else "",
        )
        await instance.write_settings(wanted)

    async def _build(
        self, place: Place, target: Target, copy: Copy, step: Rewind | BaseBackup
    ) -> None:
        await self._kit.passwords.write(target.invitation.password)
        began_ms = self._clock.now_ms()
        belongs = Note(cluster=place.cluster, system=target.invitation.system)
        if isinstance(step, BaseBackup):
            self._kit.note("BaseBackup", "Copying the active node's data", reason=step.message)
            saved = await self._builder.base_backup(target.source, belongs)
        else:
            self._kit.note(
                "Rewind", "Cutting off what this copy has of its own", reason=step.message
            )
            history, control = _rewound(copy)
            saved = await self._builder.rewind(target.source, history, control)
        self._beyond = self._behind = None
        took_ms = self._clock.now_ms() - began_ms
        self._kit.note("CopyMade", "The copy can follow", took_ms=took_ms, saved=saved)

    async def _settled(self, place: Place, copy: Copy, seen: Look | None) -> None:
        """It follows: from now on it belongs to the cluster, and keeps no log for others."""
        assert copy.control is not None, "it runs"
        await self._kit.notes.write(Note(cluster=place.cluster, system=copy.control.system))
        for slot in () if seen is None else seen.slots:
            if slot.startswith(SLOT_PREFIX):
                await self._instance.session().do(f"SELECT pg_drop_replication_slot('{slot}')")

    def _remember(self, why: Why, history: History) -> None:
        match why:
            case Why.NOTHING:
                pass
            case Why.BEYOND:
                self._beyond = history
            case Why.BEHIND:
                self._behind = history


def _rewound(copy: Copy) -> tuple[History, Control]:
    if copy.history is None or copy.control is None:
        raise UserError("there are no data to rewind")
    return copy.history, copy.control
