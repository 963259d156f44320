"""A round of maintenance: standbys first, one move, and a stop at every doubt."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from standfast.api.rolling import (
    NodeTurn,
    RollingMaintenance,
    RollingPhase,
    RollingStatus,
    WorkDone,
)
from standfast.controller.rolling import SETTLED_MS, Scene, claim, step
from standfast.core.explain import Claim
from standfast.core.placement import HandOver, plan
from standfast.core.reasons import ABOUT, Reason
from standfast.core.view import MemberSeen, Observed, Wanted, WantedNode
from tests.unit.core.operator_views import NOW_MS, A, B, W, active, lost, node, wanted, witness

START = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROUND = RollingMaintenance(name="os-2026-11")


@dataclass
class World:
    """A pair and its operator: what stands written decides what the next pass sees."""

    spec: RollingMaintenance | None = ROUND
    status: RollingStatus | None = None
    serving: str = A
    term: int = 5
    boots: dict[str, str] = field(default_factory=lambda: {A: "a-1", B: "b-1"})
    versions: dict[str, str] = field(default_factory=lambda: {A: "1.2", B: "1.2"})
    away: frozenset[str] = frozenset()
    blocked: Claim | None = None
    paused: bool = False
    moving: str = ""
    names: tuple[str, ...] = (A, B)
    seconds: int = 100
    moves: list[str] = field(default_factory=list)
    ready_since: dict[str, int] = field(default_factory=lambda: {A: 0, B: 0})

    def want(self) -> Wanted:
        out = self.status.out if self.status is not None else frozenset()
        nodes = tuple(
            WantedNode(name, name in out, "os" if name in out else "") for name in (A, B)
        )
        return wanted(nodes=nodes, paused=self.paused)

    def seen(self) -> Observed:
        want = self.want()
        members = [self._member(name, want) for name in (A, B)]
        silent = {"heard": False, "heard_by": (), "role": None}
        tokyo = witness(**(silent if W in self.away else {}))
        now_ms = NOW_MS + self.seconds * 1000
        return Observed(now_ms=now_ms, members=(*members, tokyo), moving=self.moving)

    def _member(self, name: str, want: Wanted) -> MemberSeen:
        known = {"term": self.term, "boot": self.boots[name]}
        if name in self.away:
            return lost(name, **known)
        if name == self.serving:
            return active(name, **known)
        is_out = want.in_maintenance(name)
        since = None if is_out else NOW_MS + self.ready_since[name] * 1000
        return node(name, eligible=not is_out, ready_since_ms=since, **known)

    def pass_(self, seconds: int = 1) -> RollingStatus | None:
        """One pass of the operator; what it decides for the cluster happens at once."""
        self.seconds += seconds
        decision = plan(self.want(), self.seen())
        for action in decision.actions:
            if isinstance(action, HandOver):
                self.moves.append(action.request)
                self.serving, self.term = action.successor, self.term + 1
        self.status = step(self.spec, self.status, self.scene())
        return self.status

    def scene(self) -> Scene:
        return Scene(
            want=self.want(),
            seen=self.seen(),
            names=self.names,
            versions=self.versions,
            blocked=self.blocked,
            now=START + timedelta(seconds=self.seconds),
        )

    def until(self, phase: RollingPhase, passes_max: int = 40) -> RollingStatus:
        for _ in range(passes_max):
            if self.status is not None and self.status.phase is phase:
                return self.status
            self.pass_()
        raise AssertionError(f"never {phase}: {self.status}")

    def tell(self, *names: str) -> None:
        assert self.spec is not None
        self.spec = self.spec.model_copy(update={"done": names})
        for name in names:
            self.ready_since[name] = self.seconds

    def go_on(self) -> None:
        assert self.spec is not None
        self.spec = self.spec.model_copy(update={"attempt": self.spec.attempt + 1})


def turns(status: RollingStatus) -> Mapping[str, NodeTurn]:
    return {each.name: each.turn for each in status.nodes}


def test_the_standby_goes_first_then_service_moves_once_then_the_other() -> None:
    world = World()
    working = world.until(RollingPhase.WORKING)
    assert (working.node, world.serving, world.moves) == (B, A, [])
    assert working.remedy == f"do the work on {B}, then: kubectl standfast rolling orders done {B}"
    world.tell(B)
    world.until(RollingPhase.RETURNING)
    assert world.status is not None
    assert world.status.out == frozenset()
    working = world.until(RollingPhase.WORKING)
    assert (working.node, world.serving) == (A, B)
    assert world.moves == ["maintenance-5"]
    world.tell(B, A)
    done = world.until(RollingPhase.COMPLETED)
    assert set(turns(done).values()) == {NodeTurn.DONE}
    assert (world.moves, done.moves) == (["maintenance-5"], 1)
    assert claim(done) is None
    assert world.pass_() == done, "a round that is over stays as it is"


@pytest.mark.parametrize("serving", [A, B])
@pytest.mark.parametrize("until", list(WorkDone))
def test_a_round_with_each_sign_that_the_work_is_done(until: WorkDone, serving: str) -> None:
    version = "1.3" if until is WorkDone.AGENT_VERSION else None
    world = World(
        spec=RollingMaintenance(name="r", until=until, agent_version=version), serving=serving
    )
    order = []
    for _ in range(2):
        working = world.until(RollingPhase.WORKING)
        assert working.node is not None
        order.append(working.node)
        name = working.node
        before = world.pass_(500)
        assert before == working, "the work takes as long as it takes, and nothing is written"
        world.away = frozenset({name})
        assert world.pass_() == working, "also while it is away"
        world.away = frozenset()
        world.boots[name] += "0"
        world.versions[name] = "1.3"
        world.tell(*(order if until is WorkDone.TOLD else ()))
        world.ready_since[name] = world.seconds
        world.until(RollingPhase.RETURNING)
    world.until(RollingPhase.COMPLETED)
    assert order[-1] == serving
    assert len(world.moves) == 1


def test_nodes_that_have_the_version_are_passed_over() -> None:
    spec = RollingMaintenance(name="r", until=WorkDone.AGENT_VERSION, agent_version="1.3")
    world = World(spec=spec, versions={A: "1.2", B: "1.3"})
    assert world.until(RollingPhase.WORKING).node == A
    world = World(spec=spec, versions={A: "1.3", B: "1.3"})
    assert world.until(RollingPhase.COMPLETED).nodes
    assert world.moves == []


def test_an_operator_that_died_goes_on_where_the_status_says() -> None:
    """Every step is decided from what stands written: a second operator decides the same."""
    world = World()
    for at in range(60):
        again = step(world.spec, world.status, world.scene())
        assert step(world.spec, world.status, world.scene()) == again
        world.pass_()
        if world.status is not None and world.status.phase is RollingPhase.WORKING:
            world.tell(*((B,) if world.status.node == B else (B, A)))
        if at > 5 and world.status is not None and world.status.phase is RollingPhase.COMPLETED:
            break
    assert world.status is not None
    assert world.status.phase is RollingPhase.COMPLETED
    assert len(world.moves) == 1


# ------------------------------------------------------------------ doubts


def blocked() -> Claim:
    return Claim(True, Reason.CHANGING_MEMBERS, "adding orders-c")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"away": frozenset({B})}, Reason.STANDBY_NOT_READY),
        ({"away": frozenset({W})}, Reason.WITNESS_MISSING),
        ({"away": frozenset({A})}, Reason.NO_ACTIVE_NODE),
        ({"blocked": blocked()}, Reason.CHANGING_MEMBERS),
        ({"paused": True}, Reason.PAUSED),
        ({"moving": "Switchover x is under way"}, Reason.BUSY),
        ({"spec": ROUND.model_copy(update={"done": (B,)})}, Reason.DONE_TOO_EARLY),
    ],
)
def test_in_doubt_nothing_is_taken_out_and_then_it_stops(
    change: Mapping[str, object], reason: Reason
) -> None:
    world = replace(World(), **change)
    first = world.pass_()
    assert first is not None
    assert (first.phase, first.reason) == (RollingPhase.WAITING, reason.value)
    assert first.message.startswith("waiting: ")
    assert ABOUT[reason].remedy == "Nothing." or first.remedy or reason is Reason.NO_ACTIVE_NODE
    assert (first.out, world.moves) == (frozenset(), [])
    assert world.pass_(5) == first, "nothing is written while nothing changes"
    if world.paused:
        return
    stopped = world.pass_(600)
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, reason.value)
    assert stopped.out == frozenset()
    found = claim(stopped)
    assert found is not None
    assert "round os-2026-11 of maintenance: stopped: " in found.message


def test_a_node_that_does_not_come_back_stops_the_round_before_the_other_is_touched() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.away = frozenset({B})
    world.tell(B)
    world.until(RollingPhase.RETURNING)
    stopped = world.pass_(601)
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, "NodeNotBack")
    assert f"{B} is not heard" in stopped.message
    assert stopped.remedy.endswith("then kubectl standfast rolling orders go-on")
    assert (world.serving, world.moves) == (A, [])
    # the node is mended, and a person lets it go on
    world.away = frozenset()
    assert world.pass_() == stopped
    world.go_on()
    assert world.until(RollingPhase.WORKING).node == A
    world.tell(B, A)
    assert world.until(RollingPhase.COMPLETED).attempt == 2
    assert len(world.moves) == 1


def test_a_node_counts_as_back_only_when_it_has_been_ready_for_a_while() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.tell(B)
    world.until(RollingPhase.RETURNING)
    world.ready_since[B] = world.seconds
    world.pass_(SETTLED_MS // 1000 - 1)
    assert world.status is not None
    assert world.status.phase is RollingPhase.RETURNING
    world.pass_(1)
    assert world.status.phase is RollingPhase.TAKING_OUT


def test_a_failover_in_the_middle_stops_it_and_leaves_the_work_its_node() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.term += 1  # the active node lost the lease and took it again
    stopped = world.pass_()
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, "ServiceMoved")
    assert stopped.out == {B}, "what a person works on is not given back by itself"
    world.tell(B)
    back = world.pass_()
    assert back is not None
    assert (back.phase, back.out) == (RollingPhase.STOPPED, frozenset())
    world.go_on()
    world.until(RollingPhase.WORKING)
    world.tell(B, A)
    world.until(RollingPhase.COMPLETED)


def test_a_failover_before_the_work_gives_the_node_back() -> None:
    world = World()
    world.until(RollingPhase.TAKING_OUT)
    world.term += 1
    stopped = world.pass_()
    assert stopped is not None
    assert (stopped.reason, stopped.out) == ("ServiceMoved", frozenset())


def test_a_second_move_is_asked_for() -> None:
    """The round moved service, a failover moved it back to a node whose turn is to come."""
    world = World(names=(A, B))
    world.until(RollingPhase.WORKING)
    world.tell(B)
    world.until(RollingPhase.TAKING_OUT)
    world.until(RollingPhase.WORKING)
    assert world.status is not None
    nodes = tuple(
        each.model_copy(update={"turn": NodeTurn.PENDING if each.name == B else NodeTurn.DONE})
        for each in world.status.nodes
    )
    world.tell()
    world.status = world.status.model_copy(
        update={"nodes": nodes, "phase": RollingPhase.WAITING, "node": None}
    )
    stopped = world.pass_()
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, "SecondMove")
    world.go_on()
    assert world.until(RollingPhase.TAKING_OUT).node == B


def test_a_hand_over_that_does_not_come_gives_the_node_back() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.tell(B)
    world.until(RollingPhase.TAKING_OUT)
    assert world.status is not None
    assert world.status.node == A
    world.away = frozenset({B})  # in this very moment
    stopped = world.pass_(601)
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, "HandoverWaits")
    assert "no other node takes over" in stopped.message
    assert (stopped.out, world.serving) == (frozenset(), A)


def test_a_node_that_is_not_heard_going_out_is_not_worked_on() -> None:
    world = World()
    world.until(RollingPhase.TAKING_OUT)
    world.away = frozenset({B})
    assert world.pass_() == world.status
    stopped = world.pass_(601)
    assert stopped is not None
    assert stopped.reason == "HandoverWaits"


def test_nodes_that_change_in_the_middle_stop_it() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.names = (A, B, "orders-c")
    stopped = world.pass_()
    assert stopped is not None
    assert (stopped.phase, stopped.reason) == (RollingPhase.STOPPED, "NodesChanged")
    world.go_on()
    going = world.pass_()
    assert going is not None
    assert turns(going)["orders-c"] is NodeTurn.PENDING
    assert going.node == B


def test_removed_it_is_over_and_another_name_is_another_round() -> None:
    world = World()
    world.until(RollingPhase.WORKING)
    world.spec = RollingMaintenance(name="other")
    begun = world.pass_()
    assert begun is not None
    assert (begun.name, begun.out) == ("other", frozenset())
    world.spec = None
    assert world.pass_() is None


def test_paused_nothing_goes_on() -> None:
    world = World()
    working = world.until(RollingPhase.WORKING)
    world.tell(B)
    world.paused = True
    assert world.pass_() == working


def test_without_a_witness_no_node_is_taken_out() -> None:
    world = World()
    picture = world.seen()
    members = tuple(member for member in picture.members if member.name != W)
    scene = replace(
        world.scene(), want=wanted(witnesses=()), seen=replace(picture, members=members)
    )
    status = step(ROUND, None, scene)
    assert status is not None
    assert (status.phase, status.reason) == (RollingPhase.WAITING, "NoWitness")
