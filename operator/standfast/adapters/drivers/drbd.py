"""A DRBD device with a copy on every node, as a resource: driver and `Replica` of one device.

Its parts are in `adapters.drbd`. Active means primary, and only a start makes it so, under the
lease. While the other copy is lost DRBD holds all writes and asks (`fence-peer`) whether this one
may go on alone: the answer is yes when neither the committed record nor a proposal counts the
other node as in sync, so no acknowledged write is ever on one copy only that the record does not
name. An emergency takes the disk away from under held writes: they fail, they do not go through.
"""

import asyncio
import contextlib
from collections.abc import Callable

from standfast.adapters.disks.clearing import Clearing
from standfast.adapters.drbd import plan, reading
from standfast.adapters.drbd.asking import Counter, Reply
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.invitation import Note, read_invitation
from standfast.adapters.drbd.keeping import Keeping
from standfast.adapters.drbd.plan import Answer, Begin, Do, Stage
from standfast.adapters.drbd.reading import Seen
from standfast.adapters.drbd.telling import alerts_of, of_active, of_standby
from standfast.adapters.drivers.alarms import Alarms
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.passes import Passes
from standfast.adapters.drivers.tenure import Tenure
from standfast.adapters.linux.programs import Programs
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.events import Alert
from standfast.ports.replication import Leader, Part, Place, Replication
from standfast.ports.resource import (
    Change,
    Health,
    Knobs,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)

LEADING_S = 0.25
FOLLOWING_S = 0.5
PATIENCE = 3
"""So many passes in a row must fail before a person is told."""
WATCH_S = 0.5
AGAIN_S = 0.05
CLEARING_S = 1.0
"""Whoever uses the device is ended in rounds of this: writes may become held meanwhile."""
UPKEEP_MS = 2000
TROUBLE = "ReplicationTrouble"
_NONE = frozenset[str]()


