"""The unit: what must be in it, and a reason beside each capability."""

from pathlib import Path

from standfast.agent.unit import CAPABILITIES, unit_text

TEXT = unit_text(Path("/opt/standfast/bin/standfast-agent"))


def test_it_runs_the_program_that_installed_it() -> None:
    assert "ExecStart=/opt/standfast/bin/standfast-agent run\n" in TEXT


def test_nothing_of_a_resource_dies_with_the_agent() -> None:
    assert "KillMode=process\n" in TEXT
    assert "RuntimeDirectoryPreserve=yes\n" in TEXT


def test_it_comes_back_at_once_and_always() -> None:
    assert "Restart=always\n" in TEXT
    assert "RestartSec=20ms\n" in TEXT
    assert "StartLimitIntervalSec=0\n" in TEXT


def test_every_capability_has_a_reason() -> None:
    for name, why in CAPABILITIES.items():
        assert f"# {name}: {why}\n" in TEXT
    assert f"CapabilityBoundingSet={' '.join(CAPABILITIES)}\n" in TEXT


def test_it_has_no_mount_namespace_of_its_own() -> None:
    settings = [line.split("=")[0] for line in TEXT.splitlines() if "=" in line]
    assert not [name for name in settings if name.startswith(("Protect", "Private", "ReadOnly"))]
