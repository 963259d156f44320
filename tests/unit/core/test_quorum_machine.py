"""A hypothesis state machine over a small cluster: any order of events, every invariant.

Complements `tests/simulation`: here hypothesis chooses and shrinks, clocks do not drift, messages
are delivered, doubled or dropped one by one, and every step of every member is checked.
"""

from dataclasses import replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from standfast.core import quorum
from standfast.core.events import (
    Effect,
    EmergencyStop,
    Event,
    FencedReported,
    LeaseExtended,
    LeaseWon,
    LocalChanged,
    Received,
    Released,
    ReleaseRequested,
    Send,
    StandRequested,
    StopForRelease,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, MemberUid, RunId
from standfast.core.invariants import broken, two_holders
from standfast.core.messages import Envelope, Fenced, Grant
from standfast.core.quorum import Adopted
from standfast.core.state import Local, State
from standfast.core.timing import Profile
from tests.unit.core.small_world import A, B, W, config_of

MEMBERS = st.sampled_from([A, B, W])
NODES = st.sampled_from([A, B])
TIMING = Profile.FAST.timing


class Cluster(RuleBasedStateMachine):
    """Two nodes and a witness; the wire is a bag of messages."""

    @initialize()
    def begin(self) -> None:
        self.now_ms = 10_000
        self.wire: list[Envelope] = []
        self.cut: set[MemberUid] = set()
        self.states: dict[MemberUid, State] = {}
        self.boots = dict.fromkeys((A, B, W), 1)
        self.runs = 0
        self.deadlines: dict[MemberUid, Adopted] = {}
        self.stops: set[MemberUid] = set()
        self.grants: dict[tuple[MemberUid, int], MemberUid] = {}
        self.released: set[tuple[MemberUid, int]] = set()
        config = config_of(A, B, W, timing=TIMING)
        for uid in (A, B, W):
            self._start(uid, quorum.durable_for(config, uid))
        for uid in (A, B, W):
            state = self.states[uid]
            self.states[uid] = replace(state, confirmed=frozenset({A, B, W}))

    def _start(self, uid: MemberUid, disk: quorum.Durable) -> None:
        self.runs += 1
        boot, run = BootId(f"{uid}#{self.boots[uid]}"), RunId(f"{uid}/{self.runs}")
        adopted = self.deadlines.get(uid)
        self.stops.discard(uid)
        state, effects = quorum.start(disk, boot, run, self.now_ms, adopted)
        self.states[uid] = state
        self._perform(uid, effects)
        self._tell(uid, LocalChanged(Local(eligible=True)))

    def _tell(self, uid: MemberUid, event: Event) -> None:
        before = self.states[uid]
        after, effects = quorum.step(before, event, self.now_ms)
        assert broken(before, after, effects) is None
        self.states[uid] = after
        self._perform(uid, effects)

    def _perform(self, uid: MemberUid, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            match effect:
                case Send(envelope):
                    self._remember(envelope)
                    if not self.cut & {envelope.sender, envelope.to}:
                        self.wire.append(envelope)
                case LeaseWon(term, until_ms):
                    assert (uid, term) not in self.released
                    self.deadlines[uid] = Adopted(term, until_ms)
                case LeaseExtended(term, until_ms):
                    self.deadlines[uid] = Adopted(term, until_ms)
                case EmergencyStop() | StopForRelease():
                    self.stops.add(uid)
                    if isinstance(effect, EmergencyStop):
                        self.deadlines.pop(uid, None)
                case Released(term):
                    self.released.add((uid, term))
                    self.deadlines.pop(uid, None)
                case _:
                    pass

    def _remember(self, envelope: Envelope) -> None:
        body = envelope.body
        if isinstance(body, Grant) and not body.pre:
            earlier = self.grants.setdefault((envelope.sender, body.term), envelope.to)
            assert earlier == envelope.to

    @rule(
        for_ms=st.sampled_from([1, 20, 60, 100, 200, 360, 720]),
        flows=st.sampled_from([True, True, True, False]),
    )
    def time_passes(self, for_ms: int, flows: bool) -> None:
        """Everybody looks at the clock as often as the contract says; messages may flow."""
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            if flows:
                self.everything_arrives()
            dues = [quorum.wake_at_ms(state) for state in self.states.values()]
            next_ms = min([due for due in dues if due is not None], default=end_ms)
            self.now_ms = min(max(next_ms, self.now_ms + 1), end_ms)
            for uid, state in list(self.states.items()):
                due = quorum.wake_at_ms(state)
                if due is not None and due <= self.now_ms:
                    self._tell(uid, Tick())

    @rule(at=st.integers(0, 200), twice=st.booleans())
    def a_message_arrives(self, at: int, twice: bool) -> None:
        if self.wire:
            envelope = self.wire[at % len(self.wire)]
            if not twice:
                self.wire.remove(envelope)
            self._tell(envelope.to, Received(envelope))

    @rule()
    def everything_arrives(self) -> None:
        for _ in range(6):
            wire, self.wire = self.wire, []
            for envelope in wire:
                self._tell(envelope.to, Received(envelope))

    @rule(uid=MEMBERS)
    def messages_to_one_are_lost(self, uid: MemberUid) -> None:
        self.wire = [envelope for envelope in self.wire if envelope.to != uid]

    @rule(uid=MEMBERS)
    def a_member_is_cut_off_or_back(self, uid: MemberUid) -> None:
        self.cut ^= {uid}

    @rule()
    def everything_stops_that_has_to(self) -> None:
        for uid in (A, B):
            self.everything_is_verified_stopped(uid)

    @rule(uid=MEMBERS)
    def an_agent_restarts(self, uid: MemberUid) -> None:
        self._start(uid, self.states[uid].durable)

    @rule(uid=MEMBERS)
    def a_machine_reboots(self, uid: MemberUid) -> None:
        self.boots[uid] += 1
        self.deadlines.pop(uid, None)
        self._start(uid, self.states[uid].durable)

    @rule(uid=NODES, to=MEMBERS)
    def a_node_is_powered_off_and_attested(self, uid: MemberUid, to: MemberUid) -> None:
        boot = self.states[uid].boot
        self.a_machine_reboots(uid)
        self._tell(to, FencedReported(Fenced(uid, boot)))

    @rule(uid=NODES)
    def everything_is_verified_stopped(self, uid: MemberUid) -> None:
        if uid in self.stops:
            self.stops.discard(uid)
            self._tell(uid, Stopped())

    @rule(uid=NODES)
    def a_node_is_asked_to_stand(self, uid: MemberUid) -> None:
        self._tell(uid, StandRequested())

    @rule(uid=NODES, successor=st.sampled_from([None, A, B]))
    def a_release_is_asked_for(self, uid: MemberUid, successor: MemberUid | None) -> None:
        self._tell(uid, ReleaseRequested(successor))

    @invariant()
    def at_most_one_holds(self) -> None:
        views = [(uid, state, self.now_ms) for uid, state in self.states.items()]
        assert two_holders(views) is None


TestCluster = Cluster.TestCase
TestCluster.settings = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