class DrbdDriver:
    """One device on this node."""

    def __init__(self, config: DrbdConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._keeping = Keeping(config, host.clock, host.sink)
        self._drbd = self._keeping.drbd
        self._clearing = Clearing(Programs())
        self._tenure = Tenure(config.name)
        self._passes = Passes(self._look)
        self._counter = Counter(config.socket, self._asked)
        self._alarms = Alarms(host.sink, config.name)
        self._trouble = Alarms(host.sink, config.name)
        self._place: Place | None = None
        self._leader: Leader | None = None
        self._required: frozenset[str] | None = None
        self._stage = Stage.NONE
        self._replication = Replication(Part.UNKNOWN, "not looked at yet")
        self._invitation = b""
        self._upkept_ms: int | None = None
        self._questions = 0  # ever asked
        self._open_questions = 0
        self._wants_verify = False
        self._moved = asyncio.Event()
        self._news: Callable[[], None] = _nothing

    @property
    def name(self) -> str:
        return self._config.name

    # ---------------------------------------------------------------- what the agent tells

    def settle(self, place: Place) -> None:
        self._place = place
        self._passes.wake()

    def follow(self, leader: Leader | None) -> None:
        if leader != self._leader:
            self._leader = leader
            self._passes.wake()

    def require(self, members: frozenset[str]) -> None:
        if members != self._required:
            self._required = members
            self._moved.set()
            self._passes.wake()

    def tune(self, knobs: Knobs) -> None:
        self._keeping.tune(self._config.tuned(knobs))
        self._upkept_ms = None
        self._passes.wake()

    async def prepare(self) -> None:
        """A secondary is demoted in no time."""

    def invitation(self) -> bytes:
        return self._invitation if self._stage is Stage.ACTIVE else b""

    def replication(self) -> Replication:
        return self._replication

    # ---------------------------------------------------------------- looks

    async def probe(self) -> ResourceState:
        try:
            seen = await self._drbd.seen()
        except UserError as error:  # no DRBD in this kernel: nothing is served by it
            return ResourceState(Presence.STOPPED, error.problem)
        except (TransientError, OSError) as error:
            return ResourceState(Presence.UNKNOWN, str(error))
        if seen.is_primary:
            return ResourceState(Presence.RUNNING, f"{self._config.device} is primary")
        return ResourceState(Presence.STOPPED, self._replication.message)

    async def check(self) -> Health:
        try:
            seen = await self._drbd.seen()
        except StandfastError as error:
            return Health(Verdict.UNKNOWN, error.problem)
        if not seen.is_primary:
            return Health(Verdict.GONE, f"{self._config.device} is not primary")
        if reading.UP_TO_DATE not in {seen.disk, seen.peer_disk}:
            return Health(Verdict.DOWN, f"{self._config.device} has no data to serve: {seen.disk}")
        return Health(Verdict.UP, self._replication.message)

    async def ready(self) -> list[str]:
        try:
            why = await self._obstacle()
        except StandfastError as error:
            return [f"{error.problem} ({error.remedy})" if error.remedy else error.problem]
        return [f"{self.name}: {why}"] if why else []

    async def _obstacle(self) -> str:
        self._keeping.other(self._place)
        place = self._place
        assert place is not None, "it has another node"
        copy = await self._keeping.copy(await self._drbd.seen())
        _, why = plan.how_to_begin(copy, begins=place.begins, belongs=self._keeping.belongs(place))
        return why

    async def concerns(self) -> list[Alert]:
        return []

    # ---------------------------------------------------------------- start

    async def start(self, lease_until_ms: int | None) -> None:
        del lease_until_ms  # without the lease no record lets writes go on alone
        attempt = self._tenure.begin()
        with self._passes.held():
            await self._passes.end()
            self._stage = Stage.BECOMING
            try:
                await self._become(attempt)
            except BaseException:
                self._stage = Stage.NONE
                raise
            self._tenure.is_ours = self._tenure.is_up = True
            self._stage = Stage.ACTIVE
            self._upkept_ms = None
        self._passes.wake()

    async def _become(self, attempt: int) -> None:
        keeping, place = self._keeping, self._place
        keeping.other(place)
        assert place is not None, "it has another node"
        seen = await self._drbd.seen()
        if seen.is_primary:
            return  # adopted
        await self._counter.open()
        await keeping.write_file(place)
        copy = await keeping.copy(seen)
        how, why = plan.how_to_begin(copy, begins=place.begins, belongs=keeping.belongs(place))
        if how is Begin.NEVER:
            raise UserError(
                f"{self.name}: this node cannot serve {self._config.device}: {why}",
                remedy=f"cat /proc/drbd; drbdadm get-gi {self._config.resource}",
            )
        if how is Begin.CREATE:
            await self._drbd.create()
        if seen.disk == reading.DISKLESS:
            await keeping.attach(seen)
        self._tenure.go_on_only_if(attempt)
        if how is Begin.PLAINLY:
            await self._until_alone_is_fine(attempt)
            await self._drbd.order("primary")
        else:
            await self._drbd.order("primary", "--force")
        await keeping.adopt(place)

    async def _until_alone_is_fine(self, attempt: int) -> None:
        """The other copy takes part, or the record has let it go.

        One that is primary without the lease is left alone first: it holds its writes then.
        """
        other = self._keeping.other(self._place).uid
        while True:
            self._tenure.go_on_only_if(attempt)
            seen = await self._drbd.seen()
            if seen.is_in_touch and seen.peer_role == reading.PRIMARY:
                await self._drbd.order("disconnect", "--force")
                continue
            if seen.is_in_touch:
                return
            self._replication = of_active(seen, other, "becoming active", is_lost=True)
            self._moved.clear()
            if plan.may_go_alone(Stage.BECOMING, other, self._required) is Answer.OUT:
                return
            self._news()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEADING_S):
                    await self._moved.wait()

    # ---------------------------------------------------------------- stop and kill

    async def stop(self, budget_ms: int) -> None:
        with self._tenure.ending(), self._passes.held():
            self._leave()
            await self._passes.end()
            said = ""
            try:
                async with asyncio.timeout(budget_ms / 1000):
                    while (await self._drbd.seen()).is_primary:
                        try:
                            await self._drbd.order_minor("secondary")
                        except TransientError as error:
                            said = error.problem
                            await asyncio.sleep(AGAIN_S)
            except TimeoutError as error:
                raise TransientError(
                    f"{self._config.device} is still primary after {budget_ms} ms: {said}",
                    remedy=f"fuser -vm {self._config.device}",
                ) from error
            except UserError:
                return  # no DRBD here

    async def kill(self) -> None:
        with self._tenure.ending(), self._passes.held():
            self._leave()
            await self._passes.end()
            while not await self._is_taken_away():  # noqa: ASYNC110 no event tells it
                await asyncio.sleep(AGAIN_S)

    def _leave(self) -> None:
        self._stage = Stage.NONE
        self._invitation = b""
        self._replication = Replication(Part.UNKNOWN, "not active any more")
        self._alarms.say(())
        self._moved.set()

    async def _is_taken_away(self) -> bool:
        """One round. Held writes fail with the disk gone; a device in use is cleared."""
        try:
            seen = await self._drbd.seen()
        except UserError:
            return True
        except TransientError:
            return False
        if not seen.is_primary:
            return True
        with contextlib.suppress(TransientError, TimeoutError):
            if seen.is_frozen:
                if seen.disk != reading.DISKLESS:
                    await self._drbd.order_minor("detach", "--force")
                await self._drbd.order_minor("resume-io")
            async with asyncio.timeout(CLEARING_S):
                await self._clearing.hard((self._config.device,), None)
            await self._drbd.order_minor("secondary")
        return False

    def extend(self, lease_until_ms: int) -> None:
        """Nothing in the kernel ends with the lease; without it no held write goes on."""

    # ---------------------------------------------------------------- events

    async def watch(self, report: Report) -> None:
        is_told = False
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                seen = await self._drbd.seen()
            except (StandfastError, OSError):
                continue  # `check` and `ready` say so
            if self._tenure.is_up and not seen.is_primary:
                self._tenure.is_up = False
                report(self._event(Change.DIED, f"{self._config.device} was demoted, unasked"))
            is_stranger = seen.is_primary and self._is_strange
            if is_stranger and not is_told:
                report(self._event(Change.APPEARED, f"{self._config.device} became primary"))
            is_told = is_stranger

    @property
    def _is_strange(self) -> bool:
        return self._tenure.would_be_strange and self._stage is Stage.NONE

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())

    # ---------------------------------------------------------------- DRBD asks

    async def _asked(self, words: list[str]) -> Reply:
        try:
            match words:
                case ["fence-peer"]:
                    return await self._asked_to_go_alone()
                case ["discard", generation]:
                    return 0, await self._asked_to_discard(generation)
                case ["verify"]:
                    self._wants_verify = True
                case ["split-brain"]:
                    self._keeping.note("SplitBrain", "DRBD found two histories and disconnected")
                case _:
                    pass
        except StandfastError as error:
            return 1, f"{error.problem} ({error.remedy})" if error.remedy else error.problem
        self._passes.wake()
        return 0, "noted"

    async def _asked_to_go_alone(self) -> Reply:
        """From the question on the other copy counts as lost, whatever was seen of it before."""
        other = self._keeping.other(self._place).uid
        self._questions += 1
        self._open_questions += 1
        began_ms = self._host.clock.now_ms()
        self._keeping.note("WritesHeld", "The other copy is lost, and writes wait", peer=other)
        try:
            while True:
                self._moved.clear()
                self._count_as_lost(other)
                answer = plan.may_go_alone(self._stage, other, self._required)
                if answer is not None:
                    break
                await self._moved.wait()
        finally:
            self._open_questions -= 1
        took_ms = self._host.clock.now_ms() - began_ms
        said = "Writes go on alone" if answer is Answer.OUT else "Writes stay held"
        self._keeping.note("WritesDecided", said, peer=other, took_ms=took_ms)
        return int(answer), said

    def _count_as_lost(self, other: str) -> None:
        if self._stage is Stage.ACTIVE:
            before = self._replication.position or 0
            seen = Seen(role=reading.PRIMARY, written_bytes=before, is_frozen=True)
            message = "writes wait until the record lets the other copy go"
            self._replication = of_active(seen, other, message, is_lost=True)
            self._news()

    async def _asked_to_discard(self, generation: str) -> str:
        leader, place = self._leader, self._place
        self._keeping.other(place)
        assert place is not None, "it has another node"
        with self._passes.held():
            await self._passes.end()
            told = read_invitation(b"" if leader is None else leader.invitation)
            return await self._keeping.discard(place, told, generation)

    # ---------------------------------------------------------------- passes

    async def tend(self, news: Callable[[], None]) -> None:
        self._news = news
        while True:
            before = (self._replication, self._invitation)
            error = await self._passes.one()
            said = error is not None and self._passes.failures >= PATIENCE
            self._trouble.say(
                [Alert(TROUBLE, error.problem, error.remedy)] if said and error else []
            )
            if (self._replication, self._invitation) != before:
                news()
            usual_s = LEADING_S if self._stage is Stage.ACTIVE else FOLLOWING_S
            await self._passes.rest(usual_s)

    async def _look(self) -> None:
        """One pass."""
        place = self._place
        if place is None:
            return
        await self._counter.open()
        if not self._keeping.is_configured and self._keeping.notes.read().secret:
            await self._keeping.write_file(place)  # a disk that was restored without /etc
        if self._stage is Stage.ACTIVE:
            await self._lead(place)
        elif self._stage is Stage.NONE:
            await self._follow(place)

    async def _lead(self, place: Place) -> None:
        other = self._keeping.other(place)
        asked = self._questions
        seen = await self._drbd.seen()
        if asked != self._questions or self._open_questions:
            return  # what was seen may be older than the question
        if seen.is_frozen and not seen.is_in_touch:
            await self._go_on_if_let(other.uid, seen)
            return
        note = await self._keeping.verify(seen, now=self._wants_verify)
        self._wants_verify = self._wants_verify and not seen.is_in_touch
        now_ms = self._host.clock.now_ms()
        is_due = self._upkept_ms is None or now_ms - self._upkept_ms >= UPKEEP_MS
        if is_due:
            await self._keeping.keep_up(place, seen)
            self._invitation = await self._keeping.invitation()
            self._upkept_ms = now_ms
        if asked != self._questions:
            return
        self._say(seen, note)
        self._replication = of_active(seen, other.uid, self._words(seen, other.name, note))

    async def _go_on_if_let(self, other: str, seen: Seen) -> None:
        """Writes are held and nobody asks any more: the question was broken off."""
        self._replication = of_active(seen, other, "writes wait for the record", is_lost=True)
        if plan.may_go_alone(self._stage, other, self._required) is Answer.OUT:
            self._keeping.note("WritesResumed", "Writes go on alone", peer=other)
            await self._drbd.order_minor("resume-io")

    async def _follow(self, place: Place) -> None:
        leader = self._leader
        told = read_invitation(b"" if leader is None else leader.invitation)
        if leader is None or (told is None and not self._keeping.is_configured):
            await self._say_standby(place, "nobody leads, or nothing was heard of it", Do.WAIT)
            return
        step = await self._keeping.follow(place, told, counts_on_me=leader.counts_on_me)
        await self._say_standby(place, step.why, step.do)

    async def _say_standby(self, place: Place, why: str, do: Do) -> None:
        seen = await self._drbd.seen()
        if self._leader is not None and seen.is_in_step:
            await self._keeping.adopt(place)
        name = "" if self._leader is None else self._leader.node.name
        self._replication = of_standby(seen, name, why, is_parted=do is Do.PARTED)
        self._alarms.say(await self._alerts_of_standby(seen, why, do))

    async def _alerts_of_standby(self, seen: Seen, why: str, do: Do) -> list[Alert]:
        mine = await self._drbd.generations() if do is Do.PARTED else None
        return alerts_of(self._config, seen, why if do is Do.PARTED else "", mine)

    def _say(self, seen: Seen, note: Note) -> None:
        self._alarms.say(alerts_of(self._config, seen, "", None, note))

    def _words(self, seen: Seen, other: str, note: Note) -> str:
        if seen.is_in_step and seen.connection == reading.CONNECTED:
            last = f", compared {note.verified_at}" if note.verified_at else ""
            return f"active, {other} in step{last}"
        if seen.is_in_touch:
            return f"active, {other}: {plan.progress(seen)}"
        return f"active alone: {other} is not connected ({seen.connection})"

    async def close(self) -> None:
        await self._passes.end()
        await self._counter.close()
        await self._drbd.end()


def _nothing() -> None:
    """Nobody is told before `tend` begins."""
