"""A small world for directed tests: members, a perfect or cut network, one shared clock.

Messages take one millisecond; tests cut links, stop members and restart them by hand. The
randomised world with drifting clocks is `tests/simulation`.
"""

from collections.abc import Iterable
from dataclasses import replace

from standfast.core import quorum
from standfast.core.events import (
    Effect,
    EmergencyStop,
    Event,
    LocalChanged,
    Persist,
    Received,
    RecordCommitted,
    Send,
    StopForRelease,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId
from standfast.core.messages import Envelope
from standfast.core.quorum import Adopted
from standfast.core.record import Config, DataMode, Member, MemberKind
from standfast.core.state import Durable, Local, State
from standfast.core.timing import Profile, Timing

A, B, C, W, X = (MemberUid(name) for name in ("a", "b", "c", "w", "x"))
CLUSTER = ClusterUid("cluster")


def member(uid: MemberUid) -> Member:
    kind = MemberKind.WITNESS if uid in {W, X} else MemberKind.DATA
    return Member(uid, f"node-{uid}", kind)


def config_of(
    *uids: MemberUid,
    data: DataMode = DataMode.NONE,
    timing: Timing = Profile.NORMAL.timing,
    loss_max: int = 0,
) -> Config:
    members = tuple(member(uid) for uid in uids)
    return Config(CLUSTER, members, timing, data, loss_max=loss_max)


class World:
    """Members that talk to each other, one millisecond at a time."""

    def __init__(
        self, config: Config, *, stops_by_itself: bool = True, others: Iterable[MemberUid] = ()
    ) -> None:
        self.config = config
        self.now_ms = 1_000
        self.states: dict[MemberUid, State] = {}
        self.effects: list[tuple[int, MemberUid, Effect]] = []
        self.cut: set[tuple[MemberUid, MemberUid]] = set()
        self.dead: set[MemberUid] = set()
        self.stops_by_itself = stops_by_itself
        self._wire: list[tuple[int, Envelope]] = []
        self._runs = 0
        for one in (*config.members, *(member(uid) for uid in others)):
            self.boot(one.uid, quorum.durable_for(config, one.uid), boot=f"{one.uid}-boot-1")

    def boot(
        self,
        uid: MemberUid,
        durable: Durable | None = None,
        *,
        boot: str | None = None,
        adopted: Adopted | None = None,
    ) -> None:
        """Start a member: from its disk, in its old boot unless another is named."""
        old = self.states.get(uid)
        disk = durable or (old.durable if old is not None else None)
        assert disk is not None
        boot_id = BootId(boot) if boot is not None else old.boot if old is not None else None
        assert boot_id is not None
        self._runs += 1
        self.dead.discard(uid)
        self.cut = {pair for pair in self.cut if uid not in pair}
        state, effects = quorum.start(
            disk, boot_id, RunId(f"{uid}-run-{self._runs}"), self.now_ms, adopted
        )
        self.states[uid] = state
        self._perform(uid, effects)
        self.tell(uid, LocalChanged(Local(eligible=True)))

    def crash(self, uid: MemberUid) -> None:
        self.cut |= {(uid, other) for other in self.states}
        self.cut |= {(other, uid) for other in self.states}
        self.dead.add(uid)

    def isolate(self, uid: MemberUid) -> None:
        self.cut |= {(uid, o) for o in self.states if o != uid}
        self.cut |= {(o, uid) for o in self.states if o != uid}

    def heal(self) -> None:
        self.cut = set()

    def tell(self, uid: MemberUid, event: Event) -> tuple[Effect, ...]:
        self.states[uid], effects = quorum.step(self.states[uid], event, self.now_ms)
        self._perform(uid, effects)
        return effects

    def run(self, for_ms: int) -> None:
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.now_ms += 1
            due = [e for at_ms, e in self._wire if at_ms <= self.now_ms]
            self._wire = [(at_ms, e) for at_ms, e in self._wire if at_ms > self.now_ms]
            for envelope in due:
                if envelope.to not in self.dead and envelope.to in self.states:
                    self.tell(envelope.to, Received(envelope))
            for uid, state in list(self.states.items()):
                wake_ms = quorum.wake_at_ms(state)
                if uid not in self.dead and wake_ms is not None and wake_ms <= self.now_ms:
                    self.tell(uid, Tick())
            self.check()

    def holders(self) -> list[MemberUid]:
        return [u for u, s in self.states.items() if u not in self.dead and s.holds(self.now_ms)]

    def serving(self) -> list[MemberUid]:
        return [u for u, s in self.states.items() if u not in self.dead and s.serves(self.now_ms)]

    def seen(self, kind: type[Effect], uid: MemberUid | None = None) -> list[Effect]:
        return [e for _, who, e in self.effects if isinstance(e, kind) and uid in {None, who}]

    def committed(self, uid: MemberUid) -> list[RecordCommitted]:
        return [e for e in self.seen(RecordCommitted, uid) if isinstance(e, RecordCommitted)]

    def check(self) -> None:
        assert len(self.holders()) <= 1, f"two holders at {self.now_ms}: {self.holders()}"

    def _perform(self, uid: MemberUid, effects: Iterable[Effect]) -> None:
        sent = False
        for effect in effects:
            self.effects.append((self.now_ms, uid, effect))
            match effect:
                case Persist():
                    assert not sent, "durable before sent"
                case Send(envelope):
                    sent = True
                    if (uid, envelope.to) not in self.cut:
                        self._wire.append((self.now_ms + 1, envelope))
                case EmergencyStop() | StopForRelease():
                    if self.stops_by_itself:
                        self._stop(uid)
                case _:
                    pass

    def _stop(self, uid: MemberUid) -> None:
        state, effects = quorum.step(self.states[uid], Stopped(), self.now_ms)
        self.states[uid] = state
        self._perform(uid, effects)

    def local(self, uid: MemberUid, **changes: object) -> None:
        state = self.states[uid]
        self.tell(uid, LocalChanged(replace(state.local, **changes)))  # type: ignore[arg-type]
