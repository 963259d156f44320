"""Where systemd puts a unit's processes, before it has ever run."""

import pytest

from standfast.adapters.linux.unit_cgroups import control_group


@pytest.mark.parametrize(
    ("unit", "slice_name", "path"),
    [
        ("web.service", "system.slice", "/system.slice/web.service"),
        ("web.service", "-.slice", "/web.service"),
        ("web.service", "", "/web.service"),
        (
            "postgresql@15-main.service",
            "system-postgresql.slice",
            "/system.slice/system-postgresql.slice/postgresql@15-main.service",
        ),
        (
            "a.service",
            "one-two-three.slice",
            "/one.slice/one-two.slice/one-two-three.slice/a.service",
        ),
        ("memory.service", "system.slice", "/system.slice/_memory.service"),
        ("cpu-load.service", "system.slice", "/system.slice/cpu-load.service"),
        ("_x.service", "system.slice", "/system.slice/__x.service"),
    ],
)
def test_the_path_follows_slices_and_escapes(unit: str, slice_name: str, path: str) -> None:
    assert control_group(unit, slice_name) == path
