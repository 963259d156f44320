"""What must always be true: S1 to S4 of `docs/protocol.md` as predicates.

`broken` is local: one step of one member, cheap enough to be asserted after every step in
production and in the simulator. The others need a view of the whole cluster, which only the
simulator and the tests have: true time, what runs, what was acknowledged. None of them decides
anything; each returns what is wrong as a sentence, or none.

Source: `docs/protocol.md`, section "What must always be true".
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from standfast.core.events import Effect, EmergencyStop, Halted, Persist, Released, Send
from standfast.core.messages import Ack, Envelope, Grant
from standfast.core.state import Durable, State
from standfast.core.voting import is_fenced


def broken(before: State, after: State, effects: Sequence[Effect]) -> str | None:
    """The first local invariant that a step broke."""
    return (
        _durable(before.durable, after.durable)
        or _order(before, after, effects)
        or _votes(before, after)
        or _lease(before, after, effects)
        or _answers(before, after, effects)
    )


def _durable(before: Durable, after: Durable) -> str | None:
    """S4: terms and records never go back; every write is counted."""
    if before is after or before == after:
        return None
    if after.term < before.term:
        return f"the term went back from {before.term} to {after.term}"
    if after.record.version < before.record.version:
        return f"the record went back from {before.record.version} to {after.record.version}"
    if before.halted and not after.halted:
        return "a member that takes no part any more came back"
    if after.generation != before.generation + 1:
        return f"generation {before.generation} was followed by {after.generation}"
    return None


def _order(before: State, after: State, effects: Sequence[Effect]) -> str | None:
    """Durable before sent, and nothing before an emergency stop."""
    persisted = before.durable == after.durable
    for at, effect in enumerate(effects):
        match effect:
            case Persist(durable):
                if durable != after.durable:
                    return "something else was made durable than what the state holds"
                persisted = True
            case EmergencyStop() if any(not isinstance(e, EmergencyStop) for e in effects[:at]):
                return "an emergency stop waits for something"
            case Send() if not persisted:
                return "a message leaves before what it depends on is durable"
            case _:
                pass
    return None if persisted else "durable state changed and was not written"


def _votes(before: State, after: State) -> str | None:
    """A candidate votes for itself durably, and stands in a term once."""
    candidacy = after.candidacy
    if candidacy is None or candidacy.ask.pre:
        return None
    term = candidacy.ask.term
    if (after.durable.term, after.durable.voted_for) != (term, after.me):
        return f"stands for term {term} without its own vote"
    earlier = before.candidacy
    same = earlier is not None and not earlier.ask.pre and earlier.ask.term == term
    if not same and before.durable.term >= term:
        return f"stands for term {term} again"
    return None


def _lease(before: State, after: State, effects: Sequence[Effect]) -> str | None:
    """S1, S4: what a lease needs as long as it lasts, and that it ends only once."""
    held, old = after.holding, before.holding
    if held is None:
        ends = (EmergencyStop, Released, Halted)
        if old is not None and not any(isinstance(effect, ends) for effect in effects):
            return f"the lease of term {old.term} ended quietly"
        return None
    if after.must_stop is not None:
        return f"holds term {held.term} before the stop of term {after.must_stop} is verified"
    if after.durable.halted:
        return f"holds term {held.term} although it may take no part any more"
    if is_fenced(after.durable, after.me, after.boot):
        return f"holds term {held.term} in a boot that is attested powered off"
    given = after.releases.get(after.me)
    if given is not None and given.boot == after.boot and given.term >= held.term:
        return f"holds term {held.term} after releasing term {given.term}"
    if old is None and held.term <= before.last_term:
        return f"holds term {held.term} again after it held term {before.last_term}"
    if held.renews and _own_vote_until_ms(after) < held.lease_until_ms:
        return f"holds term {held.term} for longer than it is one of its own voters"
    return None


def _own_vote_until_ms(state: State) -> int:
    """Until when a holder's own vote is its own: by its promise, or by the hold after a start."""
    promise = state.promise
    if promise is None or (promise.holder, promise.boot) != (state.me, state.boot):
        return state.boot_hold_until_ms
    return max(promise.until_ms, state.boot_hold_until_ms)


def _answers(before: State, after: State, effects: Sequence[Effect]) -> str | None:
    """S4: what a voter says yes to is what it has promised."""
    for effect in effects:
        if isinstance(effect, Send):
            problem = _answer(before, after, effect.envelope)
            if problem is not None:
                return problem
    return None


def _answer(before: State, after: State, envelope: Envelope) -> str | None:
    body, to = envelope.body, envelope.to
    if not isinstance(body, Grant | Ack) or (isinstance(body, Grant) and body.pre):
        return None
    durable = after.durable
    if (durable.term, durable.voted_for) != (body.term, to):
        return f"says yes to {to} in term {body.term} without a vote for it"
    if after.promise is None or (after.promise.holder, after.promise.term) != (to, body.term):
        return f"says yes to {to} in term {body.term} without a promise to it"
    twice = before.durable.term == body.term and before.durable.voted_for not in {None, to}
    if isinstance(body, Grant) and twice:
        return f"grants term {body.term} to {to} after {before.durable.voted_for}"
    return None


@dataclass(frozen=True, slots=True)
class Running:
    """Something that runs on a node at one true moment.

    Attributes:
        what: Name of the resource.
        where: Name of the node.
    """

    what: str
    where: str


def two_holders(members: Iterable[tuple[str, State, int]]) -> str | None:
    """S1: at any true moment at most one member holds.

    Args:
        members: Name, state and the moment on the member's own clock, all at one true moment;
            only those whose clock is within its bound.
    """
    holders = [name for name, state, now_ms in members if state.holds(now_ms)]
    return f"{' and '.join(holders)} hold at once" if len(holders) > 1 else None


def runs_twice(running: Iterable[Running]) -> str | None:
    """S2: no exclusive resource runs on two nodes, no address is answered by two."""
    places: dict[str, str] = {}
    for one in running:
        other = places.setdefault(one.what, one.where)
        if other != one.where:
            return f"{one.what} runs on {other} and on {one.where}"
    return None


def lost(acknowledged: Iterable[int], have: Collection[int]) -> list[int]:
    """S3: acknowledged writes that the node which becomes active does not have."""
    return [number for number in acknowledged if number not in have]
