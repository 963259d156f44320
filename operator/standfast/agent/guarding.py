"""The node and its guard: what each tells the other, and what follows from the guard's state.

The node extends, plans and strikes through here. When everything is verified stopped, the guard is
disarmed, which it refuses while it still sees something; one that does not answer is not waited
for. A node whose guard is lost does not stand, and hands over if another node would take over;
with nobody to take over it goes on: the kernel's lease and this process still stand behind it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from standfast.core.ids import MemberUid
from standfast.core.record import WatchdogArmed
from standfast.errors import TransientError
from standfast.member.chronicle import values
from standfast.member.mailbox import Mailbox
from standfast.ports.events import Alert, EventSink
from standfast.ports.guard import Guard, GuardChange, GuardEvent, GuardStatus, Target

MakeGuard = Callable[[MemberUid], Guard]
"""Given the member whose lease it is."""

LOOK_EVERY_S = 30.0
DISARM_AGAIN_S = 0.1
DISARMS_BEFORE_STRIKE = 10
GONE, LOST, WEAK, WATCHDOG = "GuardGone", "GuardLost", "GuardWeak", "WatchdogNotProven"
_SOURCE = "guard"
_REMEDY = "systemctl status standfast-guard.service; journalctl -u standfast-guard -n 50"


@dataclass(frozen=True, slots=True)
class Calls:
    """What the node does when the guard has something to say; called as acts.

    Attributes:
        over: The guard ended the lease; why, as a sentence.
        changed: Whether this node may stand, or should hand over, is to be judged anew.
        watchdog: The watchdog is armed and tested from now on, or none is.
    """

    over: Callable[[str], None]
    changed: Callable[[], None]
    watchdog: Callable[[WatchdogArmed | None], None]


class Guarding:
    """The node's end of its guard."""

    def __init__(self, make: MakeGuard, mailbox: Mailbox, sink: EventSink, calls: Calls) -> None:
        self._make = make
        self._mailbox = mailbox
        self._sink = sink
        self._calls = calls
        self._guard: Guard | None = None
        self._is_there = False
        self._lost = ""
        self._watchdog: WatchdogArmed | None = None
        self._look_now = asyncio.Event()

    @property
    def hindrance(self) -> str:
        """Why this node does not stand, as a sentence; empty when the guard is no reason."""
        return self._lost

    def begin(self, member: MemberUid) -> None:
        """From here on there is a lease to guard."""
        guard = self._guard = self._make(member)
        put = self._mailbox.put
        self._mailbox.start(
            guard.watch(lambda event: put(partial(self._heard, event))), "watch guard"
        )
        self._mailbox.start(self._keep_looking(guard), "look at guard")

    def extend(self, term: int, until_ms: int) -> None:
        if self._guard is not None:
            self._guard.extend(term, until_ms)

    def strike(self, term: int) -> None:
        if self._guard is not None:
            self._guard.strike(term)

    async def plan(self, resource: str, targets: Sequence[Target]) -> None:
        """`Guard.plan`; before there is a lease nothing may start under one."""
        if self._guard is not None:
            await self._guard.plan(resource, targets)
        elif targets:
            raise TransientError(f"there is no lease yet under which {resource} could run")

    def stopped(self, term: int, then: Callable[[], None]) -> None:
        """Everything is stopped, and that was verified: disarm the guard, then go on."""
        if self._guard is None:
            self._mailbox.put(then)
            return
        self._mailbox.start(self._disarm(self._guard, term, then), "disarm guard")

    async def _disarm(self, guard: Guard, term: int, then: Callable[[], None]) -> None:
        attempts = 0
        while True:
            try:
                await guard.disarm(term)
            except TransientError as error:
                if not self._is_there:
                    break  # it is told when it is back
                attempts += 1
                self._sink.note("NotDisarmed", "Guard sees something", values(error=error.problem))
                if attempts == DISARMS_BEFORE_STRIKE:
                    guard.strike(term)
                await asyncio.sleep(DISARM_AGAIN_S)
            else:
                break
        self._mailbox.put(then)

    # ---------------------------------------------------------------- what the guard says

    def _heard(self, event: GuardEvent) -> None:
        message = event.message
        match event.change:
            case GuardChange.BACK:
                self._is_there, self._lost = True, ""
                self._look_now.set()
                for reason in (GONE, LOST):
                    self._sink.clear_alert(_SOURCE, reason)
                self._calls.changed()
            case GuardChange.GONE:
                self._is_there = False
                self._claim_watchdog(None)  # a guard that left in order has disarmed it
                self._sink.raise_alert(_SOURCE, Alert(GONE, message, _REMEDY))
            case GuardChange.LOST | GuardChange.LEAVING:
                self._lost = message
                self._sink.raise_alert(_SOURCE, Alert(LOST, message, _REMEDY))
                self._calls.changed()
            case GuardChange.FIRED:
                self._sink.note("GuardFired", "The guard stopped everything", {"error": message})
                self._calls.over(message)
            case GuardChange.REFUSED:
                self._sink.note("GuardRefuses", "Extension not taken", {"error": message})

    async def _keep_looking(self, guard: Guard) -> None:
        """Tell what the guard lacks to do its work under every circumstance."""
        while True:
            self._look_now.clear()
            try:
                status = await guard.status()
            except TransientError:
                await asyncio.sleep(1)
                continue
            self._mailbox.put(partial(self._judge, status))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._look_now.wait()

    def _judge(self, status: GuardStatus) -> None:
        if status.locked and status.realtime:
            self._sink.clear_alert(_SOURCE, WEAK)
        else:
            self._sink.raise_alert(_SOURCE, Alert(WEAK, "; ".join(status.troubles), _REMEDY))
        self._judge_watchdog(status)

    def _judge_watchdog(self, status: GuardStatus) -> None:
        """Absent hardware is something to know, not an error."""
        watchdog = status.watchdog
        is_proven = watchdog is not None and watchdog.armed and bool(watchdog.tested)
        self._claim_watchdog(
            WatchdogArmed(watchdog.timeout_ms) if watchdog and is_proven else None
        )
        if watchdog is None or is_proven:
            self._sink.clear_alert(_SOURCE, WATCHDOG)
            return
        message = f"the watchdog {watchdog.device} was never seen to reset this machine"
        remedy = "systemctl stop standfast-guard; standfast-guard --try-watchdog"
        if not watchdog.armed:
            message = "; ".join(status.troubles) or f"the watchdog {watchdog.device} is not armed"
            remedy = "correct [watchdog] in /etc/standfast/agent.toml, or give the VM a watchdog"
        self._sink.raise_alert(_SOURCE, Alert(WATCHDOG, message, remedy))

    def _claim_watchdog(self, armed: WatchdogArmed | None) -> None:
        """Only what a guard that is there says of it: another node may come to rest on it."""
        if armed != self._watchdog:
            self._watchdog = armed
            self._calls.watchdog(armed)
