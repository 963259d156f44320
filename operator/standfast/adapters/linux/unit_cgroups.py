"""Where systemd puts the processes of a unit: pure, by the rules of its slices.

A unit that has never run has no control group yet, and its guard must know beforehand. Source:
systemd.slice(5); `cg_escape` in systemd's src/basic/cgroup-util.c.
"""

_CONTROLLERS = frozenset(
    {"blkio", "bpf-devices", "bpf-firewall", "cpu", "cpuacct", "cpuset", "devices", "io"}
    | {"memory", "pids"}
)
_FILES = frozenset({"notify_on_release", "release_agent", "tasks"})


def control_group(unit: str, slice_name: str) -> str:
    """The control group of a unit: `web.service` in `system.slice` -> `/system.slice/web.service`.

    Args:
        unit: Its full name.
        slice_name: Its slice; `-.slice` is the root.
    """
    return f"{_slice_path(slice_name)}/{_escaped(unit)}"


def _slice_path(slice_name: str) -> str:
    """`a-b.slice` lies in `a.slice`."""
    stem = slice_name.removesuffix(".slice")
    if stem in {"", "-"}:
        return ""
    words = stem.split("-")
    names = ("-".join(words[:count]) for count in range(1, len(words) + 1))
    return "".join(f"/{_escaped(f'{name}.slice')}" for name in names)


def _escaped(name: str) -> str:
    """A name that the kernel would take for a file of its own gets an underscore in front."""
    first = name.partition(".")[0]
    is_taken = name in _FILES or name.startswith(("_", ".", "cgroup.")) or first in _CONTROLLERS
    return f"_{name}" if is_taken else name
