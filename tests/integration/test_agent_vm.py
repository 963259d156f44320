"""The agent as users run it: in two VMs of the lab, as a systemd service, with real resources.

A web server behind an address, on two networks; the witness is a process on the control side and
the test plays the operator. No Kubernetes and no vCenter: what is tested is that the members do
not need them.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from typing_extensions import override

from standfast.core.record import MemberKind
from standfast.lab.chaos import sight
from standfast.lab.chaos.sight import Sight
from standfast.lab.chaos.verdict import overlaps
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab, LabVm
from standfast.wire.api import RELEASE_PATH, Accepted, ReleaseRequest
from standfast.wire.resources import OnFailure, ResourceSpec, Systemd, Vip
from tests.integration.lab_bed import name_of
from tests.integration.member_bed import Bed, Party

pytestmark = [
    pytest.mark.root,
    pytest.mark.lab,
    pytest.mark.timeout(300),
    pytest.mark.asyncio(loop_scope="module"),
]

EXAMPLE = Path(__file__).parents[2] / "examples/01-web-pair/web.service"


@dataclass
class VmParty(Party):
    """A node that is a VM."""

    vm: LabVm | None = None

    @property
    def machine(self) -> LabVm:
        assert self.vm is not None
        return self.vm

    @override
    def start(self) -> None:
        """Its systemd does that."""

    @override
    def put_bundle(self, text: str) -> None:
        self.machine.enroll(text.encode())

    @override
    def log(self) -> str:
        return self.machine.logs("standfast-agent")[-4000:]


@dataclass
class Pair:
    """The pair in its lab."""

    lab: Lab
    bed: Bed
    resources: tuple[ResourceSpec, ...] = ()

    @property
    def vip(self) -> str:
        return self.lab.vms()[0].addresses[0].rsplit(".", 1)[0] + ".100"

    async def active(self) -> VmParty:
        found = await self.bed.active()
        assert isinstance(found, VmParty)
        return found

    def other(self, party: VmParty) -> VmParty:
        found = self.bed.other(party)
        assert isinstance(found, VmParty)
        return found

    async def settled(self) -> VmParty:
        """The active node, once the pair would survive the next failure."""
        active = await self.active()
        standby = self.other(active)
        await self.bed.until(standby, lambda s: s.eligible and s.role == "Standby", 30)
        await self.bed.until(active, lambda s: all(peer.reachable for peer in s.peers), 30)
        return active


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    wanted = Wanted(vms=2, networks=2, kubernetes=False, vcenter=False, agent=True)
    lab = await asyncio.to_thread(Lab.up, name_of("agt"), wanted)
    directory = tmp_path_factory.mktemp("bed")
    parties: dict[str, Party] = {}
    for vm in lab.vms():
        unit = vm.machine.root() / "etc/systemd/system/web.service"
        unit.write_text(EXAMPLE.read_text())
        vm.exec(["systemctl", "daemon-reload"])
        parties[vm.name] = VmParty(
            vm.name,
            vm.addresses[0],
            directory / vm.name,
            MemberKind.DATA,
            more_addresses=vm.addresses[1:],
            vm=vm,
        )
    control = lab.state.control.address
    parties["w"] = Party("w", control, directory / "w", MemberKind.WITNESS)
    made = Pair(lab, Bed(directory, 0, parties=parties))
    web = Systemd(name="web", unit="web.service", on_failure=OnFailure(restarts=2))
    vip = Vip(name="web-vip", address=f"{made.vip}/24", depends_on=("web",))
    made.resources = (web, vip)
    try:
        await made.bed.converge(web, vip)
        yield made
    finally:
        await made.bed.close()
        await asyncio.to_thread(lab.down)


async def test_a_power_cut(pair: Pair) -> None:
    old = await pair.settled()
    new = pair.other(old)
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with pair.lab.probe_vip(pair.vip) as probe:
        await asyncio.to_thread(probe.wait_for, old.name)
        await asyncio.to_thread(old.machine.off, seen=False)
        await asyncio.to_thread(probe.wait_for, new.name)
    print(f"\npower cut: {probe.summary}")
    assert probe.summary.both_s == 0
    assert pair.lab.both_held_s(pair.vip, began_ns) == 0
    await asyncio.to_thread(old.machine.on, seen=False)
    await pair.settled()


async def test_a_crash_of_the_application(pair: Pair) -> None:
    node = await pair.settled()
    with pair.lab.probe_vip(pair.vip) as probe:
        await asyncio.to_thread(probe.wait_for, node.name)
        node.machine.exec(["systemctl", "kill", "--signal=SIGKILL", "web.service"])
        await asyncio.sleep(1.5)
        await asyncio.to_thread(probe.wait_for, node.name)
    print(f"\napplication crash: {probe.summary}")
    assert await pair.active() is node


async def test_a_crash_of_the_agent(pair: Pair) -> None:
    node = await pair.settled()
    run_of_web = ["systemctl", "show", "--property=InvocationID", "web.service"]
    run_id = node.machine.exec(run_of_web)
    with pair.lab.probe_vip(pair.vip) as probe:
        await asyncio.to_thread(probe.wait_for, node.name)
        kill = ["systemctl", "kill", "--kill-whom=main", "--signal=SIGKILL", "standfast-agent"]
        node.machine.exec(kill)
        await asyncio.sleep(4)
        await asyncio.to_thread(probe.wait_for, node.name)
    print(f"\nagent crash: {probe.summary}")
    assert node.machine.exec(run_of_web) == run_id
    assert await pair.active() is node


async def test_an_isolated_active_loses_the_address_first(pair: Pair) -> None:
    old = await pair.settled()
    new = pair.other(old)
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with pair.lab.probe_vip(pair.vip) as probe:
        await asyncio.to_thread(probe.wait_for, old.name)
        pair.lab.net.cut(old.name)
        await asyncio.to_thread(probe.wait_for, new.name)
    print(f"\nisolation: {probe.summary}")
    pair.lab.net.heal()
    assert probe.summary.both_s == 0
    assert pair.lab.both_held_s(pair.vip, began_ns) == 0
    await pair.settled()
    stopped = await asyncio.to_thread(
        old.machine.exec, ["systemctl", "is-active", "web.service"], check=False
    )
    assert stopped.strip() in {"inactive", "failed"}


async def test_the_agent_tells_its_status_locally(pair: Pair) -> None:
    node = await pair.settled()
    said = node.machine.exec(["/opt/standfast/bin/standfast-agent", "status"])
    print(f"\n{said}")
    assert "Active" in said
    assert "resource web (systemd)  Running" in said


async def test_the_installed_unit_is_sound(pair: Pair) -> None:
    node = await pair.settled()
    unit = "/etc/systemd/system/standfast-agent.service"
    said = node.machine.exec(["systemd-analyze", "verify", unit], check=False)
    assert "standfast" not in said
    shown = node.machine.exec(["systemctl", "show", "standfast-agent", "-p", "Restart,KillMode"])
    assert "Restart=always" in shown
    assert "KillMode=process" in shown


def cost(vm: LabVm) -> tuple[str, int, float]:
    """Main process of the agent's service, its clock ticks until now, its resident megabytes."""
    show = ["systemctl", "show", "--property=MainPID", "--value", "standfast-agent"]
    pid = vm.exec(show).strip()
    fields = vm.exec(["cat", f"/proc/{pid}/stat"]).rsplit(")", 1)[1].split()
    status = vm.exec(["cat", f"/proc/{pid}/status"])
    rss_kb = next(int(row.split()[1]) for row in status.splitlines() if row.startswith("VmRSS"))
    return pid, int(fields[11]) + int(fields[12]), rss_kb / 1024


