"""What is done while not active: see what is there, take the next step of `plan`, again and again.

A pass is cancelled when the node becomes active or everything is stopped; each step can be broken
off anywhere and is found again by the next pass.
"""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace

from standfast.adapters.postgresql.building import Builder
from standfast.adapters.postgresql.certificate import make_certificate
from standfast.adapters.postgresql.control import Control
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.note import Note
from standfast.adapters.postgresql.observing import Look, Observer
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
    is_part,
    next_step,
)
from standfast.adapters.postgresql.settings import SLOT_PREFIX, hba_block
from standfast.adapters.postgresql.target import Target, target_of
from standfast.adapters.postgresql.wal import History
from standfast.errors import UserError
from standfast.ports.replication import Leader, Part, Place, Replication

STOP_MS = 30_000
START_S = 5.0
"""How long a pass waits for a standby to take connections; one that takes longer goes on alone."""

_PARTS = {
    Running.STANDBY: Part.STANDBY,
    Running.NO: Part.DOWN,
    Running.PRIMARY: Part.UNKNOWN,
    Running.UNKNOWN: Part.UNKNOWN,
}


class Following:
    """The passes on this node.

    Args:
        kit: The copy.
        news: Told when `replication` changed within a long step.
    """

    def __init__(self, kit: Kit, news: Callable[[], None]) -> None:
        self._kit = kit
        self._instance = kit.instance
        self._news = news
        self._places = kit.instance.places
        account = kit.instance.account
        self._builder = Builder(self._places, account, kit.notes, self._progress)
        self._observer = Observer(kit, self._builder)
        self._beyond: History | None = None
        self._behind: History | None = None
        self._is_loaded = False
        self._kin: tuple[str, int, History] | None = None
        self.replication = Replication(Part.UNKNOWN, "not looked at yet")
        self.refusal: Refuse | None = None

    async def look(self, place: Place, leader: Leader | None) -> None:
        """One pass: what is there, and the next step.

        Raises:
            StandfastError: A step did not work; the next pass looks again.
        """
        target = target_of(self._kit, place, leader)
        copy, look = await self._observer.see(target, is_loaded=self._is_loaded)
        copy = replace(copy, beyond=self._beyond, behind=self._behind)
        name = "" if leader is None else leader.node.name
        is_counted = leader is not None and leader.counts_on_me
        invitation = None if target is None else target.invitation
        step = next_step(copy, name, invitation, is_counted=is_counted)
        self.refusal = step if isinstance(step, Refuse) else None
        is_of_leader = self._is_of_leader(copy, leader, target)
        self.replication = replace(shown(copy, look, step), is_of_leader=is_of_leader)
        if target is not None:
            if look is not None and not look.ssl and isinstance(step, Configure):
                await make_certificate(self._places, self._instance.account, place.me.name)
            await self._take(place, target, copy, step)
            if isinstance(step, Stay) and look is not None and look.is_streaming:
                await self._settled(place, copy, look)

    def _progress(self, percent: int | None) -> None:
        if percent != self.replication.percent:
            self.replication = replace(self.replication, percent=percent)
            self._news()

    def _is_of_leader(self, copy: Copy, leader: Leader | None, target: Target | None) -> bool:
        """Whether all that this copy has is the leader's; once seen, true while neither changes.

        A number alone says nothing: a copy that went another way may well have more.
        """
        if leader is None or copy.history is None or copy.running is Running.PRIMARY:
            self._kin = None
            return False
        mine = (leader.node.uid, leader.term, copy.history)
        if target is not None:
            self._kin = mine if is_part(copy, target.invitation) else None
        return self._kin == mine

    # ---------------------------------------------------------------- doing

    async def _take(self, place: Place, target: Target, copy: Copy, step: Step) -> None:
        match step:
            case Stay() | Refuse():
                return
            case Configure():
                await self._configure(place, target)
                await self._instance.reload()
                self._is_loaded = True
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
        self._is_loaded = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._instance.launch()

    async def _configure(self, place: Place, target: Target) -> None:
        instance = self._instance
        await self._kit.passwords.write(target.invitation.password)
        hosts = [host for other in place.others for host in other.hosts]
        await instance.write_hba(hba_block(hosts))
        await instance.write_settings(target.wanted(self._kit))

    async def _build(
        self, place: Place, target: Target, copy: Copy, step: Rewind | BaseBackup
    ) -> None:
        await self._kit.passwords.write(target.invitation.password)
        began_ms = self._kit.clock.now_ms()
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
        took_ms = self._kit.clock.now_ms() - began_ms
        self._kit.note("CopyMade", "The copy can follow", took_ms=took_ms, saved=saved)

    async def _settled(self, place: Place, copy: Copy, look: Look) -> None:
        """It follows: from now on it belongs to the cluster, and keeps no log for others."""
        assert copy.control is not None, "it runs"
        await self._kit.notes.write(Note(cluster=place.cluster, system=copy.control.system))
        for slot in look.slots:
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


def shown(copy: Copy, look: Look | None, step: Step) -> Replication:
    """How the copy does, for people and for the agent."""
    part = Part.STANDBY if copy.is_starting else _PARTS[copy.running]
    if isinstance(step, Rewind | BaseBackup):
        part = Part.BUILDING
    if look is None:
        return Replication(part, step.message, position=copy.position or None)
    lag = None if look.latest is None else max(0, look.latest - look.reach)
    lag_ms = None if look.age_ms is None else max(0, look.age_ms)
    return Replication(part, step.message, look.reach, lag, 0 if lag == 0 else lag_ms)


def _rewound(copy: Copy) -> tuple[History, Control]:
    if copy.history is None or copy.control is None:
        raise UserError("there are no data to rewind")
    return copy.history, copy.control
