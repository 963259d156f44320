"""One step in the making: the state so far and the effects so far.

The only mutable thing in the core, and it never leaves `quorum.step`. It keeps two rules in one
place: durable before sent, and nothing may delay an emergency stop.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypedDict, TypeVar, Unpack

from standfast.core.events import (
    Effect,
    EmergencyStop,
    Halted,
    LeaseExtended,
    Loss,
    Persist,
    ProofFound,
    Send,
)
from standfast.core.ids import MemberUid
from standfast.core.messages import Body, Envelope, Fenced
from standfast.core.proof import FULL
from standfast.core.record import (
    Config,
    MemberKind,
    Proof,
    Record,
    Suspect,
    former_holders,
)
from standfast.core.state import Durable, Holding, State

PROOFS_KEPT = 16
"""Proofs against nobody on the record that a member remembers."""

T = TypeVar("T")


class DurableChanges(TypedDict, total=False):
    """Fields of `Durable` that a rule may change."""

    record: Record
    term: int
    voted_for: MemberUid | None
    promised_ttl_ms: int
    fenced: tuple[Fenced, ...]
    halted: str


class Turn:
    """What one event has changed until now."""

    __slots__ = ("_before", "_effects", "_stops", "now_ms", "state")

    def __init__(self, state: State, now_ms: int) -> None:
        self.state = state
        self.now_ms = now_ms
        self._before = state.durable
        self._stops: list[Effect] = []
        self._effects: list[Effect | tuple[MemberUid, Body]] = []

    @property
    def durable(self) -> Durable:
        return self.state.durable

    @property
    def record(self) -> Record:
        return self.state.durable.record

    @property
    def config(self) -> Config:
        return self.state.durable.record.config

    @property
    def me(self) -> MemberUid:
        return self.state.durable.me

    @property
    def is_data_node(self) -> bool:
        member = self.config.member(self.me)
        return member is not None and member.kind is MemberKind.DATA

    def save(self, **changes: Unpack[DurableChanges]) -> None:
        """Change durable state; written once, before anything of this step is sent."""
        self.state = replace(self.state, durable=replace(self.state.durable, **changes))

    def store_record(self, record: Record) -> None:
        """Take over a newer record; a promise given under a longer ttl is not forgotten."""
        assert record.version > self.record.version, "an older record never replaces a newer one"
        before = self.config
        if record.config.ttl_ms < before.ttl_ms:
            self.save(promised_ttl_ms=max(self.durable.promised_ttl_ms, before.ttl_ms))
        self.save(record=record)
        if record.config.id != before.id:
            self._forget_strangers()
        self._forget_proofs()

    def _forget_strangers(self) -> None:
        """Of members that left the config nothing is remembered but what suspects need."""
        known = {member.uid for member in self.config.everyone()}
        known |= {suspect.member for suspect in former_holders(self.record)}
        fenced = tuple(f for f in self.durable.fenced if f.member in known)
        if fenced != self.durable.fenced:
            self.save(fenced=fenced)
        state = self.state
        self.state = replace(
            state,
            releases=_of(known, state.releases),
            stopped=_of(known, state.stopped),
            peers=_of(known, state.peers),
            confirmed=state.confirmed & known,
        )

    def _forget_proofs(self) -> None:
        """Proofs against nobody on the record: a few, for a record may yet be overtaken."""
        wanted = set(former_holders(self.record))
        others = [suspect for suspect in self.state.proofs if suspect not in wanted]
        for suspect in others[: max(0, len(others) - PROOFS_KEPT)]:
            proofs = {s: p for s, p in self.state.proofs.items() if s != suspect}
            vouched = {s: who for s, who in self.state.vouched.items() if s != suspect}
            self.state = replace(self.state, proofs=proofs, vouched=vouched)

    def emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def send(self, to: MemberUid, body: Body) -> None:
        self._effects.append((to, body))

    def broadcast(self, body: Body) -> None:
        for member in self.config.everyone():
            if member.uid != self.me:
                self.send(member.uid, body)

    def hold(self, holding: Holding) -> None:
        self.state = replace(self.state, holding=holding)

    def move_lease(self, until_ms: int) -> None:
        held = self.state.holding
        assert held is not None
        if until_ms != held.lease_until_ms:
            self.hold(replace(held, lease_until_ms=until_ms))
            self.emit(LeaseExtended(held.term, until_ms))

    def lose(self, loss: Loss, message: str) -> None:
        """The lease ended otherwise than by release: late answers do not revive it."""
        held = self.state.holding
        if held is None:
            return
        self.state = replace(
            self.state,
            holding=None,
            candidacy=None,
            reserved={},
            must_stop=held.term,
            last_term=max(held.term, self.state.last_term),
            stand_at_ms=None,
        )
        self._stops.append(EmergencyStop(held.term, loss, message))

    def stop_first(self, message: str) -> None:
        """A node that has become a member: nothing is stood for before nothing is seen to run."""
        self.state = replace(self.state, must_stop=0)
        self._stops.append(EmergencyStop(0, Loss.JOINED, message))

    def halt(self, message: str) -> None:
        """This member takes no part any more; a person enrols it as a new one."""
        self.lose(Loss.HALTED, message)
        self.save(halted=message)
        self.state = replace(self.state, candidacy=None, stand_at_ms=None)
        self.emit(Halted(message))

    def reserve(self, suspect: Suspect, disk: str) -> None:
        """Note that the storage of one disk shuts a suspect out, as long as this lease lasts."""
        known = self.state.reserved.get(disk, frozenset())
        if suspect not in known:
            reserved = {**self.state.reserved, disk: known | {suspect}}
            self.state = replace(self.state, reserved=reserved)
            self.emit(ProofFound(suspect, Proof.RESERVED, disk))

    def prove(self, suspect: Suspect, proof: Proof) -> None:
        """Keep the first proof, and the first full one above a lesser one."""
        assert proof is not Proof.RESERVED, "a reservation is good for one disk only"
        known = self.state.proofs.get(suspect)
        if known in FULL or (known is not None and proof not in FULL):
            return
        self.state = replace(self.state, proofs={**self.state.proofs, suspect: proof})
        self.emit(ProofFound(suspect, proof))

    def finish(self) -> tuple[State, tuple[Effect, ...]]:
        """The next state, and the effects in the order in which they must be performed."""
        if self.state.durable != self._before:
            written = replace(self.state.durable, generation=self._before.generation + 1)
            self.state = replace(self.state, durable=written)
            self._stops.append(Persist(written))
        effects = [e if not isinstance(e, tuple) else Send(self._wrap(*e)) for e in self._effects]
        return self.state, (*self._stops, *effects)

    def _wrap(self, to: MemberUid, body: Body) -> Envelope:
        state = self.state
        peer = state.peers.get(to)
        return Envelope(
            cluster=state.durable.cluster,
            incarnation=state.record.config.incarnation,
            sender=state.durable.me,
            to=to,
            boot=state.boot,
            run=state.run,
            generation=state.durable.generation,
            body=body,
            seen_generation=0 if peer is None else peer.generation,
            seen_run=None if peer is None else peer.run,
            clean=state.must_stop is None,
        )


def _of(known: AbstractSet[MemberUid], held: Mapping[MemberUid, T]) -> dict[MemberUid, T]:
    return {uid: value for uid, value in held.items() if uid in known}