async def test_the_agent_at_rest_costs_little(pair: Pair) -> None:
    await pair.settled()
    before = {vm.name: cost(vm) for vm in pair.lab.vms()}
    length_s = 10
    await asyncio.sleep(length_s)
    for vm in pair.lab.vms():
        pid, ticks, rss_mb = cost(vm)
        assert pid == before[vm.name][0]
        percent = (ticks - before[vm.name][1]) / length_s
        print(f"\n{vm.name}: {percent:.1f} % of a core, {rss_mb:.1f} MB")
        assert percent < 4
        assert rss_mb < 80


MISSING = "there is no systemd unit tpyo.service"


async def test_a_unit_that_does_not_exist_moves_nothing(pair: Pair) -> None:
    """Bad input: named where it is, and nothing restarts or stops because of it."""
    active = await pair.settled()
    standby = pair.other(active)
    before = await pair.bed.status(active)
    typo = Systemd(name="typo", unit="tpyo.service")
    with pair.lab.probe_vip(pair.vip) as probe:
        await pair.bed.declare(*pair.resources, typo)
        hindered = await pair.bed.until(
            standby,
            lambda s: any(MISSING in reason for reason in s.ineligible_reasons),
            20,
        )
        assert not hindered.eligible
        failed = await pair.bed.until(
            active, lambda s: any(r.state == "Failed" for r in s.resources), 20
        )
        assert "KeepsFailing" in [alert.reason for alert in failed.alerts]
        standby.machine.exec(["systemctl", "restart", "standfast-agent"])
        run = hindered.run
        again = await pair.bed.until(standby, lambda s: s.run != run and bool(s.resources), 20)
        await pair.bed.until(standby, lambda s: all(r.state == "Stopped" for r in s.resources), 20)
        assert again.role == "Standby"
        await pair.bed.declare(*pair.resources)
        await pair.settled()
    after = await pair.bed.status(active)
    print(f"\nrestart of a standby's agent: {probe.summary}")
    assert (after.role, after.term) == ("Active", before.term)
    assert [r.since for r in after.resources] == [r.since for r in before.resources]


