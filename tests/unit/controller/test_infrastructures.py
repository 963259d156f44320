"""Whom news of an infrastructure concern: those whose VMs differ, not everybody."""

from dataclasses import replace
from typing import cast

from standfast.adapters.fakes.clock import FakeClock
from standfast.adapters.kube.client import KubeClient
from standfast.controller.infrastructures import Infrastructures, _changed_vms, _shown
from standfast.controller.store import Key
from standfast.core.fencing import Power
from standfast.errors import TransientError
from standfast.ports.hypervisor import Inventory, VmFacts

LAB = Key("Infrastructure", "ns", "lab")
HEARD = Inventory(
    endpoint="vcenter",
    heard_at_ms=5,
    vms={uuid: VmFacts(uuid=uuid, name=uuid, power=Power.ON) for uuid in ("u1", "u2")},
)


def test_a_cluster_that_names_its_vms_wakes_nobody_else() -> None:
    told: list[tuple[Key, frozenset[str] | None]] = []
    held = Infrastructures(
        cast("KubeClient", None), FakeClock(), lambda key, vms: told.append((key, vms))
    )
    for name in ("a", "b"):
        held.use(LAB, Key("HACluster", "ns", name), frozenset({f"vm-{name}"}))
    held.use(LAB, Key("HACluster", "ns", "a"), frozenset({"vm-a"}))
    assert told == [(LAB, frozenset()), (LAB, frozenset())]
    assert held.of(LAB).watched == {"vm-a", "vm-b"}


def test_news_of_one_vm_are_news_of_that_vm_only() -> None:
    vms = {**HEARD.vms, "u2": replace(HEARD.vms["u2"], power=Power.OFF)}
    before, after = _shown(HEARD), _shown(replace(HEARD, heard_at_ms=9, vms=vms))
    assert _changed_vms(before, after) == {"u2"}
    assert _shown(HEARD) == _shown(replace(HEARD, heard_at_ms=9))


def test_a_feed_that_begins_or_breaks_is_news_for_everybody() -> None:
    broken = replace(HEARD, problem=TransientError("gone"))
    assert _changed_vms(None, _shown(HEARD)) is None
    assert _changed_vms(_shown(HEARD), _shown(broken)) is None
    assert _changed_vms(_shown(HEARD), _shown(replace(HEARD, missing={"u3": "no"}))) is None


def test_a_check_that_finds_the_same_again_is_no_news() -> None:
    clock = FakeClock()
    held = Infrastructures(cast("KubeClient", None), clock, lambda _key, _vms: None)
    lab = held.of(LAB)
    assert held.is_news(lab), "it has not been heard yet"
    assert not held.is_news(lab)
    lab.lacking = {"VirtualMachine.Interact.PowerOff": ("vm-a",)}
    assert held.is_news(lab)
    assert not held.is_news(lab)
    lab.warm_problem = TransientError("no session")
    assert held.is_news(lab)
