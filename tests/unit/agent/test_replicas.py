"""The node's copies: told whom to follow, and for whom writes wait."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import pytest

from standfast.adapters.fakes import FakeClock, RecordingSink
from standfast.agent.replicas import (
    BEHIND_MS,
    LOOK_MS,
    MARKED_MS,
    MARKS,
    POSITION_MS,
    Replicas,
    place_of,
)
from standfast.core.events import Effect, Event, InSyncProposed, PositionProposed
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId, Version
from standfast.core.in_sync import PATIENCE_MS, SETTLED_MS
from standfast.core.record import Config, DataMode, Holder, Member, MemberKind, Record
from standfast.core.state import Durable, Holding, State
from standfast.core.timing import Profile
from standfast.ports.replication import (
    Follower,
    Leader,
    Neighbour,
    Part,
    Place,
    Replica,
    Replication,
)
from standfast.wire.frames import Facts

A, B, W = MemberUid("a"), MemberUid("b"), MemberUid("w")
MEMBERS = (
    Member(A, "vm-a", MemberKind.DATA, ("10.0.1.1:7380", "[fd00::1]:7380")),
    Member(B, "vm-b", MemberKind.DATA, ("10.0.1.2:7380",)),
    Member(W, "third", MemberKind.WITNESS, ("10.0.1.9:7380",)),
)
CONFIG = Config(ClusterUid("c"), MEMBERS, Profile.NORMAL.timing, DataMode.REPLICATED)
NODE_A = Neighbour("a", "vm-a", ("10.0.1.1", "fd00::1"))
NODE_B = Neighbour("b", "vm-b", ("10.0.1.2",))


def record(*in_sync: MemberUid, holder: MemberUid | None = A, seq: int = 1) -> Record:
    held_by = None if holder is None else Holder(holder, BootId(f"boot-{holder}"))
    return Record(Version(1, seq), CONFIG, held_by, frozenset(in_sync))


def state(
    me: MemberUid,
    now: Record,
    *proposals: Record,
    releasing: bool = False,
    renews: bool = True,
) -> State:
    """A member; with proposals it holds the lease, and the first of them is committed."""
    durable = Durable(CONFIG.cluster, me, now)
    made = State(durable, BootId(f"boot-{me}"), RunId("run"), boot_hold_until_ms=0)
    if not proposals:
        return made
    lease = Holding(
        term=1,
        won_at_ms=0,
        lease_until_ms=10**9,
        kept_until_ms=10**9,
        assured={},
        acked={},
        proposals=proposals,
        next_beat_at_ms=0,
        ttl_ms=1500,
        committed=proposals[0].version,
        releasing=releasing,
        renews=renews,
    )
    return replace(made, holding=lease)


@dataclass
class FakeCopy:
    """A `Replica` that remembers what it was told and says what the test wants."""

    places: list[Place] = field(default_factory=list)
    leaders: list[Leader | None] = field(default_factory=list)
    required: frozenset[str] = frozenset()
    invites: bytes = b""
    now: Replication = field(default_factory=lambda: Replication(Part.UNKNOWN, ""))

    def settle(self, place: Place) -> None:
        self.places.append(place)

    def follow(self, leader: Leader | None) -> None:
        self.leaders.append(leader)

    def require(self, members: frozenset[str]) -> None:
        self.required = members

    async def prepare(self) -> None:
        pass

    def invitation(self) -> bytes:
        return self.invites

    def replication(self) -> Replication:
        return self.now

    async def tend(self, news: Callable[[], None]) -> None:
        await asyncio.Event().wait()


@dataclass
class FakeLinks:
    """What others told."""

    told: Mapping[MemberUid, Facts] = field(default_factory=dict)

    def facts(self, uid: MemberUid) -> Facts:
        return self.told.get(uid, Facts())


@dataclass
class FakeVoter:
    """Commits whatever is proposed."""

    state: State
    proposals: list[frozenset[MemberUid]] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    def take(self, event: Event) -> tuple[Effect, ...]:
        if isinstance(event, PositionProposed):
            self.positions.append(event.position)
            return ()
        assert isinstance(event, InSyncProposed)
        self.proposals.append(event.in_sync)
        before = self.state.record
        now = replace(before, version=Version(1, before.version.seq + 1), in_sync=event.in_sync)
        assert self.state.holding is not None
        proposals = (*self.state.holding.proposals, now)
        self.state = replace(
            self.state,
            durable=replace(self.state.durable, record=now),
            holding=replace(self.state.holding, proposals=proposals),
        )
        return ()

    def commit(self) -> None:
        assert self.state.holding is not None
        self.state = replace(
            self.state, holding=replace(self.state.holding, proposals=(self.state.record,))
        )


@dataclass
class Node:
    """The copies of one node, looked after as the agent does."""

    copy: FakeCopy = field(default_factory=FakeCopy)
    clock: FakeClock = field(default_factory=FakeClock)
    sink: RecordingSink = field(default_factory=RecordingSink)
    links: FakeLinks = field(default_factory=FakeLinks)

    def __post_init__(self) -> None:
        assert isinstance(self.copy, Replica)
        self.copies: dict[str, Replica] = {"pg": self.copy}
        self.replicas = Replicas(lambda: self.copies, self.clock, self.sink)

    def tell(self, now: State) -> None:
        self.replicas.tell(now, self.links)

    def keep(self, voter: FakeVoter, ms: int = 0) -> None:
        for _ in range(ms // LOOK_MS + 1):
            assert self.replicas.is_due(voter.state)
            self.replicas.keep(voter)
            self.clock.advance(LOOK_MS)


def serving(position: int, *followers: Follower) -> Replication:
    return Replication(Part.ACTIVE, "active", position=position, followers=followers)


def follower(position: int, *, holds_all: bool = False) -> Follower:
    return Follower("b", position, 0, is_connected=True, holds_all=holds_all)


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_copy_knows_its_place_once(node: Node) -> None:
    now = state(A, record(A, B))
    node.tell(now)
    node.tell(now)
    assert node.copy.places == [Place("c", NODE_A, (NODE_B,), begins=True)]
    assert place_of(state(B, record(A, B))) == Place("c", NODE_B, (NODE_A,), begins=False)
    assert place_of(state(W, record(A, B))) is None


def test_a_standby_follows_whom_the_record_names_by_what_that_one_tells(node: Node) -> None:
    now = state(B, record(A))
    node.tell(now)
    node.links.told = {A: Facts(invitations={"pg": b"come", "other": b"no"})}
    node.tell(now)
    assert node.copy.leaders == [Leader(NODE_A, term=1), Leader(NODE_A, b"come", term=1)]
    node.tell(state(B, record(A, B)))
    assert node.copy.leaders[-1] == Leader(NODE_A, b"come", term=1, counts_on_me=True)


def test_nobody_is_followed_when_nobody_led_or_this_node_did(node: Node) -> None:
    node.tell(state(B, record(A, B, holder=None)))
    node.tell(state(B, record(B, holder=B)))
    assert node.copy.leaders == [None, None]


def test_an_active_copy_invites(node: Node) -> None:
    assert node.replicas.invitations() == {}
    node.copy.invites = b"come"
    assert node.replicas.invitations() == {"pg": b"come"}


def test_writes_wait_for_committed_and_proposed(node: Node) -> None:
    node.replicas.require(state(A, record(A, seq=2), record(A, B), record(A, seq=2)))
    assert node.copy.required == {"b"}
    node.replicas.require(state(A, record(A, seq=2), record(A, seq=2)))
    assert node.copy.required == frozenset()


def test_grow_the_set_then_propose_commit_then_shrink(node: Node) -> None:
    voter = FakeVoter(state(A, record(A), record(A)))
    node.copy.now = serving(1000, follower(1000))
    node.keep(voter)
    assert node.copy.required == frozenset()
    node.keep(voter, SETTLED_MS)
    assert node.copy.required == {"b"}
    assert not voter.proposals
    node.replicas.require(voter.state)  # another record was committed meanwhile
    assert node.copy.required == {"b"}
    node.copy.now = serving(1000, follower(1000, holds_all=True))
    node.keep(voter)
    assert voter.proposals == [frozenset({A, B})]
    voter.commit()
    node.copy.now = serving(2000)
    node.keep(voter, PATIENCE_MS)
    assert voter.proposals[1:] == [frozenset({A})]
    node.replicas.require(voter.state)
    assert node.copy.required == {"b"}, "it is not committed yet"
    voter.commit()
    node.replicas.require(voter.state)
    assert node.copy.required == frozenset()
    assert [note.kind for note in node.sink.notes] == ["InSync", "OutOfSync"]


def test_a_copy_that_does_not_answer_drops_nobody(node: Node) -> None:
    """A node whose own disk hangs must not make itself the only one that may lead."""
    voter = FakeVoter(state(A, record(A, B), record(A, B)))
    node.copy.now = Replication(Part.UNKNOWN, "the server did not answer")
    node.keep(voter, 10 * PATIENCE_MS)
    assert voter.proposals == []


def test_while_handing_over_nobody_is_judged(node: Node) -> None:
    voter = FakeVoter(state(A, record(A, B), record(A, B), releasing=True))
    node.copy.now = serving(1000)
    node.keep(voter, 10 * PATIENCE_MS)
    assert voter.proposals == []


def test_a_lease_that_runs_out_proposes_nothing(node: Node) -> None:
    voter = FakeVoter(state(A, record(A, B), record(A, B), renews=False))
    node.copy.now = serving(1000)
    node.keep(voter, 10 * PATIENCE_MS)
    assert voter.proposals == []


def test_a_standby_has_nothing_to_keep(node: Node) -> None:
    now = state(B, record(A))
    assert node.replicas.next_ms(now) is None
    node.replicas.keep(FakeVoter(now))
    assert node.copy.required == frozenset()


def test_positions_that_move_on_are_no_news(node: Node) -> None:
    assert node.replicas.has_news()
    node.copy.now = serving(1000, follower(1000))
    assert node.replicas.has_news()
    node.copy.now = serving(2000, follower(1500))
    assert not node.replicas.has_news()
    node.copy.now = serving(2000)
    assert node.replicas.has_news()


def test_the_status_of_a_copy(node: Node) -> None:
    node.copy.now = Replication(Part.STANDBY, "following vm-a", 1000, 7, 30)
    shown = node.replicas.status("pg")
    assert shown is not None
    assert (shown.role, shown.position, shown.lag_bytes, shown.lag_ms) == ("Standby", 1000, 7, 30)
    assert node.replicas.status("vip") is None


# ------------------------------------------------------------------ asynchronous


def asynchronous(now: State, *, position: int | None = None, loss_max: int = 100) -> State:
    """The same, where up to so many bytes may be lost."""
    config = replace(CONFIG, data=DataMode.REPLICATED_ASYNC, loss_max=loss_max)
    known = replace(now.durable.record, config=config, position=position)
    lease = now.holding
    if lease is not None:
        lease = replace(lease, proposals=(known,))
    return replace(now, durable=replace(now.durable, record=known), holding=lease)


def test_asynchronous_writes_wait_for_nobody_and_the_record_says_how_far_they_reach(
    node: Node,
) -> None:
    voter = FakeVoter(asynchronous(state(A, record(A), record(A))))
    node.copy.now = serving(500, follower(450))
    node.keep(voter, 1000)
    assert (voter.positions, voter.proposals) == ([500, 500], [])
    assert node.copy.required == frozenset()


def test_votes_do_not_stand_still_while_synchronous_data_move_on(node: Node) -> None:
    """F20: an image of before would come back with votes that nobody finds old."""
    voter = FakeVoter(state(A, record(A, B), record(A, B)))
    node.copy.now = serving(500, follower(500, holds_all=True))
    node.keep(voter)
    node.copy.now = serving(700, follower(700, holds_all=True))
    node.keep(voter, MARKED_MS - 3 * LOOK_MS)
    assert voter.positions == [500]
    node.keep(voter, 3 * LOOK_MS)
    assert voter.positions == [500, 700]
    node.copy.now = serving(900, follower(900, holds_all=True))
    node.replicas.mark()
    node.keep(voter, 10 * POSITION_MS)
    assert voter.positions == [500, 700, *[900] * MARKS], "soon when an image was taken"


def test_a_position_counts_only_where_it_is_known_to_be_the_leaders(node: Node) -> None:
    now = asynchronous(state(B, record(A)), position=7)
    node.copy.now = Replication(Part.STANDBY, "", position=7)
    assert node.replicas.position(now) is None
    node.copy.now = replace(node.copy.now, is_of_leader=True)
    assert node.replicas.position(now) == 7


def two_databases(node: Node, orders: int, stock: int) -> None:
    node.copy.now = Replication(Part.STANDBY, "", orders, is_of_leader=True)
    node.copies["stock"] = FakeCopy(now=Replication(Part.STANDBY, "", stock, is_of_leader=True))


def test_what_one_database_gained_hides_nothing_that_another_lost(node: Node) -> None:
    """Recorded: 1000 + 1000. After that 900 came of one, and 900 of the other never did."""
    now = asynchronous(state(B, record(A)), position=2000, loss_max=100)
    two_databases(node, 1900, 100)
    node.links = FakeLinks({A: Facts(positions={"pg": 1000, "stock": 1000})})
    node.tell(now)
    assert node.replicas.position(now) == 1100
    assert node.replicas.lacks(now) == 900
    node.links = FakeLinks()  # the leader has died, what it told is remembered
    node.tell(now)
    node.replicas.warn(now, somebody_holds=False)
    (alert,) = node.sink.alerts.values()
    assert "lacks 900 bytes" in alert.message


def test_positions_of_several_databases_count_by_the_record_that_they_were_told_with(
    node: Node,
) -> None:
    now = asynchronous(state(B, record(A)), position=2000)
    two_databases(node, 1500, 1000)
    assert node.replicas.position(now) is None, "nobody told how the sum is made up"
    for told in (
        {"pg": 900, "stock": 900},
        {"pg": 1000, "stock": 1000},
        {"pg": 1500, "stock": 1600},
    ):
        node.links = FakeLinks({A: Facts(positions=told)})
        node.tell(now)
    assert node.replicas.position(now) == 2000, "the last one is of no record that is known here"
    later = asynchronous(state(B, record(A)), position=3100)
    assert node.replicas.position(later) == 2500
    other = asynchronous(state(B, record(B, holder=B)), position=2000)
    node.tell(other)
    assert node.replicas.position(now) is None, "of another leader"


def test_the_leader_of_several_databases_tells_what_its_position_is_made_of(node: Node) -> None:
    voter = FakeVoter(asynchronous(state(A, record(A), record(A))))
    node.copy.now = serving(500, follower(450))
    node.keep(voter)
    assert node.replicas.positions() == {}, "of one the sum says it"
    node.copies["stock"] = FakeCopy(now=serving(70, follower(60)))
    node.keep(voter, 1000)
    assert node.replicas.positions() == {"pg": 500, "stock": 70}
    assert voter.positions[-1] == 570


def test_a_takeover_beyond_the_bound_is_withheld_and_says_what_would_be_lost(node: Node) -> None:
    now = asynchronous(state(B, record(A)), position=300 << 10, loss_max=100 << 10)
    node.copy.now = Replication(Part.STANDBY, "", position=250 << 10, is_of_leader=True)
    node.replicas.warn(now, somebody_holds=False)
    assert not node.sink.alerts, "within the bound"

    node.copy.now = replace(node.copy.now, position=150 << 10)
    node.replicas.warn(now, somebody_holds=True)
    assert not node.sink.alerts, "nothing is to be taken over"

    node.replicas.warn(now, somebody_holds=False)
    (alert,) = node.sink.alerts.values()
    assert "lacks 150.0 KiB of what vm-a had, and at most 100.0 KiB may be lost" in alert.message
    assert "acknowledged in its last 2.5 s" in alert.message
    assert "kubectl standfast consent CLUSTER --lose vm-b" in alert.remedy

    node.copy.now = replace(node.copy.now, is_of_leader=False)
    node.replicas.warn(now, somebody_holds=False)
    (alert,) = node.sink.alerts.values()
    assert "is not known" in alert.message

    node.replicas.warn(now, somebody_holds=True)
    assert not node.sink.alerts


def test_how_much_a_node_lacks_is_known_before_it_stands(node: Node) -> None:
    now = asynchronous(state(B, record(A)), position=300)
    node.copy.now = Replication(Part.STANDBY, "", position=250, is_of_leader=True)
    assert node.replicas.lacks(now) == 50
    assert node.replicas.lacks(asynchronous(state(B, record(B, holder=B)), position=300)) == 0
    assert node.replicas.lacks(state(B, record(A))) is None


def test_an_active_node_that_nobody_follows_closely_says_so(node: Node) -> None:
    voter = FakeVoter(asynchronous(state(A, record(A), record(A))))
    near = follower(450)
    node.copy.now = serving(500, near)
    node.keep(voter, BEHIND_MS)
    node.replicas.warn(voter.state, somebody_holds=True)
    assert not node.sink.alerts

    node.copy.now = serving(500, replace(near, lag_bytes=101))
    node.keep(voter, BEHIND_MS)
    node.replicas.warn(voter.state, somebody_holds=True)
    (alert,) = node.sink.alerts.values()
    assert "the nearest copy lacks at most 64.0 KiB" in alert.message

    node.copy.now = replace(serving(900), absent=(("b", 70 << 10),))
    node.replicas.warn(voter.state, somebody_holds=True)
    (alert,) = node.sink.alerts.values()
    assert "the nearest copy lacks at most 128.0 KiB" in alert.message
