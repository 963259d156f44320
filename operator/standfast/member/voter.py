"""The quorum member of one cluster, driven: event in, step, effects performed, no `await` between.

`Persist` is a write and a flush, synchronously, before anything after it leaves. When the disk
refuses, the event counts as lost, as a message may be: the state from before stays, nothing is
sent, and only an emergency stop that the event brought is carried out all the same. So a full disk
keeps a lease and never gains one (F94). A step whose effects were performed by half for another
reason ends the process, whoever asked for it: another run adopts what runs, or stops it first.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from standfast.core import invariants, quorum
from standfast.core.events import (
    ClockSuspect,
    Declined,
    Effect,
    EmergencyStop,
    Event,
    GaveUp,
    Halted,
    LeaseExtended,
    LeaseWon,
    Loss,
    Persist,
    ProofFound,
    RecordCommitted,
    Released,
    Send,
    Standing,
    StopForRelease,
    Tick,
)
from standfast.core.ids import BootId, RunId
from standfast.core.quorum import Adopted
from standfast.core.record import Record
from standfast.core.state import Durable, State
from standfast.errors import InvariantError, RefusedError, TransientError
from standfast.member.chronicle import Chronicle, values
from standfast.member.links import Links
from standfast.ports.clock import Clock
from standfast.ports.events import Alert
from standfast.ports.journal import Journal
from standfast.wire import durable as durables

DISK_AGAIN_MS = 500
ATTEMPTS_BEFORE_ALERT = 8
NOT_KEPT = Declined(
    "the disk of this member refuses, so nothing of it is kept",
    "check the disk of its state directory (df, dmesg), and ask again",
)
_SOURCE = "quorum"
log = logging.getLogger("standfast")


@dataclass(frozen=True, slots=True)
class Tools:
    """What a voter works with.

    Attributes:
        on_effect: Takes every effect that is not a write or a message, in order.
        on_step: Called after each step.
        fail: Ends the process with this error.
        machine: What this machine calls itself, or "" when it does not.
    """

    journal: Journal
    links: Links
    clock: Clock
    chronicle: Chronicle
    on_effect: Callable[[Effect], None]
    on_step: Callable[[], None]
    fail: Callable[[Exception], None]
    machine: str = ""


class Voter:
    """One member of one cluster, from the start of this run."""

    def __init__(self, tools: Tools, durable: Durable, boot: BootId, run: RunId) -> None:
        self._tools = tools
        self._is_stepping = False
        self._is_halved = False
        self._stepped_at_ms = 0
        self._disk_refused = False
        self.boot = boot
        self.run = run
        self.state = State(durable, boot, run, boot_hold_until_ms=0)

    def start(self, adopted: Adopted | None) -> None:
        """Begin the run; the first effects are performed before this returns."""
        now_ms = self._tools.clock.now_ms()
        before = self.state
        machine = self._tools.machine
        state, effects = quorum.start(
            before.durable, self.boot, self.run, now_ms, adopted, machine=machine
        )
        if not self._perform(before, state, effects, now_ms):
            raise TransientError(
                "this member's state cannot be written, so it takes no part",
                remedy="check the disk of its state directory (df, dmesg)",
            )

    def take(self, event: Event) -> tuple[Effect, ...]:
        """Let one thing happen.

        Returns:
            What was performed; nothing when the disk refused.
        """
        return self._step(event) or ()

    def declined(self, event: Event) -> Declined | None:
        """Let one request happen; answers why it was not taken, if it was not."""
        effects = self._step(event)
        if effects is None:
            return NOT_KEPT
        return next((effect for effect in effects if isinstance(effect, Declined)), None)

    def insist(self, event: Event) -> None:
        """Let one request happen, or raise why it was not taken: an answer says no more than is.

        Raises:
            RefusedError: It was declined.
            TransientError: The disk refused.
        """
        declined = self.declined(event)
        if declined is NOT_KEPT:
            raise TransientError(declined.problem, remedy=declined.remedy)
        if declined is not None:
            raise RefusedError(declined.problem, remedy=declined.remedy)

    def _step(self, event: Event) -> tuple[Effect, ...] | None:
        now_ms = self._tools.clock.now_ms()
        before = self.state
        state, effects = quorum.step(before, event, now_ms)
        problem = invariants.broken(before, state, effects)
        if problem is not None:
            raise InvariantError(
                f"{problem} (after {type(event).__name__})",
                remedy="report it with the log of this member; it starts anew and stops first",
            )
        return effects if self._perform(before, state, effects, now_ms) else None

    def tick(self) -> None:
        """Look at the clock; a step is made of it only when something is due."""
        now_ms, due_ms = self._tools.clock.now_ms(), quorum.wake_at_ms(self.state)
        if self._disk_refused or (due_ms is not None and now_ms >= due_ms):
            self.take(Tick())
        else:
            self._stepped_at_ms = now_ms

    def next_ms(self) -> int | None:
        """When the next tick is due; while holding, never later than the config's tick."""
        if self._disk_refused:
            return self._stepped_at_ms + DISK_AGAIN_MS
        at_ms = quorum.wake_at_ms(self.state)
        if self.state.holding is None:
            return at_ms
        look_ms = self._stepped_at_ms + self.state.record.config.tick_ms
        return look_ms if at_ms is None else min(at_ms, look_ms)

    @property
    def somebody_holds(self) -> bool:
        """Whether a lease is held as far as this member knows: by itself, or by promise."""
        now_ms = self._tools.clock.now_ms()
        promise = self.state.promise
        return self.state.holds(now_ms) or (promise is not None and now_ms < promise.until_ms)

    # ---------------------------------------------------------------- performing

    def _perform(
        self, before: State, after: State, effects: tuple[Effect, ...], now_ms: int
    ) -> bool:
        assert not self._is_halved, "what is known and what was done differ: the process must end"
        assert not self._is_stepping, "one thing at a time: effects do not step"
        self._is_stepping = True
        self._stepped_at_ms = now_ms
        self.state = after
        try:
            done = self._perform_all(before, effects, now_ms)
            self._is_stepping = False
            if self.state.attempts == 0:
                self._tools.chronicle.clear_alert(_SOURCE, "NotElected")
            record = self.state.record
            self._tools.links.know((*record.config.everyone(), *record.left_out))
            self._tools.on_step()
        except Exception as error:
            self._is_halved = True
            self._tools.fail(error)  # whoever asked, a request of the API too
            raise
        return done

    def _perform_all(self, before: State, effects: tuple[Effect, ...], now_ms: int) -> bool:
        for effect in effects:
            match effect:
                case Persist(durable):
                    if not self._store(durable):
                        lost = self.state.holding is None and before.holding is not None
                        self.state = _without_lease(before, now_ms) if lost else before
                        return False
                case Send(envelope):
                    self._tools.links.send(envelope)
                case _:
                    self._tell(effect)
                    self._tools.on_effect(effect)
        return True

    def _store(self, durable: Durable) -> bool:
        try:
            self._tools.journal.store(durables.encode(durable))
        except TransientError as error:
            self._disk_refused = True
            alert = Alert("JournalNotWritten", error.problem, error.remedy)
            self._tools.chronicle.raise_alert(_SOURCE, alert)
            return False
        if self._disk_refused:
            self._disk_refused = False
            self._tools.chronicle.clear_alert(_SOURCE, "JournalNotWritten")
        return True

    def _tell(self, effect: Effect) -> None:
        """The word to people about what the quorum does."""
        chronicle = self._tools.chronicle
        match effect:
            case LeaseWon(term, _):
                chronicle.note("LeaseWon", "Won the lease", {"term": term})
                chronicle.clear_alert(_SOURCE, "NotElected")
            case RecordCommitted(record, first) if first:
                chronicle.note(
                    "RecordCommitted",
                    "A majority holds the first record of the term",
                    _first_record(record),
                )
            case EmergencyStop(_, Loss.JOINED, message):
                why = values(error=message)
                chronicle.note("MemberNow", "Became a member, stopping what runs", why)
            case EmergencyStop(term, loss, message):
                why = values(term=term, reason=loss.value, error=message)
                chronicle.note("LeaseLost", "The lease ended, stopping everything", why)
            case StopForRelease(term, successor):
                to = values(term=term, peer=successor or "")
                chronicle.note("Releasing", "Stopping everything to hand over", to)
            case Released(term):
                chronicle.note("Released", "Gave the lease back", {"term": term})
            case ProofFound(suspect, proof):
                of = values(peer=suspect.member, term=suspect.term, reason=proof.value)
                chronicle.note("ProofFound", "A former holder is proven stopped", of)
            case GaveUp(term, reasons):
                self._tell_given_up(term, ", ".join(reason.value for reason in reasons))
            case Halted(message):
                remedy = "enrol this member anew (kubectl standfast enroll)"
                chronicle.note("Halted", "This member takes no part any more", {"error": message})
                chronicle.raise_alert(_SOURCE, Alert("Halted", message, remedy))
            case Standing(term, pre):
                log.debug("Standing", extra={"fields": {"term": term, "pre": pre}})
            case Declined(problem, _):
                log.info("Declined", extra={"fields": {"error": problem}})
            case LeaseExtended() | RecordCommitted() | Persist() | Send():
                pass

    def _tell_given_up(self, term: int, reasons: str) -> None:
        log.debug("GaveUp", extra={"fields": {"term": term, "reason": reasons}})
        if self.state.attempts == 1:
            why = values(term=term, reason=reasons or "NoMajority")
            self._tools.chronicle.note("NotElected", "No majority for this node", why)
        if self.state.attempts >= ATTEMPTS_BEFORE_ALERT:
            said = reasons or "too few members answer"
            self._tools.chronicle.raise_alert(
                _SOURCE,
                Alert(
                    "NotElected",
                    f"this node stands and is not elected: {said}",
                    "see which members are unreachable (standfast-agent status)",
                ),
            )


def _first_record(record: Record) -> Mapping[str, str | int]:
    """The term, and whom it follows: the log of that node may be out of reach for long."""
    before = max(record.suspects, key=lambda suspect: suspect.term, default=None)
    return values(
        term=record.version.term,
        suspects=len(record.suspects),
        peer="" if before is None else before.member,
    )


def _without_lease(before: State, now_ms: int) -> State:
    """The state from before, its lease lost; the stop itself was performed already."""
    state, _ = quorum.step(before, ClockSuspect("the lease ended while the disk refused"), now_ms)
    return state
