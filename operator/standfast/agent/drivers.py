"""Performs the group's calls: one task per call, its outcome comes back as an event.

Start, stop and looks of one resource never overlap: a call waits until all before it have unwound
after their cancellation. A kill waits for nothing, and the look after it for whatever the kill
did not wait for: what a start still does while it unwinds would else come after that look. What a
driver raises is an outcome; a fault of ours in a driver fails that call and is logged whole: a
lease must not end by it.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from standfast.adapters.drivers.guarded import excluder_of, replica_of
from standfast.core import group_events as ev
from standfast.core.group_spec import Spec
from standfast.errors import StandfastError, UserError
from standfast.member.mailbox import Mailbox
from standfast.ports.events import Alert, EventSink
from standfast.ports.replication import Replica
from standfast.ports.resource import (
    Change,
    Claim,
    Excluding,
    Foreseeing,
    Presence,
    ResourceDriver,
    ResourceEvent,
    Storing,
    Tunable,
    Verdict,
)

Call = ev.Look | ev.Check | ev.Start | ev.Stop | ev.Kill
KILL_ALL_S = 2.0
TEND_AGAIN_S = 1.0
log = logging.getLogger("standfast")

_SEEN = {
    Presence.STOPPED: ev.Seen.STOPPED,
    Presence.RUNNING: ev.Seen.RUNNING,
    Presence.UNKNOWN: ev.Seen.UNKNOWN,
}
_VERDICTS = {
    Verdict.UP: ev.Verdict.UP,
    Verdict.DOWN: ev.Verdict.DOWN,
    Verdict.GONE: ev.Verdict.GONE,
    Verdict.UNKNOWN: ev.Verdict.UNKNOWN,
}
_TURNED = {
    Change.DIED: ev.Turned.DIED,
    Change.APPEARED: ev.Turned.APPEARED,
    Change.UNWATCHED: ev.Turned.UNSURE,
    Change.WATCHED: ev.Turned.UNSURE,
    Change.OUSTED: ev.Turned.DIED,
}


EXCLUDE_AGAIN_S = 0.5
REFUSED_AGAIN_S = 5.0
"""Where a person must change something first."""
NOT_RESERVED = "DiskNotReserved"


@dataclass(frozen=True, slots=True)
class Calls:
    """What the node does with what drivers say; called as acts.

    Attributes:
        report: An event of the group.
        news: A copy has news.
        excluded: Everybody else is shut out of this disk, by the claim of this term.
        ousted: A later holder took something: this node's lease is over. Why, as a sentence.
    """

    report: Callable[[ev.GroupEvent], None]
    news: Callable[[], None]
    excluded: Callable[[str, int], None]
    ousted: Callable[[str], None]


@dataclass
class _Place:
    """One resource: its driver, its watch, its calls, what it is concerned about.

    Attributes:
        task: The call that counts.
        under_way: Every call that has not ended, the cancelled ones too.
    """

    driver: ResourceDriver
    watch: asyncio.Task[None]
    replica: Replica | None = None
    excluder: Excluding | None = None
    exclude: asyncio.Task[None] | None = None
    tend: asyncio.Task[None] | None = None
    task: asyncio.Task[None] | None = None
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    call: int = 0
    concerns: set[str] = field(default_factory=set)


class Drivers:
    """All drivers of the node."""

    def __init__(
        self,
        make: Callable[[Spec], ResourceDriver],
        mailbox: Mailbox,
        sink: EventSink,
        calls: Calls,
    ) -> None:
        self._make = make
        self._mailbox = mailbox
        self._sink = sink
        self._calls = calls
        self._claim: Claim | None = None
        self._places: dict[str, _Place] = {}

    def make(self, spec: Spec) -> None:
        """Make the driver of a resource, in place of one of that name."""
        self.drop(spec.name)
        driver = self._make(spec)
        watch = self._mailbox.start(self._watch(driver), f"watch {spec.name}")
        place = _Place(driver, watch, replica_of(driver), excluder_of(driver))
        self._places[spec.name] = place
        self._exclude(place)
        if place.replica is not None:
            work = self._tend(spec.name, place.replica)
            place.tend = self._mailbox.start(work, f"tend {spec.name}")
            self._calls.news()

    @property
    def replicas(self) -> Mapping[str, Replica]:
        """The copies on this node, by resource."""
        return {
            name: place.replica
            for name, place in self._places.items()
            if place.replica is not None
        }

    def drop(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is None:
            return
        place.watch.cancel()
        for task in (place.tend, place.exclude):
            if task is not None:
                task.cancel()
        for reason in place.concerns:
            self._sink.clear_alert(name, reason)
        self._mailbox.start(_close(place), f"close {name}")

    def begin(self, call: Call) -> None:
        """Start a call; its outcome is reported unless it is cancelled."""
        place = self._places[call.name]
        before = () if isinstance(call, ev.Kill) else tuple(place.under_way)
        place.call = call.call
        work = self._perform(place, call, before)
        place.task = self._mailbox.start(work, f"{type(call).__name__} {call.name}")
        place.under_way.add(place.task)
        place.task.add_done_callback(place.under_way.discard)

    def cancel(self, name: str, call: int) -> None:
        place = self._places.get(name)
        if place is not None and place.call == call and place.task is not None:
            place.task.cancel()

    def foresee(self) -> None:
        """Everything may be started within moments: let drivers begin to look."""
        for place in self._places.values():
            if isinstance(place.driver, Foreseeing):
                place.driver.foresee()

    def claim(self, claim: Claim | None) -> None:
        """By what right others may be kept out of disks from now on; none without a lease."""
        self._claim = claim
        for place in self._places.values():
            if place.exclude is not None:
                place.exclude.cancel()
            self._exclude(place)

    def _exclude(self, place: _Place) -> None:
        if place.excluder is None or self._claim is None:
            return
        place.excluder.claim(self._claim)
        work = self._keep_out(place, place.excluder, self._claim.term)
        place.exclude = self._mailbox.start(work, f"exclude {place.driver.name}")

    def tune(self, specs: Sequence[Spec]) -> None:
        """What is declared was declared anew: tell what may change while it runs."""
        for spec in specs:
            place = self._places.get(spec.name)
            if place is not None and spec.knobs and isinstance(place.driver, Tunable):
                place.driver.tune(json.loads(spec.knobs))

    def extend(self, until_ms: int) -> None:
        """The lease lasts longer: what the kernel holds may live until then."""
        for place in self._places.values():
            place.driver.extend(until_ms)

    def directories(self) -> list[Path]:
        """Where the resources keep their data on this node."""
        drivers = [place.driver for place in self._places.values()]
        return [d for one in drivers if isinstance(one, Storing) for d in one.directories()]

    async def prepare(self, budget_s: float) -> None:
        """Do what makes a planned stop quick, while everything still runs."""
        work = [replica.prepare() for replica in self.replicas.values()]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(budget_s):
                await asyncio.gather(*work)

    async def kill_all(self) -> None:
        """Take everything away, whatever was under way; best effort, for a process that ends."""
        kills = (place.driver.kill() for place in self._places.values())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KILL_ALL_S):
                await asyncio.gather(*kills, return_exceptions=True)

    async def close(self) -> None:
        """Let go of everything; what runs goes on running."""
        for place in self._places.values():
            place.watch.cancel()
            for task in (place.tend, place.task, place.exclude):
                if task is not None:
                    task.cancel()
        await asyncio.gather(*(place.driver.close() for place in self._places.values()))
        self._places.clear()

    # ---------------------------------------------------------------- one call

    async def _perform(
        self, place: _Place, call: Call, before: "tuple[asyncio.Task[None], ...]"
    ) -> None:
        if before:
            await asyncio.wait(before)
        try:
            outcome = await self._outcome(place, call)
        except StandfastError as error:
            outcome = _failed(call, error.problem, error.remedy, lasting=_is_lasting(error))
        except Exception as error:
            log.exception("DriverFault", extra={"fields": {"resource": call.name}})
            outcome = _failed(call, f"{type(error).__name__}: {error}", "", lasting=False)
        self._calls.report(outcome)

    async def _outcome(self, place: _Place, call: Call) -> ev.GroupEvent:
        driver = place.driver
        match call:
            case ev.Look(name, number, ready):
                state = await driver.probe()
                obstacles = None
                if ready:
                    obstacles = tuple(await driver.ready())
                    self._concerned(place, await driver.concerns())
                seen = _SEEN[state.presence]
                return ev.Looked(name, number, seen, state.message, obstacles)
            case ev.Check(name, number):
                health = await driver.check()
                return ev.Checked(name, number, _VERDICTS[health.verdict], health.message)
            case ev.Start(name, number, until_ms):
                await driver.start(until_ms)
                return ev.Started(name, number)
            case ev.Stop(name, number, budget_ms):
                await driver.stop(budget_ms)
                return ev.StopEnded(name, number)
            case ev.Kill(name, number):
                await driver.kill()
                return ev.StopEnded(name, number)

    def _concerned(self, place: _Place, alerts: list[Alert]) -> None:
        name = place.driver.name
        for alert in alerts:
            self._sink.raise_alert(name, alert)
        now = {alert.reason for alert in alerts}
        for reason in place.concerns - now:
            self._sink.clear_alert(name, reason)
        place.concerns = now

    async def _watch(self, driver: ResourceDriver) -> None:
        def report(event: ResourceEvent) -> None:
            if event.change is Change.OUSTED:
                self._calls.ousted(event.message)
            turned = _TURNED[event.change]
            self._calls.report(ev.Changed(event.resource, turned, event.message))

        await driver.watch(report)

    async def _keep_out(self, place: _Place, excluder: Excluding, term: int) -> None:
        """Shut everybody else out, or say why that cannot be."""
        name = place.driver.name
        while True:
            try:
                stays = await excluder.exclude()
            except StandfastError as error:
                self._sink.raise_alert(name, Alert(NOT_RESERVED, error.problem, error.remedy))
                again_s = REFUSED_AGAIN_S if _is_lasting(error) else EXCLUDE_AGAIN_S
                await asyncio.sleep(again_s)
                continue
            self._sink.clear_alert(name, NOT_RESERVED)
            if stays:
                self._calls.excluded(excluder.disk, term)
            return

    async def _tend(self, name: str, replica: Replica) -> None:
        """As with calls, a fault of ours there ends no lease."""
        while True:
            try:
                await replica.tend(self._calls.news)
            except Exception:
                log.exception("DriverFault", extra={"fields": {"resource": name}})
            await asyncio.sleep(TEND_AGAIN_S)


def _failed(call: Call, problem: str, remedy: str, *, lasting: bool) -> ev.GroupEvent:
    match call:
        case ev.Look(name, number, _):
            return ev.Looked(name, number, ev.Seen.UNKNOWN, problem)
        case ev.Check(name, number):
            return ev.Checked(name, number, ev.Verdict.UNKNOWN, problem)
        case ev.Start(name, number, _):
            return ev.StartFailed(name, number, problem, remedy, lasting)
        case ev.Stop(name, number, _) | ev.Kill(name, number):
            return ev.StopEnded(name, number, problem)


def _is_lasting(error: StandfastError) -> bool:
    return isinstance(error, UserError)


async def _close(place: _Place) -> None:
    tasks: list[Awaitable[object]] = [place.watch]
    tasks += [task for task in (place.tend, place.exclude) if task is not None]
    if place.task is not None:
        place.task.cancel()
        tasks.append(place.task)
    await asyncio.gather(*tasks, return_exceptions=True)
    await place.driver.close()
