"""One member alone with what it is told: for tests of single rules.

`small_world` lets whole clusters talk; here a test plays everybody else.
"""

from dataclasses import replace

from standfast.core import quorum
from standfast.core.events import Effect, Event, LocalChanged, Received, Send, Stopped, Tick
from standfast.core.ids import FIRST, BootId, MemberUid, RunId, Version
from standfast.core.invariants import broken
from standfast.core.messages import (
    Ack,
    Ask,
    Body,
    Envelope,
    Grant,
    Hello,
    Refusal,
    Refuse,
    Renew,
    VoteRequest,
)
from standfast.core.record import Config, Holder, Record, first_record
from standfast.core.state import Local
from tests.unit.core.small_world import CLUSTER, A, B, W, config_of

BOOT = BootId("boot-1")
RUN = RunId("run-1")


class One:
    """A member, a clock that the test sets, and what it sent last."""

    def __init__(
        self, me: MemberUid = W, config: Config | None = None, *, record: Record | None = None
    ) -> None:
        self.config = config or config_of(A, B, W)
        self.now_ms = 100_000
        disk = quorum.durable_for(self.config, me, record)
        self.state, _ = quorum.start(disk, BOOT, RUN, self.now_ms)
        self.effects: tuple[Effect, ...] = ()
        self.generation = 0
        for other in self.config.everyone():
            if other.uid != me and self.record.version == FIRST:
                self.hear(other.uid, Hello(FIRST, FIRST, self.config.digest))
        if self.state.must_stop is not None:
            self.tell(Stopped())
            self.tell(LocalChanged(Local(eligible=True)))

    @property
    def record(self) -> Record:
        return self.state.record

    def tell(self, event: Event) -> tuple[Effect, ...]:
        before = self.state
        self.state, self.effects = quorum.step(before, event, self.now_ms)
        assert broken(before, self.state, self.effects) is None
        return self.effects

    def hear(
        self,
        sender: MemberUid,
        body: Body,
        *,
        boot: str = "boot-1",
        run: str = "run-1",
        **extra: object,
    ) -> tuple[Effect, ...]:
        self.generation += 1
        envelope = Envelope(
            cluster=CLUSTER,
            incarnation=self.config.incarnation,
            sender=sender,
            to=self.state.me,
            boot=BootId(f"{sender}-{boot}"),
            run=RunId(f"{sender}-{run}"),
            generation=self.generation,
            body=body,
        )
        return self.tell(Received(replace(envelope, **extra)))  # type: ignore[arg-type]

    def sent(self, kind: type[Body] | None = None) -> list[tuple[MemberUid, Body]]:
        return [
            (e.envelope.to, e.envelope.body)
            for e in self.effects
            if isinstance(e, Send) and (kind is None or isinstance(e.envelope.body, kind))
        ]

    def answer(self) -> Grant | Refuse | Ack:
        """The one answer that the last message brought."""
        ((_, body),) = self.sent()
        assert isinstance(body, Grant | Refuse | Ack)
        return body

    def ask(self, term: int, **changes: object) -> VoteRequest:
        ask = VoteRequest(False, 1, term, self.config.ttl_ms, self.record)
        return replace(ask, **changes)  # type: ignore[arg-type]

    def renew(self, term: int, beat: int = 1, **changes: object) -> Renew:
        renew = Renew(term, beat, self.config.ttl_ms, self.record.version)
        return replace(renew, **changes)  # type: ignore[arg-type]

    # --- a holder ------------------------------------------------------------------------------

    def stand(self) -> None:
        """Let time pass until it asks."""
        for _ in range(20_000):
            if self.state.candidacy is not None:
                return
            self.now_ms += 1
            self.tell(Tick())
        raise AssertionError("never stood")

    def stands_within(self, for_ms: int) -> bool:
        """Whether it asks anything while so much time passes, an open question given up first."""
        self.now_ms += self.config.timing.give_up_ms
        self.tell(Tick())
        for _ in range(for_ms // 10):
            if self.state.candidacy is not None:
                return True
            self.now_ms += 10
            self.tell(Tick())
        return False

    def win(self, *others: MemberUid, commits: bool = True) -> int:
        """Be elected by these, and have the first record acknowledged by them."""
        self.stand()
        for _ in range(2):
            for other in others:
                self.grant(other)
        held = self.state.holding
        assert held is not None
        if commits:
            for other in others:
                self.ack(other)
        return held.term

    def grant(self, voter: MemberUid, **changes: object) -> None:
        candidacy = self.state.candidacy
        if candidacy is None:
            return
        ask = candidacy.ask
        grant = Grant(
            ask.pre, ask.request, self.state.run, ask.term, ask.record.config.id, ask.ttl_ms
        )
        self.hear(voter, replace(grant, **changes))  # type: ignore[arg-type]

    def refuse(self, voter: MemberUid, **changes: object) -> None:
        candidacy = self.state.candidacy
        assert candidacy is not None
        ask = candidacy.ask
        refuse = Refuse(
            Ask.PRE_VOTE if ask.pre else Ask.VOTE,
            ask.request,
            self.state.run,
            ask.term,
            0,
            Refusal.PROMISED,
        )
        self.hear(voter, replace(refuse, **changes))  # type: ignore[arg-type]

    def ack(self, voter: MemberUid, **changes: object) -> None:
        held = self.state.holding
        assert held is not None
        ack = Ack(
            held.beat,
            self.state.run,
            held.term,
            self.record.version,
            self.record.config.id,
            held.ttl_ms,
            self.now_ms,
        )
        self.hear(voter, replace(ack, **changes))  # type: ignore[arg-type]


def record_of(
    config: Config, version: Version, holder: MemberUid | None, **changes: object
) -> Record:
    """A record as a holder would have written it."""
    by = None if holder is None else Holder(holder, BootId(f"{holder}-boot-1"))
    record = replace(first_record(config), version=version, holder=by)
    return replace(record, **changes)  # type: ignore[arg-type]