UNWILLING = {
    "hangs": "ExecStop=/bin/sleep infinity\nTimeoutStopSec=infinity\n"
    "ExecStart=/bin/sleep infinity\n",
    "ignores": "TimeoutStopSec=infinity\n"
    "ExecStart=/bin/sh -c 'trap \"\" TERM; while :; do sleep 1; done'\n",
    "forks": "KillMode=process\n"
    "ExecStart=/bin/sh -c '(setsid sh -c \"setsid sleep 600 & exit\" &) ; exec sleep 600'\n",
    "lies": "KillMode=none\nExecStop=/bin/true\nExecStart=/bin/sleep infinity\n",
}
"""Stops that hang, do nothing, leave a daemon behind, and say that all went well."""


def words_of(party: VmParty, word: str) -> list[str]:
    """What its agent logged with this word in it."""
    rows = party.machine.logs("standfast-agent").splitlines()
    return [row for row in rows if word in row]


@pytest.mark.parametrize("how", UNWILLING)
async def test_a_lease_is_given_back_only_after_every_rung_of_the_ladder(
    pair: Pair, how: str
) -> None:
    """F06: the next node starts it when the last process is gone, and each rung has its time."""
    old = await pair.settled()
    new = pair.other(old)
    for vm in pair.lab.vms():
        unit = vm.machine.root() / "etc/systemd/system/unwilling.service"
        unit.write_text(f"[Service]\n{UNWILLING[how]}")
        vm.exec(["systemctl", "daemon-reload"])
    unwilling = Systemd(name="unwilling", unit="unwilling.service", stop_timeout_ms=600)
    await pair.bed.declare(*pair.resources, unwilling)
    for party in (old, new):
        await pair.bed.until(party, lambda s: len(s.resources) == 3 and s.eligible, 20)
    await pair.bed.until(old, lambda s: all(r.state == "Running" for r in s.resources), 20)
    await pair.settled()
    argv = sight.command(pair.lab, pair.vip, "system.slice/unwilling.service")
    said_before = len(words_of(old, "unwilling"))
    with Sight(argv) as seen:
        request = ReleaseRequest(successor=new.uid, reason="test", request_id=f"unwilling-{how}")
        await pair.bed.ask(old, "POST", RELEASE_PATH, Accepted, request)
        await pair.bed.until(new, lambda s: s.role == "Active", 30)
        await pair.bed.until(new, lambda s: all(r.state == "Running" for r in s.resources), 20)
    assert set(seen.seen.ran) == {old.name, new.name}
    assert overlaps(seen.seen.ran) == []
    assert overlaps(seen.seen.spoke) == []
    told = words_of(old, "unwilling")[said_before:]
    print("\n" + "\n".join(told))
    (overdue,) = [row for row in told if "StopOverdue" in row]
    (stopped,) = [row for row in told if "stopped by killing" in row]
    assert "took_ms" in overdue
    assert "kills" in stopped
    await pair.bed.declare(*pair.resources)
    await pair.settled()


async def test_the_agent_is_punctual(pair: Pair) -> None:
    """F09, F10: real-time priority and locked memory.

    That it is spared when memory runs out is in its unit; not every kernel lets a VM of the lab.
    """
    await pair.settled()
    for vm in pair.lab.vms():
        pid = cost(vm)[0]
        threads = vm.exec(["chrt", "--all-tasks", "-p", pid]).splitlines()
        policies = [row for row in threads if "policy" in row]
        assert len(policies) > 1, "the loop, and a thread for each kind of blocking call"
        assert [row for row in policies if "SCHED_FIFO" not in row] == []
        status = vm.exec(["cat", f"/proc/{pid}/status"])
        locked_kb = next(int(row.split()[1]) for row in status.splitlines() if "VmLck" in row)
        assert locked_kb > 10_000
        said = vm.logs("standfast-agent")
        missed = [line for line in said.splitlines() if "NotHad" in line]
        assert all("oom_score_adj" in line for line in missed)
        assert "Traceback" not in said
        assert '"level": "error"' not in said
