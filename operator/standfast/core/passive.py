"""Voters without a process: a store with conditional writes (S3 object, Kubernetes Lease).

Members run the voter's own rules on the store's behalf: read the slot, judge with the very text
of `voting`, write the result on the condition that nothing was written since, and only then take
the answer as the voter's. A store has no clock, so a promise in it has run out for a reader that
has seen the same value for the promised ttl on its own clock, counted from when the answer to its
first read arrived; that observation dies with the reader's run.

The adapter's duties: read and compare-and-swap by an opaque tag of the store; deliver the answer
of `vote` as `Received` only after the write succeeded (a refusal needs no write); treat an
unknown result as no answer at all. A store that cannot write conditionally is no voter.

Source: `docs/protocol.md`, section "Passive voters". Safety: S1, S4.
"""

from dataclasses import dataclass, replace

from standfast.core.events import Send
from standfast.core.ids import BootId, MemberUid, RunId
from standfast.core.messages import Body, Envelope, Fenced, Release, Renew, VoteRequest
from standfast.core.record import Record, former_holders
from standfast.core.state import Durable, Promise, State, Window
from standfast.core.turn import Turn
from standfast.core.voting import on_fenced, on_release, on_renew, on_vote_request

STORE_BOOT = BootId("store")
STORE_RUN = RunId("store")


@dataclass(frozen=True, slots=True)
class Promised:
    """A promise in a store: for how long, but not until when."""

    holder: MemberUid
    boot: BootId
    term: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Slot:
    """The value of a passive voter. Each one written is unique.

    Attributes:
        voter: The voter's identity.
        count: Raised by every write.
        writer: The run that wrote it, so that two values are never alike.
        window: After a release with successor: the release, for the ttl in `window_ttl_ms`.
    """

    voter: MemberUid
    record: Record
    count: int = 0
    writer: RunId = STORE_RUN
    term: int = 0
    voted_for: MemberUid | None = None
    promised: Promised | None = None
    fenced: tuple[Fenced, ...] = ()
    releases: tuple[Release, ...] = ()
    window: Release | None = None
    window_ttl_ms: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """What a reader knows of the time a value has stood.

    Attributes:
        slot: The value.
        since_ms: When the answer to the first read of this very value arrived, on its own clock.
    """

    slot: Slot
    since_ms: int


def observe(before: Observation | None, slot: Slot, now_ms: int) -> Observation:
    """Take note of a read whose answer arrived at `now_ms`."""
    if before is not None and before.slot == slot:
        return before
    return Observation(slot, now_ms)


def vote(
    seen: Observation, request: Envelope, now_ms: int
) -> tuple[Slot | None, tuple[Envelope, ...]]:
    """Let a message from this node reach a passive voter.

    Args:
        seen: The value read, and since when it has stood.
        request: What this node sends to the voter.
        now_ms: On this node's clock.

    Returns:
        The value to write on the condition that `seen.slot` still stands (none: no write), and the
        voter's answers, which count only once that write has succeeded.
    """
    turn = Turn(_as_state(seen, request), now_ms)
    body: Body = request.body
    match body:
        case VoteRequest():
            on_vote_request(turn, request, body)
        case Renew():
            on_renew(turn, request, body)
        case Release():
            on_release(turn, body)
        case Fenced():
            on_fenced(turn, body)
        case _:
            return None, ()
    state, effects = turn.finish()
    answers = tuple(e.envelope for e in effects if isinstance(e, Send))
    after = _as_slot(seen, state, request, now_ms)
    return after, tuple(replace(answer, generation=_count(seen, after)) for answer in answers)


def _without_the_past(state: State, request: Envelope, now_ms: int) -> State:
    """Without what no reader needs: a window that is over, members that left, earlier boots.

    Who writes is alive in its boot, so every other boot of that member is over. As long as the
    boot is suspected the entry is its proof.
    """
    suspected = {(s.member, s.boot) for s in former_holders(state.record)}
    known = {member.uid for member in state.record.config.everyone()}
    known |= {member for member, _ in suspected}
    fenced = tuple(
        f
        for f in state.durable.fenced
        if (f.member, f.boot) in suspected
        or (f.member in known and (f.member != request.sender or f.boot == request.boot))
    )
    window = state.window
    return replace(
        state,
        durable=replace(state.durable, fenced=fenced),
        window=window if window is not None and now_ms < window.until_ms else None,
        releases={uid: release for uid, release in state.releases.items() if uid in known},
    )


def _count(seen: Observation, after: Slot | None) -> int:
    return seen.slot.count if after is None else after.count


def _as_state(seen: Observation, request: Envelope) -> State:
    """The store as a voter's state, its lengths of time counted from the reader's first sight."""
    slot = seen.slot
    durable = Durable(
        cluster=request.cluster,
        me=slot.voter,
        record=slot.record,
        generation=slot.count,
        term=slot.term,
        voted_for=slot.voted_for,
        promised_ttl_ms=0 if slot.promised is None else slot.promised.ttl_ms,
        fenced=slot.fenced,
    )
    promised, window = slot.promised, slot.window
    return State(
        durable=durable,
        boot=STORE_BOOT,
        run=STORE_RUN,
        boot_hold_until_ms=seen.since_ms,
        promise=None
        if promised is None
        else Promise(
            promised.holder, promised.boot, promised.term, seen.since_ms + promised.ttl_ms
        ),
        window=None
        if window is None or window.successor is None
        else Window(window.successor, window, seen.since_ms + slot.window_ttl_ms),
        releases={release.member: release for release in slot.releases},
        stopped={release.member: release for release in slot.releases if release.stopped},
    )


def _as_slot(seen: Observation, state: State, request: Envelope, now_ms: int) -> Slot | None:
    """The value to write, or none when the message changed nothing."""
    before = _as_state(seen, request)
    same = (
        replace(state.durable, generation=0) == replace(before.durable, generation=0)
        and state.promise == before.promise
        and state.window == before.window
        and state.releases == before.releases
    )
    if same:
        return None
    state = _without_the_past(state, request, now_ms)
    promise, window = state.promise, state.window
    return Slot(
        voter=seen.slot.voter,
        record=state.record,
        count=seen.slot.count + 1,
        writer=request.run,
        term=state.durable.term,
        voted_for=state.durable.voted_for,
        promised=None
        if promise is None
        else Promised(promise.holder, promise.boot, promise.term, _length(promise, seen, now_ms)),
        fenced=state.durable.fenced,
        releases=tuple(state.releases.values()),
        window=None if window is None else window.release,
        window_ttl_ms=0 if window is None else state.record.config.ttl_ms,
    )


def _length(promise: Promise, seen: Observation, now_ms: int) -> int:
    """How long a promise lasts for whoever reads the new value; never shorter than before.

    A reader counts from when it first sees the new value, which is after now.
    """
    old = seen.slot.promised
    left_ms = promise.until_ms - now_ms
    kept = old is not None and (old.holder, old.boot) == (promise.holder, promise.boot)
    return max(left_ms, old.ttl_ms) if kept and old is not None else left_ms
