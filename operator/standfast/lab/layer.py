"""The layer between this machine's root and a VM's disk: what makes a copy of it a machine apart.

A VM sees this machine's programs through an overlay. The layer hides what is not the VM's business
(homes, keys, data, other people's services) behind empty directories, masks the units that only
make sense on hardware, and carries /opt/standfast. It is a tmpfs of its own, because overlayfs
refuses two lower directories of which one lies below the other.

Source: measured boots of a minimal systemd in namespaces; a unit is masked because it was seen to
fail, to wait, or to touch the machine outside.
"""

import os
import shutil
import stat
from collections.abc import Iterable
from pathlib import Path

from standfast.errors import UserError
from standfast.lab import software
from standfast.lab.commands import run
from standfast.lab.paths import LabPaths
from standfast.lab.program import write

SYSTEM_DIRECTORIES = frozenset(
    {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "run", "sbin", "sys"}
    | {"tmp", "usr", "var"}
)
"""What of / a VM sees. Every other entry is somebody's data."""

HIDDEN = (
    *("etc/NetworkManager", "etc/cron.d", "etc/docker", "etc/kubernetes", "etc/letsencrypt"),
    *("etc/network", "etc/openvpn", "etc/postgresql", "etc/ssh", "etc/ssl/private"),
    *("etc/standfast", "etc/sysctl.d", "etc/systemd/network", "etc/systemd/system"),
    *("etc/wireguard", "opt", "usr/src", "var/backups", "var/cache/standfast-lab"),
    *("var/lib/containerd", "var/lib/containers", "var/lib/docker", "var/lib/etcd"),
    *("var/lib/kubelet", "var/lib/libvirt", "var/lib/mysql", "var/lib/postgresql"),
    *("var/lib/standfast", "var/lib/standfast-lab", "var/lib/systemd", "var/log", "var/mail"),
    *("var/spool", "var/tmp"),
)
"""Directories that are empty in a VM at first."""

MASKED = (
    *("binfmt.service", "boot-complete.target", "console-getty.service", "console-setup.service"),
    *("dbus-org.freedesktop.timesync1.service", "dev-hugepages.mount", "dev-mqueue.mount"),
    *("getty-static.service", "getty.target", "getty@tty1.service", "initctl.socket"),
    *("keyboard-setup.service", "kmod-static-nodes.service", "ldconfig.service"),
    *("modprobe@.service", "proc-sys-fs-binfmt_misc.automount", "remote-fs.target"),
    *("sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount"),
    *("sys-kernel-tracing.mount", "systemd-ask-password-console.path"),
    *("systemd-ask-password-wall.path", "systemd-binfmt.service", "systemd-firstboot.service"),
    *(
        "systemd-hwdb-update.service",
        "systemd-initctl.socket",
        "systemd-journal-catalog-update.service",
    ),
    *("systemd-journal-flush.service", "systemd-journald-audit.socket", "systemd-logind.service"),
    *("systemd-machine-id-commit.service", "systemd-modules-load.service"),
    *("systemd-pcrphase-sysinit.service", "systemd-pcrphase.service", "systemd-pstore.service"),
    *("systemd-random-seed.service", "systemd-remount-fs.service", "systemd-repart.service"),
    *("systemd-sysctl.service", "systemd-sysusers.service", "systemd-timesyncd.service"),
    *("systemd-tmpfiles-clean.timer", "systemd-udev-trigger.service", "systemd-udevd.service"),
    *("systemd-udevd-control.socket", "systemd-udevd-kernel.socket"),
    *("systemd-update-done.service", "systemd-update-utmp-runlevel.service"),
    *("systemd-update-utmp.service",),
)

MASKED_GENERATORS = ("systemd-sysv-generator", "systemd-gpt-auto-generator")
"""They would start what this machine starts, or look at its disks."""

FILES = {
    "etc/fstab": "",
    "etc/crypttab": "",
    "etc/resolv.conf": "",
    "etc/systemd/journald.conf.d/lab.conf": (
        "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\nForwardToSyslog=no\n"
    ),
}


