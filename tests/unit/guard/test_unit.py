"""The unit file grants what the guard needs, and nothing that would hide its unmounts."""

from pathlib import Path

from standfast.guard.realtime import PRIORITY, SPARED
from standfast.guard.unit import CAPABILITIES, FAMILIES, unit_text

TEXT = unit_text(Path("/opt/standfast/bin/standfast-guard"))


def test_it_runs_first_locked_and_spared() -> None:
    assert f"CPUSchedulingPriority={PRIORITY}\n" in TEXT
    assert f"OOMScoreAdjust={SPARED}\n" in TEXT
    assert "LimitMEMLOCK=infinity\n" in TEXT
    assert "ExecStart=/opt/standfast/bin/standfast-guard\n" in TEXT


def test_every_capability_has_its_reason() -> None:
    for name, why in {**CAPABILITIES, **FAMILIES}.items():
        assert f"# {name}: {why}\n" in TEXT
    assert f"CapabilityBoundingSet={' '.join(CAPABILITIES)}\n" in TEXT


def test_it_has_no_mount_namespace_of_its_own() -> None:
    """Such a setting would let it unmount in its own view only."""
    private = ("Protect", "Private", "ReadOnly", "ReadWrite", "Inaccessible", "Temporary", "Bind")
    settings = [row for row in TEXT.splitlines() if row.startswith((*private, "Root", "Mount"))]
    assert settings == []


def test_it_comes_back_however_often_it_dies() -> None:
    assert "Restart=always\n" in TEXT
    assert "StartLimitIntervalSec=0\n" in TEXT
