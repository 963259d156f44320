"""What is mounted where, as the kernel says it; no file system is asked.

`/proc/self/mountinfo` is this process's view. A container, or a service with a mount namespace of
its own, may have something mounted that is not in it: `elsewhere` looks through all of them.

Source: proc(5), fstab(5).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from standfast.guard.mounts import objection

PROC = Path("/proc")
FSTAB = Path("/etc/fstab")
_ESCAPED = re.compile(r"\\([0-7]{3})")
_BROKEN = frozenset({"shutdown", "emergency_ro"})
"""What ext4 and xfs add to their options when they have given up."""
_BOUND_FOR_DATA = frozenset({"/home", "/opt"})


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount.

    Attributes:
        number: Of its device, `8:16`.
        root: What of the file system is mounted: `/` unless it is a bind mount.
        point: Where.
        fs_type: Kind of file system.
        source: What was named as device.
        flags: Options of this mount and of its file system.
    """

    number: str
    root: str
    point: str
    fs_type: str
    source: str
    flags: frozenset[str]

    @property
    def is_writable(self) -> bool:
        return "ro" not in self.flags and not self.flags & _BROKEN

    @property
    def is_systems(self) -> bool:
        """Whether the machine itself lives there, or below there.

        It does not where a directory of a disk is bound in for people or programs: such a disk
        is somebody's data, and is in use there.
        """
        is_bound = self.root != "/" and self.point in _BOUND_FOR_DATA
        is_kept = bool(objection(self.point)) or self.point.startswith("/boot/")
        return is_kept and not is_bound


def parse(text: str) -> tuple[Mount, ...]:
    """All mounts of a mountinfo, in its order."""
    found = []
    for line in text.split("\n"):  # the kernel leaves what else would break a line in paths
        if not line:
            continue
        before, _, after = line.partition(" - ")
        _, _, number, root, point, flags, *_ = before.split(" ")
        fs_type, source, super_flags = after.split(" ")[:3]
        options = frozenset(flags.split(",")) | frozenset(super_flags.split(","))
        found.append(Mount(number, _plain(root), _plain(point), fs_type, _plain(source), options))
    return tuple(found)


def here() -> tuple[Mount, ...]:
    """What this process sees."""
    return parse(_text("self"))


def elsewhere(number: str) -> tuple[int, ...]:
    """Processes in other mount namespaces that have this device mounted."""
    own = _namespace("self")
    known = {own: False}
    found = []
    for pid in pids():
        namespace = _namespace(str(pid))
        if namespace not in known:
            try:
                text = _text(str(pid))
            except OSError:
                continue  # it ended, or is ending
            known[namespace] = any(mount.number == number for mount in parse(text))
        if known[namespace]:
            found.append(pid)
    return tuple(found)


def at_or_below(point: str, mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """What is mounted there and below, the last first."""
    under = "" if point == "/" else point
    return tuple(
        mount
        for mount in reversed(tuple(mounts))
        if mount.point == point or mount.point.startswith(f"{under}/")
    )


def pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def fstab_line(names: Iterable[str], fstab: Path = FSTAB) -> str:
    """The line that mounts one of these (devices, mount points) at boot; empty when none does."""
    wanted = set(names)
    try:
        lines = fstab.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        options = words[3].split(",") if len(words) > 3 else []
        is_named = _plain(words[0].replace('"', "")) in wanted or _plain(words[1]) in wanted
        if is_named and "noauto" not in options:
            return " ".join(words)
    return ""


def _text(pid: str) -> str:
    return (PROC / pid / "mountinfo").read_bytes().decode(errors="surrogateescape")


def _namespace(pid: str) -> str:
    try:
        return str((PROC / pid / "ns/mnt").readlink())
    except OSError:
        return ""


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
