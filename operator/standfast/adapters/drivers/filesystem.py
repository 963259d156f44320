"""A file system as a resource: mounted on one node, and on no other at the same time.

A start checks it first as declared (`fsck`), mounts it, and looks whether it is writable. A stop
unmounts; whoever keeps it busy is asked to leave and then killed. Stopped means that nobody has
it mounted or claims its device any more, in any namespace of this machine: a mount that was
detached lives on until its last file is closed, and does not count as gone.

While it runs, an unmount by somebody else is seen by signal; a remount read-only, and a disk that
fails or does not answer, by a small write at every check. A device that belongs to this resource
is unmounted also where it was mounted by hand.
"""

import asyncio
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standfast.adapters.disks import devices, mounts
from standfast.adapters.disks.clearing import Clearing, Use, use_of
from standfast.adapters.disks.config import FilesystemConfig, Fsck
from standfast.adapters.disks.health import CHECK_FILE, WriteCheck
from standfast.adapters.disks.mounts import FSTAB, Mount
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.tenure import Tenure
from standfast.adapters.linux.programs import Programs
from standfast.errors import TransientError, UserError
from standfast.guard.mounts import objection
from standfast.ports.events import Alert
from standfast.ports.resource import (
    Change,
    Health,
    Presence,
    Report,
    ResourceEvent,
    ResourceState,
    Verdict,
)

FSCK = {"ext4": ("fsck.ext4", "-p")}
"""Checks to make before a mount: replays the journal, repairs what needs no decision. A mount of
XFS does the same by itself, and refuses what needs more."""
_FSCK_LEFT = 4
"""fsck(8): errors were left, and every status above is worse."""
_CORRUPT = ("structure needs cleaning", "bad superblock", "wrong fs type")


