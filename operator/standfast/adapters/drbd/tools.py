"""drbdadm for one resource: every order that the driver gives DRBD goes through here.

Each is killed when it takes too long. What DRBD refuses is a TransientError with DRBD's words;
that DRBD is not there at all is a UserError with what to install.
"""

import asyncio
import os
import stat
from pathlib import Path

from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.generations import Generations, read_generations
from standfast.adapters.drbd.reading import Seen, read_proc, version_of
from standfast.adapters.linux.programs import Programs
from standfast.errors import TransientError, UserError

ORDER_S = 20.0
_HEAD_BYTES = 1 << 20
_TAIL_BYTES = 1 << 20
DRIVEN = (8, 4)
NO_GENERATIONS = ("No valid meta data", "no valid meta", "not found")


class Drbd:
    """DRBD on this machine, as one resource uses it."""

    def __init__(self, config: DrbdConfig) -> None:
        self._config = config
        self._programs = Programs()

    async def seen(self) -> Seen:
        """What the kernel says now.

        Raises:
            UserError: The module is not loaded, or not one that is driven.
        """
        proc = await asyncio.to_thread(_text, self._config.proc)
        if proc is None:
            await self._load()
            proc = await asyncio.to_thread(_text, self._config.proc)
        version = None if proc is None else version_of(proc)
        if proc is None or version is None:
            raise UserError(
                f"{self._config.name}: DRBD is not in the kernel of this node",
                remedy="modprobe drbd; when there is no such module, install a kernel with it",
            )
        if version[:2] != DRIVEN:
            told = ".".join(map(str, version))
            raise UserError(
                f"{self._config.name}: the kernel of this node has DRBD {told}, and DRBD 8.4 is "
                "driven",
                remedy="boot the distribution's kernel, which has DRBD 8.4 (modinfo drbd)",
            )
        return read_proc(proc, self._config.minor)

    async def _load(self) -> None:
        await self._programs.run("modprobe", "drbd", budget_s=ORDER_S)

    async def generations(self) -> Generations | None:
        """Of this copy, attached or not; None when DRBD keeps nothing on it."""
        done = await self._programs.run(
            "drbdadm", "get-gi", self._config.resource, budget_s=ORDER_S
        )
        found = read_generations(done.said)
        if found is None and done.status == 0:
            raise TransientError(f"{self._config.name}: drbdadm get-gi says {done.said!r}")
        return found

    async def order(self, verb: str, *options: str) -> None:
        """One verb of drbdadm for the resource.

        Raises:
            TransientError: DRBD refused; its words.
        """
        argv = ("drbdadm", verb, *options, self._config.resource)
        await self._checked(*argv)

    async def order_minor(self, verb: str, *options: str) -> None:
        """One verb of drbdsetup for the device, which needs no configuration file."""
        await self._checked("drbdsetup", verb, str(self._config.minor), *options)

    async def attach(self, seen: Seen) -> None:
        """Let DRBD have its disk, without the other node."""
        if seen.connection == "Unconfigured":
            for verb in ("new-resource", "new-minor"):
                done = await self._programs.run(
                    "drbdadm", verb, self._config.resource, budget_s=ORDER_S
                )
                del done  # it may be there from an attempt that was broken off
        await self.order("attach")

    async def create(self) -> None:
        """Make DRBD's own data on a disk that is blank. Overwrites its end."""
        await self.order("create-md", "--force")

    async def is_blank(self) -> bool:
        """Whether nothing is on the disk: no signature, nothing but zeros at both ends."""
        path = self._config.disk
        done = await self._programs.run("blkid", "-p", str(path), budget_s=ORDER_S)
        if done.status == 0:
            return False
        return await asyncio.to_thread(_is_zero, path)

    async def dump(self, path: Path) -> None:
        """DRBD's own data of a copy that is not attached, into a file of root's."""
        script = 'umask 077; drbdadm apply-al "$1"; drbdadm dump-md "$1" > "$2"'
        await self._checked("sh", "-c", script, "sh", self._config.resource, str(path))

    async def end(self) -> None:
        """Kill what still runs."""
        await self._programs.end()

    async def _checked(self, *argv: str) -> None:
        done = await self._programs.run(*argv, budget_s=ORDER_S)
        if done.status != 0:
            raise TransientError(
                f"{self._config.name}: {' '.join(argv)} ended with {done.status}: {done.said}",
                remedy=f"cat /proc/drbd; drbdadm dump {self._config.resource}; dmesg | tail",
            )


def disk_problem(config: DrbdConfig) -> str:
    """Why the disk cannot be had; empty when it is there."""
    try:
        mode = config.disk.stat().st_mode
    except OSError:
        return f"there is no disk {config.disk} on this node"
    return "" if stat.S_ISBLK(mode) else f"{config.disk} is not a block device"


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None


def _is_zero(path: Path) -> bool:
    with path.open("rb") as disk:
        size = disk.seek(0, os.SEEK_END)
        disk.seek(0)
        if any(disk.read(min(_HEAD_BYTES, size))):
            return False
        disk.seek(max(0, size - _TAIL_BYTES))
        return not any(disk.read(_TAIL_BYTES))
