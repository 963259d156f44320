"""The guard's one loop: read what the agent says, act at deadlines, look at what has ended.

No request is answered before its result is kept (`state_file`). Messages that wait are read before
the clock is judged: an extension that was sent in time counts, even if this process was stopped in
between, because what it says is what a majority has promised.
"""

import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import FrameType
from typing import assert_never

from standfast.guard import protocol
from standfast.guard.connections import Connections
from standfast.guard.elapsed import Elapsed
from standfast.guard.leases import Leases
from standfast.guard.notify import Notify
from standfast.guard.protocol import (
    Ask,
    Disarm,
    Extend,
    MalformedError,
    Outcome,
    Plan,
    Request,
    Stage,
    Strike,
)
from standfast.guard.realtime import Standing
from standfast.guard.self_fence import SelfFence
from standfast.guard.state_file import Report, StateFile
from standfast.guard.status import (
    GuardStatus,
    LeaseStatus,
    lease_fields,
    outcome_fields,
    status_fields,
)
from standfast.guard.timer import BootTimer
from standfast.guard.watchdog import Watchdog

TICK_S = 0.05
"""How often the hypervisor's clock is looked at while a lease runs."""

IDLE_TICK_S = 0.25
PREPARE_NS = 150_000_000
"""A lease that is not extended until so shortly before its end is one that may be struck."""

FIRST_LOOK_NS = 3_000_000
LOOKS_NS = ((200_000_000, 5_000_000), (2_000_000_000, 20_000_000))
"""Until so long after a strike, how often it is looked whether something is left or came back."""

WATCH_NS = 100_000_000
"""And how often later."""


@dataclass(frozen=True)
class Parts:
    """What the loop works with.

    Attributes:
        listener: The socket, listening, not blocking.
        fence: The deed.
        boot: Id of this boot of the machine.
        log: Takes one line; does not block.
    """

    listener: socket.socket
    clock: Elapsed
    leases: Leases
    fence: SelfFence
    state: StateFile
    report: Report
    notify: Notify
    standing: Standing
    boot: str
    log: Callable[[str], None]
    watchdog: Watchdog | None = None


