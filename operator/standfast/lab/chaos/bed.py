"""The pair that a campaign strikes: one of the examples, applied as it stands, and what it means.

Called by `campaign`. The lab may have any range of addresses; the example's are moved there.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from standfast.errors import StandfastError
from standfast.lab import databases, kubectl
from standfast.lab.chaos import clocks
from standfast.lab.chaos.plan import OF_DATABASES, Kind
from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.commands import run
from standfast.lab.lab import Lab, LabVm
from standfast.lab.software import checkout

EXAMPLE_RANGE = "10.77."
EXAMPLE_PROFILE = "Normal"
BUILT_S = 300.0


@dataclass(frozen=True, slots=True)
class Subject:
    """One example.

    Args:
        example: Its directory in `examples/`.
        cluster: Name of the `HACluster` in it.
        unit: Of the application.
        group: The unit's control group, below the VM's.
        conditions: What must be true before the next run.
        exclusive_processes: Whether the unit may run on one node only.
        writes: Whether a client writes, and its writes are counted.
        max_data_loss: What one failover may lose of them, as the example would declare it;
            empty when it may lose nothing.
        disk_mb: How large the disk of each VM is.
        prepare: Done in every VM before anything is applied.
        begin: Done once the pair has settled.
    """

    example: str
    cluster: str
    unit: str
    group: str
    conditions: tuple[str, ...] = ("Ready", "Protected")
    exclusive_processes: bool = True
    writes: bool = False
    max_data_loss: str = ""
    disk_mb: int = 192
    prepare: Callable[[Lab], None] = lambda _: None
    begin: Callable[[LabCluster], None] = lambda _: None

    def address(self, lab: Lab) -> str:
        """The protected address."""
        return f"10.{lab.state.addressing.octet}.1.100"

    @property
    def kinds(self) -> frozenset[Kind]:
        """What can happen to it."""
        return frozenset(Kind) - (frozenset() if self.writes else OF_DATABASES)


def _install_databases(lab: Lab) -> None:
    for vm in lab.vms():
        databases.install(vm)


def _make_application(cluster: LabCluster) -> None:
    databases.make_application(cluster.lab.vm(cluster.active))


_ORDERS = Subject(
    example="02-postgresql",
    cluster="orders",
    unit=databases.UNIT,
    group=f"system.slice/system-postgresql.slice/{databases.UNIT}",
    conditions=("Ready", "InSync", "Protected"),
    exclusive_processes=False,
    writes=True,
    disk_mb=768,
    prepare=_install_databases,
    begin=_make_application,
)
SUBJECTS: Mapping[str, Subject] = {
    "web": Subject(
        example="01-web-pair",
        cluster="web",
        unit="web.service",
        group="system.slice/web.service",
    ),
    "postgresql": _ORDERS,
    "postgresql-async": replace(_ORDERS, max_data_loss="256Ki"),
}


def make(lab: Lab, subject: Subject, scratch: Path, profile: str = EXAMPLE_PROFILE) -> LabCluster:
    """From a fresh lab to a protected pair.

    Args:
        lab: With operator, vCenter and two VMs.
        subject: Which example.
        scratch: Takes a copy of it.
        profile: Of timing, in place of the example's.
    """
    for vm in lab.vms():
        _bound_disk(vm, subject.disk_mb)
        clocks.prepare(vm)
    subject.prepare(lab)
    install_operator(lab)
    cluster = LabCluster(lab, subject.cluster)
    variant = databases.Variant(profile, subject.max_data_loss)
    example = moved(checkout() / "examples" / subject.example, lab, scratch)
    for file in example.glob("*.yaml"):
        file.write_text(variant.applied(file.read_text()))
    cluster.apply(example)
    cluster.enroll()
    settle(cluster, subject, BUILT_S)
    subject.begin(cluster)
    return cluster


def _bound_disk(vm: LabVm, size_mb: int) -> None:
    """Moves the VM to a disk that has an end: everything it keeps is in a tmpfs of that size."""
    home = vm.machine.directory
    vm.off()
    kept = home.with_suffix(".kept")
    home.rename(kept)
    home.mkdir()
    run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m,mode=755", vm.name, str(home)])
    run(["cp", "--archive", "--no-target-directory", str(kept), str(home)])
    shutil.rmtree(kept)
    vm.on()


def settle(cluster: LabCluster, subject: Subject, timeout_s: float) -> list[str]:
    """Waits until the pair would survive the next fault.

    Returns:
        What was in the way meanwhile, each reason with when it was seen first and last.

    Raises:
        TransientError: It is not so within `timeout_s`; with the condition that is missing.
    """
    began_s = time.monotonic()
    met: dict[str, list[float]] = {}

    def note(reason: str | None) -> str | None:
        if reason is not None:
            met.setdefault(reason, []).append(time.monotonic() - began_s)
        return reason

    def conditions() -> str | None:
        said = cast("list[Mapping[str, str]]", cluster.status().get("conditions", []))
        found = {one["type"]: one for one in said}
        for kind in subject.conditions:
            if found.get(kind, {}).get("status") != "True":
                return f"{kind}: {found.get(kind, {}).get('message', 'not there')}"
        return None

    kubectl.until("the conditions", lambda: note(conditions()), timeout_s, 0.2)
    kubectl.until("one node active, one ready", lambda: note(_roles(cluster)), timeout_s, 0.3)
    kubectl.until("the conditions", lambda: note(conditions()), timeout_s, 0.2)
    return [f"{at_s[0]:.1f} to {at_s[-1]:.1f} s: {reason}" for reason, at_s in met.items()]


def _roles(cluster: LabCluster) -> str | None:
    """What the agents say of themselves, past the operator, which may not have heard of it yet."""
    said: list[str] = []
    for name, _ in cluster.nodes():
        try:
            now = cluster.agent_status(name)
        except StandfastError as error:
            return f"{name}: {error}"
        reasons = cast("list[str]", now.get("ineligibleReasons") or [])
        said.append(f"{now.get('role')}{' but ' if reasons else ''}{'; '.join(reasons)}")
    return None if sorted(said) == ["Active", "Standby"] else f"they are {said}"


def moved(example: Path, lab: Lab, to: Path) -> Path:
    """The example with its addresses in the lab's range."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(example, to)
    for file in to.glob("*.yaml"):
        there = f"10.{lab.state.addressing.octet}."
        file.write_text(file.read_text().replace(EXAMPLE_RANGE, there))
    return to