class FilesystemDriver:
    """The `ResourceDriver` of one file system.

    Args:
        config: Which.
        host: The machine.
        fstab: What is mounted at boot.
    """

    def __init__(self, config: FilesystemConfig, host: DriverHost, fstab: Path = FSTAB) -> None:
        self._config = config
        self._host = host
        self._fstab = fstab
        self._programs = Programs()
        self._clearing = Clearing(self._programs)
        self._writes = WriteCheck(config.mount_point)
        self._tenure = Tenure(config.name)

    @property
    def name(self) -> str:
        return self._config.name

    def directories(self) -> tuple[Path, ...]:
        return (self._config.mount_point,)

    async def probe(self) -> ResourceState:
        try:
            use = await self._use()
        except (TransientError, OSError) as error:
            return ResourceState(Presence.UNKNOWN, str(error))
        if not use.concerns_us:
            return ResourceState(Presence.STOPPED, f"{self._config.device} is not mounted")
        return ResourceState(Presence.RUNNING, use.sentence(self._config.device))

    async def start(self, lease_until_ms: int | None) -> None:
        del lease_until_ms  # the kernel keeps a mount; the guard takes it away
        attempt = self._tenure.begin()
        in_the_way = self._obstacle()
        if in_the_way is not None:
            raise in_the_way
        device = await self._device()
        await asyncio.to_thread(self._refuse_other_disk, device)
        use = await asyncio.to_thread(use_of, (device,), self._config.mount_point)
        self._tenure.go_on_only_if(attempt)
        if not self._is_right(use, device):
            self._refuse_foreign(use)
            await self._check_first(device)
            self._tenure.go_on_only_if(attempt)
            self._tenure.is_ours = True
            await self._mount(device, attempt)
        self._tenure.is_ours = self._tenure.is_up = True
        if not self._is_right(await self._use(), device):
            self._tenure.is_up = False
            raise TransientError(
                f"{self.name}: {device} was mounted at {self._config.mount_point}, and is not "
                "mounted there writable any more",
                remedy=f"dmesg | tail; findmnt {self._config.mount_point}",
            )

    async def stop(self, budget_ms: int) -> None:
        with self._tenure.ending():
            await self._clearing.gently(
                await self._paths(), self._config.mount_point, budget_ms / 1000
            )

    async def kill(self) -> None:
        with self._tenure.ending():
            await self._programs.end_all()
            await self._clearing.hard(await self._paths(), self._config.mount_point)

    def extend(self, lease_until_ms: int) -> None:
        """Nothing in the kernel ends with the lease; the guard holds the deadline of the mount."""

    async def watch(self, report: Report) -> None:
        was_there = self._mount_here() is not None
        with _mount_changes() as changed:
            while True:
                await changed.wait()
                changed.clear()
                is_there = self._mount_here() is not None
                self._judge(report, is_there=is_there, is_new=is_there and not was_there)
                was_there = is_there

    async def check(self) -> Health:
        mount = self._mount_here()
        point = self._config.mount_point
        if mount is None:
            return Health(Verdict.GONE, f"nothing is mounted at {point}")
        if not mount.is_writable:
            return Health(
                Verdict.GONE,
                f"{point} became read-only: the kernel does that after an error of the disk",
            )
        problem = await self._writes.problem()
        if problem:
            return Health(Verdict.DOWN, f"{point}: {problem}")
        return Health(Verdict.UP, f"{mount.source} is mounted at {point} and takes writes")

    async def ready(self) -> list[str]:
        in_the_way = self._obstacle()
        return [] if in_the_way is None else [f"{in_the_way.problem} ({in_the_way.remedy})"]

    async def concerns(self) -> list[Alert]:
        point = self._config.mount_point
        if self._mount_here() is not None or not point.is_dir():
            return []
        hidden = sorted({each.name for each in point.iterdir()} - {"lost+found", CHECK_FILE})
        if not hidden:
            return []
        return [
            Alert(
                "MountPointNotEmpty",
                f"{point} has files of its own ({hidden[0]}, ...), which the file system "
                f"of HAResource {self.name} hides while it is mounted",
                f"while it is not mounted here: ls {point}, and move them away",
            )
        ]

    async def close(self) -> None:
        await self._writes.end()

    # ---------------------------------------------------------------- looking

    async def _use(self) -> Use:
        return await asyncio.to_thread(use_of, await self._paths(), self._config.mount_point)

    async def _paths(self) -> tuple[Path, ...]:
        """The device, if it is here."""
        found = await self._find()
        return () if found is None else (found,)

    async def _device(self) -> Path:
        found = await self._find()
        if found is None:
            raise TransientError(
                f"{self.name}: there is no device {self._config.device} on this node",
                remedy="lsblk -o NAME,SIZE,FSTYPE,UUID,LABEL; ls -l /dev/disk/by-id",
            )
        return found

    async def _find(self) -> Path | None:
        device = self._config.device
        tag, is_tag, value = device.partition("=")
        if not is_tag:
            path = Path(device)
            return path if await asyncio.to_thread(devices.number, path) is not None else None
        linked = Path(f"/dev/disk/by-{tag.lower()}") / value
        if await asyncio.to_thread(devices.number, linked) is not None:
            return linked
        done = await self._programs.run("findfs", device, budget_s=5.0)
        return Path(done.said) if done.status == 0 else None

    def _mount_here(self) -> Mount | None:
        """What is mounted at the mount point, on top."""
        point = str(self._config.mount_point)
        return next((mount for mount in reversed(mounts.here()) if mount.point == point), None)

    def _is_right(self, use: Use, device: Path) -> bool:
        """Mounted once, as a whole, where it belongs, writable."""
        if len(use.mounted) != 1:
            return False
        mount = use.mounted[0]
        return (
            mount.number == devices.number(device)
            and (mount.point, mount.root) == (str(self._config.mount_point), "/")
            and mount.is_writable
        )

    # ---------------------------------------------------------------- what a start refuses

    def _obstacle(self) -> UserError | None:
        point, names = self._config.mount_point, [self._config.device]
        problem = objection(str(point))
        if problem:
            return UserError(
                f"{self.name}: nothing is mounted at {point}: {problem}",
                remedy=f"choose another spec.filesystem.mountPoint of HAResource {self.name}",
            )
        if not point.is_dir():
            return UserError(
                f"{self.name}: {point} is not a directory on this node",
                remedy=f"mkdir -p {point}",
            )
        line = mounts.fstab_line([str(point), *names, *self._real_names()], self._fstab)
        if line:
            return UserError(
                f"{self.name}: {self._fstab} mounts it at boot without asking who is active "
                f"({line})",
                remedy=f"remove that line from {self._fstab}, or add noauto to its options; then "
                "systemctl daemon-reload",
            )
        return None

    def _real_names(self) -> list[str]:
        device = self._config.device
        return [] if "=" in device else [str(Path(device).resolve())]

    def _refuse_other_disk(self, device: Path) -> None:
        """What lets it start is the reservation of certain disks, and holds for no other."""
        wanted = self._config.on_disks
        if not wanted:
            return
        numbers = {devices.number(path) for disk in wanted for path in disk.paths}
        if not devices.disks_under(device) <= numbers:
            uuids = ", ".join(disk.uuid for disk in wanted)
            raise UserError(
                f"{self.name}: {device} is not on the reserved disk that it depends on ({uuids}), "
                "so that nobody else mounts it is not proven",
                remedy=f"correct spec.filesystem.device of HAResource {self.name}, as "
                f"{wanted[0].paths[0]}, or its spec.dependsOn",
            )

    def _refuse_foreign(self, use: Use) -> None:
        device, point = self._config.device, self._config.mount_point
        if use.systems:
            raise UserError(
                f"{self.name}: this machine itself lives on {device} ({use.systems})",
                remedy=f"correct spec.filesystem.device of HAResource {self.name}",
            )
        if use.mounted:
            points = " ".join(mount.point for mount in use.mounted)
            raise TransientError(
                f"{self.name}: {use.sentence(device)} already, and not as this resource mounts "
                f"it at {point}",
                remedy=f"umount {points}",
            )
        if use.claimed:
            raise TransientError(
                f"{self.name}: {device} is in use on this node, though nothing of it is mounted "
                "here: by a check, a volume, another namespace, or a file that is still open",
                remedy=f"lsblk {device}; fuser -v {device}",
            )

    # ---------------------------------------------------------------- doing

    async def _check_first(self, device: Path) -> None:
        command = FSCK.get(self._config.fs_type)
        if self._config.fsck is Fsck.NEVER or command is None:
            return
        done = await self._programs.run(*command, str(device))
        if done.status < 0:
            raise TransientError(
                f"{self.name}: {command[0]} on {device} was killed by signal {-done.status}",
                remedy="journalctl -k -n 50: was the machine out of memory?",
            )
        if done.status >= _FSCK_LEFT:
            raise UserError(
                f"{self.name}: {command[0]} left errors on {device} ({done.said}); what is broken "
                "needs a decision",
                remedy=f"look first: {command[0]} -n {device}. Then repair: {command[0]} {device}",
            )
        if done.status:
            fields = {"resource": self.name, "device": str(device), "error": done.said}
            self._host.sink.note("FilesystemRepaired", "fsck corrected errors", fields)

    async def _mount(self, device: Path, attempt: int) -> None:
        config = self._config
        options = ",".join(("rw", *config.options))
        argv = ("mount", "--rw", "-t", config.fs_type, "-o", options, "--", str(device))
        done = await self._programs.run(*argv, str(config.mount_point))
        self._tenure.go_on_only_if(attempt)
        if done.status == 0:
            return
        is_corrupt = any(word in done.said.lower() for word in _CORRUPT)
        repair = "xfs_repair -n" if config.fs_type == "xfs" else "fsck -n"
        kind = UserError if is_corrupt else TransientError
        raise kind(
            f"{self.name}: {' '.join(argv)} {config.mount_point} failed: {done.said}",
            remedy=f"blkid {device}; {repair} {device}" if is_corrupt else "dmesg | tail",
        )

    def _judge(self, report: Report, *, is_there: bool, is_new: bool) -> None:
        point = self._config.mount_point
        if not is_there and self._tenure.is_up:
            self._tenure.is_up = False
            report(self._event(Change.DIED, f"{point} was unmounted, and not by us"))
        elif is_new and self._tenure.would_be_strange:
            report(
                self._event(Change.APPEARED, f"something was mounted at {point}, and not by us")
            )

    def _event(self, change: Change, message: str) -> ResourceEvent:
        return ResourceEvent(self.name, change, message, self._host.clock.now_ms())


@contextmanager
def _mount_changes() -> Iterator[asyncio.Event]:
    """Is set whenever something was mounted, unmounted or remounted where this process sees it."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    with (mounts.PROC / "self/mountinfo").open("rb") as table, select.epoll() as poll:
        poll.register(table, select.EPOLLPRI | select.EPOLLERR)

        def told() -> None:
            poll.poll(0)
            changed.set()

        loop.add_reader(poll.fileno(), told)
        try:
            yield changed
        finally:
            loop.remove_reader(poll.fileno())
