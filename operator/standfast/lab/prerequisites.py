"""What the lab needs of this machine, asked before anything is made of it.

Called by `up`. Everything that is missing comes in one sentence with one command to type; nothing
is installed behind the user's back.
"""

import os
import shutil
from pathlib import Path

from standfast.errors import UserError
from standfast.lab import software
from standfast.lab.cgroups import lab_cgroup

PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
    "unshare": "util-linux",
    "dbus-daemon": "dbus-daemon",
}
FILES = {
    "/lib/systemd/systemd": "systemd",
    "/lib/systemd/system/dbus.service": "dbus",
    "/usr/bin/python3": "python3",
}
FILE_SYSTEMS = ("overlay", "tmpfs", "cgroup2")
PYTHON_MIN = (3, 11)


def require(lab: str) -> None:
    """Returns when this machine can carry a lab.

    Args:
        lab: Its name, for the command to type.

    Raises:
        UserError: It cannot; with what is missing and how to get it.
    """
    if os.geteuid() != 0:
        raise UserError(
            "the lab makes namespaces, mounts and control groups, and only root may",
            remedy=f"sudo standfast-lab up --name {lab}",
        )
    missing = missing_packages()
    if missing:
        raise UserError(
            f"the lab needs Debian packages that are not installed: {', '.join(missing)}",
            remedy=f"apt install {' '.join(missing)}",
        )
    known = {line.split()[-1] for line in Path("/proc/filesystems").read_text().splitlines()}
    absent = [name for name in FILE_SYSTEMS if name not in known]
    if absent:
        raise UserError(
            f"this kernel has no {', '.join(absent)} file system, of which the lab's VMs are made",
            remedy=f"modprobe {absent[0]}",
        )
    _require_python()
    software.uv_program()
    lab_cgroup(lab)


def missing_packages() -> list[str]:
    """Debian packages to install, each once."""
    programs = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    files = {package for file, package in FILES.items() if not Path(file).exists()}
    postgres = any(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return sorted(programs | files | (set() if postgres else {"postgresql"}))


def _require_python() -> None:
    """The interpreter of the VMs is Debian's; its file name says its version."""
    name = software.INTERPRETER.resolve().name
    digits = name.removeprefix("python").split(".")
    if not all(part.isdigit() for part in digits) or tuple(map(int, digits)) < PYTHON_MIN:
        raise UserError(
            f"{software.INTERPRETER} is {name}, and the agent needs Python 3.11 or newer",
            remedy="use Debian 12 or newer",
        )