class Daemon:
    """The guard."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._leases = parts.leases
        self._clock = parts.clock
        self._poll = select.epoll()
        self._connections = Connections(parts.listener, self._poll, self._answer)
        self._timer = BootTimer()
        if self._timer.fileno() >= 0:
            self._poll.register(self._timer, select.EPOLLIN)
        self._started_ms = self._now_ns() // 1_000_000
        self._look_ns = 0
        self._struck_ns = 0
        self._is_prepared = False
        self._alive_ns = 0
        self._is_told_to_leave = False
        self._is_told_to_restart = False
        self._is_told_to_retire = False

    # ---------------------------------------------------------------- the loop

    def run(self) -> int:
        """Guard until told to stop.

        Returns:
            Exit status.
        """
        self._fire()  # what fell due while no guard ran
        waker, woken = socket.socketpair()
        for end in (waker, woken):
            end.setblocking(False)
        self._poll.register(woken, select.EPOLLIN)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
            signal.signal(number, self._note_signal)
        self._keep()
        self._publish()
        self._parts.notify.say("READY=1\nSTATUS=Guarding")
        while not self._is_told_to_restart:
            self.turn()
            with contextlib.suppress(BlockingIOError):
                woken.recv(64)
            if self._is_told_to_retire:
                self._leases.retire()
                self._keep()
                self._publish()
                self._is_told_to_retire = False
            if self._is_told_to_leave and self._may_leave():
                break
        return self._end()

    def turn(self) -> None:
        """Wait for the next thing, at most a tick, and do it."""
        self._timer.set(self._wake_ns())
        is_timed = self._timer.fileno() >= 0 and not self._clock.name
        is_calm = self._leases.next_due_ms() is None and not self._leases.fired()
        for descriptor, _ in self._poll.poll(IDLE_TICK_S if is_calm or is_timed else TICK_S):
            if descriptor == self._timer.fileno():
                self._timer.clear()
            else:
                self._connections.take(descriptor)
        self._prepare()
        self._fire()
        self._look()
        now_ns = self._now_ns()
        if self._parts.watchdog is not None:
            may_feed = self._leases.may_feed(now_ns // 1_000_000)
            self._parts.watchdog.tend(now_ns, may_feed=may_feed)
        self._be_alive(now_ns)

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            self._is_told_to_restart = True
        elif number == signal.SIGUSR1:
            self._is_told_to_retire = True
        else:
            self._is_told_to_leave = True

    def _may_leave(self) -> bool:
        """Whether nothing needs the guard; the agent is asked to hand over, once."""
        if not self._leases.leaving:
            self._leases.leaving = True
            self._tell({"leaving": True})
        return self._leases.is_quiet()

    def _end(self) -> int:
        parts = self._parts
        parts.notify.say("STOPPING=1")
        if parts.watchdog is not None:
            parts.watchdog.close(disarm=self._leases.is_quiet())
        self._keep()
        self._connections.close()
        return 0

    # ---------------------------------------------------------------- time

    def _now_ns(self) -> int:
        return self._clock.now_ns()

    def _added_ms(self) -> int:
        """By how much the guard's clock is ahead of CLOCK_BOOTTIME, in which others speak."""
        return self._clock.added_ns // 1_000_000

    def _wake_ns(self) -> int | None:
        """The next moment that cannot wait for a tick, on CLOCK_BOOTTIME."""
        due_ms = self._leases.next_due_ms()
        moments = [] if due_ms is None else [due_ms * 1_000_000]
        if due_ms is not None and not self._is_prepared:
            moments.append(due_ms * 1_000_000 - PREPARE_NS)
        if self._leases.fired():
            moments.append(self._look_ns)
        return min(moments) - self._clock.added_ns if moments else None

    def _prepare(self) -> None:
        """Be ready for a strike that is near, and let go when it is not, nor anything left."""
        due_ms = self._leases.next_due_ms()
        is_near = due_ms is not None and due_ms * 1_000_000 - self._now_ns() <= PREPARE_NS
        if is_near and not self._is_prepared:
            self._parts.fence.prepare()
        elif not is_near and not self._leases.is_struggling():
            self._parts.fence.rest()
        self._is_prepared = is_near

    def _fire(self) -> None:
        due = self._leases.due(self._now_ns() // 1_000_000)
        if not due:
            return
        for name, outcome in self._parts.fence.strike(due).items():
            self._leases.fire(name, outcome)
            self._changed(name, outcome)
        self._struck_ns = self._now_ns()
        self._look_ns = self._struck_ns + FIRST_LOOK_NS

    def _look(self) -> None:
        fired = self._leases.fired()
        if not fired or self._now_ns() < self._look_ns:
            return
        for lease in fired:
            outcome = self._parts.fence.look(lease)
            if outcome != lease.outcome:
                if lease.outcome is not None and outcome.again > lease.outcome.again:
                    self._struck_ns = self._now_ns()
                self._leases.note(lease.lease, outcome)
                self._changed(lease.lease, outcome)
        now_ns = self._now_ns()
        since_ns = now_ns - self._struck_ns
        pause_ns = next((pause for until, pause in LOOKS_NS if since_ns < until), WATCH_NS)
        self._look_ns = now_ns + pause_ns

    def _changed(self, name: str, outcome: Outcome) -> None:
        """Keep it, and let everybody know."""
        self._keep()
        self._publish()
        self._tell({"lease": name, "outcome": outcome_fields(outcome)})
        self._parts.log(f"lease {name}: {protocol.dump(outcome_fields(outcome)).decode()}")

    def _be_alive(self, now_ns: int) -> None:
        every_ns = self._parts.notify.alive_every_ns
        if every_ns is not None and now_ns >= self._alive_ns:
            self._alive_ns = now_ns + every_ns
            self._parts.notify.say("WATCHDOG=1")

    # ---------------------------------------------------------------- requests

    def _answer(self, data: bytes) -> bytes:
        try:
            number, request = protocol.decode(data)
        except MalformedError as error:
            return _answered(protocol.number_of(data), str(error))
        if isinstance(request, Ask):
            return _answered(number, "", {"status": status_fields(self._status())})
        return _answered(number, self._take(request))

    def _take(self, request: Request) -> str:
        """Do what is asked.

        Returns:
            Why it is refused, or "".
        """
        now_ms = self._now_ns() // 1_000_000
        is_news = True
        match request:
            case Extend(name, term, until_ms):
                before = self._leases.get(name)
                is_news = before is None or (before.stage, before.term) != (Stage.ARMED, term)
                on_our_clock = replace(request, until_ms=until_ms + self._added_ms())
                problem = self._leases.extend(on_our_clock, now_ms)
            case Plan(_, targets):
                problem = self._parts.fence.objection(targets) or self._leases.plan(request)
            case Strike():
                problem = self._leases.strike(request, now_ms)
            case Disarm(name):
                lease = self._leases.get(name)
                left = () if lease is None else self._parts.fence.left(lease.targets)
                problem = self._leases.disarm(request, left)
            case Ask():
                return ""
            case _:
                assert_never(request)
        if not problem:
            self._keep()
            if is_news:
                self._publish()
        return problem

    def _tell(self, fields: dict[str, object]) -> None:
        """News for everybody who is connected."""
        self._connections.tell(protocol.dump({"v": protocol.VERSION, "n": 0, **fields}))

    # ---------------------------------------------------------------- what is known

    def _told(self, lease: LeaseStatus) -> LeaseStatus:
        """A lease in the time of others."""
        return replace(lease, until_ms=max(0, lease.until_ms - self._added_ms()))

    def _keep(self) -> None:
        leases = [lease_fields(self._told(lease)) for lease in self._leases.all()]
        self._parts.state.store(protocol.dump({"boot": self._parts.boot, "leases": leases}))

    def _publish(self) -> None:
        self._parts.report.publish(protocol.dump(status_fields(self._status())))

    def _status(self) -> GuardStatus:
        parts = self._parts
        troubles = [*parts.standing.troubles, self._clock.trouble]
        if parts.watchdog is not None:
            troubles.append(parts.watchdog.trouble)
        return GuardStatus(
            pid=os.getpid(),
            boot=parts.boot,
            protocol=protocol.VERSION,
            started_ms=self._started_ms,
            locked=parts.standing.locked,
            realtime=parts.standing.realtime,
            spared=parts.standing.spared,
            clock=self._clock.name,
            leaving=self._leases.leaving,
            watchdog=None if parts.watchdog is None else parts.watchdog.status,
            leases=tuple(self._told(lease) for lease in self._leases.all()),
            troubles=tuple(filter(None, troubles)),
        )


def _answered(number: int, problem: str, more: dict[str, object] | None = None) -> bytes:
    fields = {"v": protocol.VERSION, "n": number, "problem": problem}
    return protocol.dump({**fields, **(more or {})})


def quiet_log() -> Callable[[str], None]:
    """Writes lines to standard error, and drops them rather than wait for the journal."""
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(sys.stderr.fileno(), False)

    def write(line: str) -> None:
        with contextlib.suppress(OSError):
            os.write(2, line.encode() + b"\n")

    return write