def build(target: Path, environment: Path) -> None:
    """Fills an empty directory of a tmpfs with the layer.

    Args:
        target: The directory; a lower directory of every VM's overlay afterwards.
        environment: What is to be in /opt.
    """
    target.chmod(0o755)
    for name in _foreign_entries():
        _hide(target, name)
    for name in HIDDEN:
        if (Path("/") / name).is_dir():
            _hide(target, name)
    for name in MASKED:
        _link(target / "etc/systemd/system" / name, "/dev/null")
    for name in MASKED_GENERATORS:
        _link(target / "etc/systemd/system-generators" / name, "/dev/null")
    for name, text in FILES.items():
        _parents(target, name)
        (target / name).write_text(text)
    _keep_log_directories(target)
    _lock_passwords(target)
    run(["cp", "--archive", "--no-target-directory", str(environment), str(target / "opt")])


def _foreign_entries() -> Iterable[str]:
    return sorted({entry.name for entry in Path("/").iterdir()} - SYSTEM_DIRECTORIES)


def _hide(target: Path, name: str) -> None:
    """Covers a directory by an empty one of the same owner and mode, a file by nothing."""
    _parents(target, name)
    seen = (Path("/") / name).lstat()
    place = target / name
    if not stat.S_ISDIR(seen.st_mode):
        os.mknod(place, stat.S_IFCHR, os.makedev(0, 0))  # overlayfs's own sign for "not here"
        return
    place.mkdir(exist_ok=True)
    _copy_ownership(seen, place)
    os.setxattr(place, "trusted.overlay.opaque", b"y")


def _parents(target: Path, name: str) -> None:
    """Makes the directories above a path like those outside: the layer's attributes count."""
    for parent in reversed(Path(name).parents[:-1]):
        place = target / parent
        if not place.exists():
            place.mkdir()
            outside = Path("/") / parent
            if outside.is_dir():
                _copy_ownership(outside.stat(), place)


def _copy_ownership(seen: os.stat_result, place: Path) -> None:
    os.chown(place, seen.st_uid, seen.st_gid)
    place.chmod(stat.S_IMODE(seen.st_mode))


def _link(place: Path, to: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(to)


def _keep_log_directories(target: Path) -> None:
    """Services expect the directories in /var/log that their packages made."""
    for outside in Path("/var/log").iterdir():
        if outside.is_dir() and outside.name != "journal":
            place = target / "var/log" / outside.name
            place.mkdir()
            _copy_ownership(outside.stat(), place)


def _lock_passwords(target: Path) -> None:
    """The accounts are this machine's; their passwords stay outside."""
    shadow = Path("/etc/shadow")
    rows = [line.split(":") for line in shadow.read_text().splitlines()]
    place = target / "etc/shadow"
    place.write_text("".join(":".join([row[0], "*", *row[2:]]) + "\n" for row in rows))
    shutil.copymode(shadow, place)
    _copy_ownership(shadow.stat(), place)


def prepare(paths: LabPaths) -> Path:
    """Makes the layer of the sources that run now, beside older ones that VMs may be using.

    Returns:
        The layer with which VMs boot from now on.
    """
    environment = software.environment()
    layers = paths.root / "layers"
    layers.mkdir(parents=True, exist_ok=True)
    if not layers.is_mount():
        run(["mount", "-t", "tmpfs", "-o", "mode=755", f"layers-{paths.name}", str(layers)])
    made = layers / environment.parent.name
    if not made.exists():
        fresh = layers / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        build(fresh, environment)
        fresh.rename(made)
    write(layers / "current", made.name + "\n")
    return made


def current(paths: LabPaths) -> Path:
    """The layer with which VMs boot.

    Raises:
        UserError: The lab is not up, or this machine was restarted.
    """
    note = paths.root / "layers" / "current"
    if not note.exists():
        raise UserError(
            f"lab {paths.name} is not up: it has no layer to boot VMs with",
            remedy=f"standfast-lab up --name {paths.name}",
        )
    return note.with_name(note.read_text().strip())


def remove(paths: LabPaths) -> None:
    """Unmounts the layers. No VM runs any more."""
    layers = paths.root / "layers"
    while layers.is_mount():
        run(["umount", str(layers)])
