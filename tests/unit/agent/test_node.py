"""A node of a cluster of one: quorum, group and drivers together, on a clock of the test's.

One member is its own majority, so everything of a node can be told without a network: serving,
losing the lease, adoption, release, eligibility.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from msgspec import structs

from standfast.adapters.drivers.guarded import GuardedDriver, Plan
from standfast.adapters.fakes import FakeClock, FakeDriver, FakeGuard, FakePorts
from standfast.adapters.linux.deadline import DeadlineFile
from standfast.agent.allowed import DEFAULT_TEXT, parse
from standfast.agent.machine import Machine
from standfast.agent.node import Node
from standfast.agent.port_lease import EPHEMERAL, NO_FILTER
from standfast.core.events import ClockSuspect
from standfast.core.group_spec import Spec
from standfast.core.ids import MemberUid
from standfast.core.record import Member, MemberKind, WatchdogArmed
from standfast.errors import RefusedError, TransientError, UserError
from standfast.guard.protocol import Stage
from standfast.guard.status import WatchdogStatus
from standfast.member.membership import Membership
from standfast.member.status import Usage, status_of
from standfast.ports import network as net
from standfast.ports.guard import MountTarget, Target
from standfast.ports.resource import Presence
from standfast.wire import api
from standfast.wire.resources import OnFailure, Port, Systemd, Vip
from tests.unit.member.parts import (
    CLUSTER,
    Enroller,
    alone,
    drain,
    membership_at,
    pass_time,
)

WEB = Systemd(name="web", unit="web.service", on_failure=OnFailure(restarts=1))
SHOP = Systemd(name="shop", unit="shop.service", ports=(Port(number=443),))
HTTPS, DNS = net.Port(443, net.Transport.TCP), net.Port(53, net.Transport.UDP)
VIP = Vip(name="vip", address="10.0.0.100/24", depends_on=("web",))


@dataclass
class House:
    """One machine: its disk, its clock, its things; runs of the agent come and go."""

    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    things: dict[str, FakeDriver] = field(default_factory=dict)
    enroller: Enroller = field(default_factory=Enroller)
    guard: FakeGuard = field(default_factory=FakeGuard)
    ports: FakePorts = field(init=False)
    allowed: str = DEFAULT_TEXT
    now: Membership | None = None
    declared: int = 0

    def __post_init__(self) -> None:
        self.ports = FakePorts(self.clock)

    @property
    def deadline(self) -> DeadlineFile:
        return DeadlineFile(self.directory / "run/lease.json")

    @property
    def membership(self) -> Membership:
        assert self.now is not None
        return self.now

    def make(self, spec: Spec) -> FakeDriver:
        """The driver of a new run looks at the same thing."""
        old = self.things.get(spec.name)
        fresh = FakeDriver(spec.name, self.clock)
        if old is not None:
            fresh.presence = old.presence
            fresh.start_error, fresh.obstacles = old.start_error, old.obstacles
        self.things[spec.name] = fresh
        return fresh

    def guarded(self, spec: Spec, plan: Plan) -> GuardedDriver:
        async def targets() -> tuple[Target, ...]:
            return (MountTarget(f"/srv/{spec.name}"),)

        return GuardedDriver(self.make(spec), plan, targets)

    async def boot(self) -> Membership:
        """Start the agent."""
        self.now = membership_at(self.directory / "state", MemberKind.DATA, self.clock)
        machine = Machine(
            make_drivers=lambda clock, sink, plan: lambda spec: self.guarded(spec, plan),
            make_guard=lambda member: self.guard,
            make_ports=lambda clock: self.ports,
            allowed=lambda: parse(self.allowed),
        )
        self.now.open(lambda opened: Node(opened, self.deadline, machine))
        await drain(self.now)
        return self.now

    async def crash(self) -> None:
        """The agent dies; what runs goes on running."""
        membership = self.membership
        await membership.process.mailbox.close()
        if membership._journal is not None:
            membership._journal.close()
        if membership.links is not None:
            membership.links.close()
        membership.chronicle.close()

    def declare(self, *resources: object, **more: object) -> None:
        self.declared += 1
        request = api.GroupRequest(generation=self.declared, resources=resources, **more)
        self.membership.duties.declare(request)

    async def live(self, ms: int) -> None:
        await pass_time(self.membership, ms)

    def status(self) -> api.MemberStatus:
        return status_of(self.membership, Usage())

    @property
    def running(self) -> set[str]:
        there = self.things.items()
        return {name for name, thing in there if thing.presence is Presence.RUNNING}

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.membership.chronicle.after(0)]


def _refuse(value: bytes) -> None:
    raise TransientError("no space is left")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    made = House(tmp_path)
    await made.boot()
    yield made
    await made.crash()


async def join(house: House) -> None:
    house.enroller.certify(house.membership)
    house.membership.take_config(house.enroller.signed(alone(house.membership)))
    await drain(house.membership)


async def serve(house: House) -> None:
    await join(house)
    house.declare(WEB, VIP)
    await house.live(3000)
    assert house.status().role == "Active"


async def test_before_enrolment_it_is_unconfigured(house: House) -> None:
    status = house.status()
    assert (status.role, status.eligible) == ("Unconfigured", False)
    assert status.ineligible_reasons == ("no resources were declared to this node yet",)


async def test_declared_and_configured_it_serves(house: House) -> None:
    await serve(house)
    status = house.status()
    assert house.running == {"web", "vip"}
    assert [(one.name, one.state) for one in status.resources] == [
        ("web", "Running"),
        ("vip", "Running"),
    ]
    assert status.last_takeover is not None
    assert status.last_takeover.serving_ms is not None
    assert status.holder == api.HolderStatus(member=status.member_uid, boot="boot-1")
    assert "Serving" in house.kinds()


async def test_the_deadline_is_kept_while_it_holds(house: House) -> None:
    await serve(house)
    deadline = house.deadline.read()
    assert deadline is not None
    assert deadline.until_ms > house.clock.now_ms()
    assert house.things["vip"].lease_until_ms == deadline.until_ms
    await house.live(5000)
    later = house.deadline.read()
    assert later is not None
    assert later.until_ms > deadline.until_ms


async def test_a_lost_lease_kills_everything_and_removes_the_deadline(house: House) -> None:
    await serve(house)
    house.declare(WEB, VIP, maintenance=True)
    voter = house.membership.voter
    assert voter is not None
    voter.take(ClockSuspect("it stood still"))
    assert house.deadline.read() is None
    await drain(house.membership)
    assert house.running == set()
    assert "kill" in house.things["web"].calls
    house.declare(WEB, VIP)
    await house.live(3000)
    assert house.status().role == "Active", "alone it wins again"
    assert house.status().term == 2


async def test_a_stall_longer_than_the_lease_ends_it_before_anything_else(house: House) -> None:
    await serve(house)
    house.clock.advance(10_000)
    house.membership.tick()
    await drain(house.membership)
    assert "kill" in house.things["vip"].calls


async def test_ports_are_open_to_others_under_the_lease_only(house: House) -> None:
    await join(house)
    house.declare(SHOP, maintenance=True)
    await house.live(3000)
    assert house.status().role == "Standby"
    assert not house.ports.reaches(HTTPS), "it does not hold the lease"
    house.declare(SHOP)
    await house.live(3000)
    assert house.running == {"shop"}
    deadline = house.deadline.read()
    assert deadline is not None
    assert house.ports.until_ms == deadline.until_ms
    house.declare(SHOP, maintenance=True)
    assert house.membership.voter is not None
    house.membership.voter.take(ClockSuspect("it stood still"))
    await drain(house.membership)
    assert house.ports.until_ms == 0


async def test_a_release_shuts_the_ports_before_it_is_told(house: House) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    house.ports.holds_cut = True
    house.membership.duties.release(api.ReleaseRequest(request_id="r1"))
    await drain(house.membership)
    assert house.running == set()
    assert "Released" not in house.kinds()
    house.ports.go_on()
    await drain(house.membership)
    assert "Released" in house.kinds()
    assert not house.ports.reaches(HTTPS)


async def test_a_release_that_is_called_off_opens_the_ports_again(house: House) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    house.ports.holds_cut = True
    house.membership.duties.release(api.ReleaseRequest(request_id="r1"))
    await drain(house.membership)
    assert house.membership.duties.cancel_release("r1").accepted
    house.ports.go_on()
    await house.live(2000)
    assert (house.status().role, house.status().term) == ("Active", 1)
    assert house.ports.reaches(HTTPS)


async def test_a_restarted_agent_shuts_no_port_within_the_lease(house: House) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    await house.crash()
    house.clock.advance(300)
    await house.boot()
    assert house.ports.reaches(HTTPS)
    await house.live(300)
    assert house.status().role == "Active"
    assert house.ports.reaches(HTTPS)


async def test_after_a_lost_lease_all_is_stopped_once_the_ports_are_shut(house: House) -> None:
    """They are shut as soon as it is lost; that the kernel takes its time may not be skipped."""
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    house.ports.holds_cut = True
    voter = house.membership.voter
    assert voter is not None
    voter.take(ClockSuspect("it stood still"))
    await drain(house.membership)
    assert house.running == set()
    assert voter.state.must_stop is not None, "not told yet"
    house.ports.go_on()
    await drain(house.membership)
    assert voter.state.must_stop is None


async def test_an_agent_without_a_lease_to_adopt_shuts_what_the_one_before_it_opened(
    house: House,
) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    await house.crash()
    house.deadline.remove()
    assert house.ports.reaches(HTTPS)
    await house.boot()
    await drain(house.membership)
    assert not house.ports.reaches(HTTPS)


async def test_ports_change_while_the_service_runs(house: House) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    house.declare(structs.replace(SHOP, ports=(Port(number=53, protocol="UDP"),)))
    await house.live(300)
    assert house.ports.kept == {DNS}
    house.declare(structs.replace(SHOP, ports=()))
    await house.live(300)
    assert house.ports.kept == set()
    assert house.things["shop"].calls.count("start") == 1, "it was not restarted"


async def test_a_node_that_dies_by_itself_shuts_its_ports(house: House) -> None:
    await join(house)
    house.declare(SHOP)
    await house.live(3000)
    await house.membership.duties.abandon()
    assert not house.ports.reaches(HTTPS)


async def test_a_kernel_that_does_not_enforce_ports_is_an_alert(house: House) -> None:
    house.ports.trouble = "the kernel's packet filter does not hold the lease: no"
    house.ports.given_away = frozenset({HTTPS})
    await join(house)
    await drain(house.membership)
    chronicle = house.membership.chronicle
    assert not [alert for alert in chronicle.alerts() if alert.reason in {NO_FILTER, EPHEMERAL}]
    await house.crash()
    await house.boot()
    house.declare(SHOP)
    await house.crash()
    await house.boot()
    found = {alert.reason: alert for alert in house.membership.chronicle.alerts()}
    assert "does not hold the lease: no" in found[NO_FILTER].message
    assert "443/tcp" in found[EPHEMERAL].message
    assert found[EPHEMERAL].remedy.startswith("sysctl -w net.ipv4.ip_local_reserved_ports=443,")


async def test_a_process_that_does_not_trust_itself_leaves_nothing_to_adopt(house: House) -> None:
    await serve(house)
    await house.membership.duties.abandon()
    assert house.running == set()
    assert house.deadline.read() is None


async def test_a_restart_within_the_lease_adopts(house: House) -> None:
    await serve(house)
    await house.crash()
    house.clock.advance(300)
    await house.boot()
    await house.live(300)
    assert house.status().role == "Active"
    assert house.status().term == 2
    assert house.running == {"web", "vip"}
    for thing in house.things.values():
        assert thing.calls == ["start"], "adopted by a start, neither stopped nor killed"


async def test_a_restart_after_the_lease_stops_first(house: House) -> None:
    await serve(house)
    await house.crash()
    house.clock.advance(3000)
    await house.boot()
    await drain(house.membership)
    assert house.things["web"].calls[0] == "kill"
    await house.live(5000)
    assert house.status().role == "Active"


async def test_a_deadline_of_another_boot_is_none(house: House) -> None:
    await serve(house)
    await house.crash()
    path = house.directory / "run/lease.json"
    path.write_text(path.read_text().replace("boot-1", "boot-0"))
    await house.boot()
    await drain(house.membership)
    assert house.things["web"].calls[0] == "kill"


async def test_without_a_deadline_it_stops_first(house: House) -> None:
    await serve(house)
    await house.crash()
    house.deadline.remove()
    await house.boot()
    await drain(house.membership)
    assert house.things["web"].calls[0] == "kill"


async def test_a_release_stops_gracefully_and_frees_the_lease(house: House) -> None:
    await serve(house)
    house.declare(WEB, VIP, maintenance=True)
    request = api.ReleaseRequest(reason="test", request_id="r1")
    assert house.membership.duties.release(request).accepted
    assert house.membership.duties.release(request).accepted, "the same id is the same request"
    await drain(house.membership)
    assert house.running == set()
    assert house.deadline.read() is None
    assert "Released" in house.kinds()
    assert "kill" not in house.things["web"].calls


async def test_a_release_can_be_called_off(house: House) -> None:
    await serve(house)
    house.things["vip"].holds_stop = True
    house.membership.duties.release(api.ReleaseRequest(request_id="r1"))
    await drain(house.membership)
    assert house.status().releasing
    assert not house.membership.duties.cancel_release("other").accepted
    assert house.membership.duties.cancel_release("r1").accepted
    house.things["vip"].go_on()
    await house.live(2000)
    assert house.running == {"web", "vip"}
    assert (house.status().role, house.status().term) == ("Active", 1)
    assert not house.membership.duties.cancel_release("r1").accepted


async def test_a_release_can_be_called_off_in_the_very_last_moment(house: House) -> None:
    """Everything is stopped, and the quorum has not heard of it yet."""
    await serve(house)
    membership = house.membership
    membership.duties.release(api.ReleaseRequest(request_id="r1"))
    mailbox = membership.process.mailbox
    while house.running:
        (await mailbox.get())()
    assert membership.duties.cancel_release("r1").accepted
    await house.live(2000)
    assert house.running == {"web", "vip"}
    assert (house.status().role, house.status().term) == ("Active", 1)


async def test_the_word_of_a_stop_that_was_called_off_ends_no_emergency(house: House) -> None:
    """It waits in the mailbox while everything is started again, and the lease ends meanwhile."""
    await serve(house)
    membership = house.membership
    membership.duties.release(api.ReleaseRequest(request_id="r1"))
    mailbox = membership.process.mailbox
    while house.kinds()[-1] != "AllStopped":
        (await mailbox.get())()
    assert membership.duties.cancel_release("r1").accepted
    before = len(house.kinds())
    house.clock.advance(10_000)
    await drain(membership)
    after = house.kinds()[before:]
    assert after[0] == "LeaseLost"
    assert after.index("AllStopped") < after.index("Released")


async def test_what_the_quorum_was_told_while_the_disk_refused_is_told_again(house: House) -> None:
    await serve(house)
    voter, journal = house.membership.voter, house.membership._journal
    assert voter is not None
    assert journal is not None
    armed = WatchdogStatus("/dev/watchdog", "softdog", 10_000, armed=True, tested="x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "store", _refuse)
        house.guard.watchdog = armed
        house.guard.die()
        house.guard.come_back()
        await house.live(100)
        assert voter.state.record.watchdog is None
    await house.live(1000)
    assert voter.state.record.watchdog == WatchdogArmed(10_000)


async def test_a_release_to_a_node_that_would_not_take_over_is_refused(house: House) -> None:
    house.enroller.certify(house.membership)
    config = alone(house.membership)
    other = Member(MemberUid("b"), "vm-b", MemberKind.DATA)
    house.membership.take_config(
        house.enroller.signed(replace(config, members=(*config.members, other)))
    )
    with pytest.raises(RefusedError, match="vm-b would not take over"):
        house.membership.duties.release(api.ReleaseRequest(successor="b", request_id="r"))


async def test_what_is_asked_too_early_is_refused(house: House) -> None:
    duties = house.membership.duties
    for ask in (
        lambda: duties.release(api.ReleaseRequest(request_id="r")),
        lambda: duties.cancel_release("r"),
        lambda: duties.stand(api.StandRequest(request_id="r")),
    ):
        with pytest.raises(RefusedError, match="no config yet"):
            ask()
    await join(house)
    with pytest.raises(RefusedError, match="does not serve"):
        duties.release(api.ReleaseRequest(request_id="r"))
    with pytest.raises(RefusedError, match="no resources were declared"):
        duties.stand(api.StandRequest(request_id="r"))


async def test_asked_to_stand_it_stands(house: House) -> None:
    await join(house)
    house.declare(WEB)
    await drain(house.membership)
    assert house.membership.duties.stand(api.StandRequest(request_id="s")).accepted
    await house.live(50)
    assert house.status().role == "Active"


async def test_declarations_are_kept_and_older_ones_refused(house: House) -> None:
    await serve(house)
    with pytest.raises(RefusedError, match="older than 1"):
        house.membership.duties.declare(api.GroupRequest(generation=0))
    with pytest.raises(UserError, match="not declared"):
        house.declare(VIP)
    house.declared = 1
    await house.crash()
    await house.boot()
    assert house.status().resources_generation == 1
    assert [one.name for one in house.status().resources] == ["web", "vip"]


async def test_maintenance_and_the_operators_word_keep_it_from_standing(house: House) -> None:
    await join(house)
    house.declare(WEB, maintenance=True)
    await house.live(5000)
    assert house.status().role == "Standby"
    assert house.status().ineligible_reasons == ("this node is in maintenance",)
    house.declare(WEB, eligible=False, ineligible_reason="host is being evacuated")
    assert house.status().ineligible_reasons == ("host is being evacuated",)
    house.declare(WEB)
    await house.live(5000)
    assert house.status().role == "Active"


async def test_obstacles_keep_it_from_standing(house: House) -> None:
    await join(house)
    house.declare(WEB)
    house.things["web"].obstacles = ["there is no unit web.service"]
    await house.live(5000)
    assert house.status().role == "Standby"
    house.things["web"].obstacles = []
    await house.live(10_000)
    assert house.status().role == "Active"


async def test_a_resource_that_fails_is_restarted_and_shown(house: House) -> None:
    await serve(house)
    house.things["web"].die("segfault")
    await drain(house.membership)
    (web, _) = house.status().resources
    assert (web.state, web.restarts) == ("Running", 1)
    house.things["web"].start_error = TransientError("broken")
    house.things["web"].die("again")
    await house.live(3000)
    (web, _) = house.status().resources
    assert (web.state, web.reason, web.message) == ("Failed", "StartFailed", "broken")
    assert "KeepsFailing" in [alert.reason for alert in house.status().alerts]
    assert house.status().role == "Active", "nobody else would stand"


async def test_a_first_config_ends_a_running_application_gently(house: House) -> None:
    house.enroller.certify(house.membership)
    house.declare(WEB)
    await drain(house.membership)
    house.things["web"].presence = Presence.RUNNING
    house.membership.take_config(house.enroller.signed(alone(house.membership)))
    await drain(house.membership)
    assert house.things["web"].calls[0] == "stop"
    assert "kill" not in house.things["web"].calls
    await house.live(3000)
    assert house.running == {"web"}


async def test_a_stray_on_a_node_that_may_not_run_it_is_stopped(house: House) -> None:
    await join(house)
    house.declare(WEB, maintenance=True)
    await house.live(1000)
    house.things["web"].appear("by hand")
    await house.live(100)
    assert house.running == set()
    assert "Stray" in house.kinds()


async def test_the_status_number_grows_with_every_change_and_rests_at_rest(house: House) -> None:
    await serve(house)
    await house.live(6000)  # past the first check
    before = house.status().seq
    await house.live(11_000)
    assert house.status().seq == before, "renewals and looks are no news"
    house.things["web"].die()
    await house.live(100)
    assert house.status().seq > before
    assert house.membership.cluster == CLUSTER


async def test_what_runs_is_under_guard_and_the_lease_is_too(house: House) -> None:
    await serve(house)
    assert set(house.guard.planned) == {"web", "vip"}
    assert house.guard.stage is Stage.ARMED
    deadline = house.deadline.read()
    assert deadline is not None
    assert (house.guard.term, house.guard.until_ms) == (deadline.term, deadline.until_ms)


async def test_a_released_lease_is_disarmed(house: House) -> None:
    await serve(house)
    house.membership.duties.release(api.ReleaseRequest(request_id="r1"))
    await house.live(200)
    assert "disarm 1" in house.guard.calls
    assert house.guard.planned == {} or house.guard.term > 1


async def test_a_guard_that_fired_ends_the_lease_and_the_node_stands_again(house: House) -> None:
    await serve(house)
    first = house.guard.term
    house.guard.fire()
    await house.live(3000)
    assert "LeaseLost" in house.kinds()
    assert house.status().role == "Active"
    assert house.guard.term > first
    assert house.running == {"web", "vip"}
    calls = house.guard.calls
    assert calls.index(f"disarm {first}") < calls.index(f"extend {first + 1}")


async def test_a_lost_lease_strikes_before_the_agent_has_stopped_anything(house: House) -> None:
    await serve(house)
    house.membership.voter.take(ClockSuspect("a test"))
    assert "strike 1" in house.guard.calls
    await house.live(3000)
    assert house.status().role == "Active"


async def test_without_a_guard_the_node_does_not_stand(house: House) -> None:
    house.guard.die(for_good=True)
    await join(house)
    house.declare(WEB, VIP)
    await house.live(3000)
    house.guard.die(for_good=True)
    await house.live(3000)
    status = house.status()
    assert house.running == set()
    assert "no guard for more than 1 s" in status.ineligible_reasons
    house.guard.come_back()
    await house.live(3000)
    assert house.status().role == "Active"


async def test_a_guard_lost_with_nobody_to_take_over_ends_nothing(house: House) -> None:
    """The kernel's lease and the agent still stand behind it."""
    await serve(house)
    house.guard.die(for_good=True)
    await house.live(3000)
    assert house.running == {"web", "vip"}
    assert {alert.reason for alert in house.status().alerts} >= {"GuardGone", "GuardLost"}
    house.guard.come_back()
    await house.live(200)
    assert not {alert.reason for alert in house.status().alerts} & {"GuardGone", "GuardLost"}


async def test_the_hosts_file_bounds_what_is_declared(house: House) -> None:
    await serve(house)
    house.allowed = '[allow]\nunits = ["web.service"]\n'
    with pytest.raises(UserError, match=r"takes the address 10\.0\.0\.100"):
        house.declare(WEB, VIP)
    assert house.running == {"web", "vip"}, "nothing has changed"
    house.allowed = "[allow"
    with pytest.raises(UserError, match="does not say what the agent may touch"):
        house.declare(WEB)


async def test_a_host_that_allows_everything_says_so(house: House) -> None:
    await serve(house)
    assert "AllowsEveryUnit" in {alert.reason for alert in house.status().alerts}
    house.allowed = '[allow]\nunits = ["web.service"]\naddresses = ["10.0.0.0/24"]\n'
    house.declare(WEB, VIP)
    assert "AllowsEveryUnit" not in {alert.reason for alert in house.status().alerts}
