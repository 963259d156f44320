"""Ending all use of a device, and knowing that it has ended.

Gone means three things, looked at in this order: nothing of it is mounted where this process sees
it, nothing is mounted in anybody else's namespace, and nobody claims the device (which a detached
file system does for as long as it lives). Who is in the way is asked to leave, then killed; in an
emergency killed at once, and the mounts are detached even though they are busy.

A device on which the machine itself lives is left alone, whatever is declared.
"""

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from standfast.adapters.disks import devices, mounts
from standfast.adapters.disks.mounts import Mount
from standfast.adapters.disks.users import signal_all, users
from standfast.adapters.linux.programs import Programs
from standfast.errors import TransientError

LOOK_AGAIN_S = 0.03
UMOUNT_S = 2.0
"""In an emergency an unmount, which writes out what was not written yet, gets so long."""
DETACH_AFTER = 3
"""So many tries to unmount properly in an emergency."""
_ENTRIES_PER_SENTENCE = 5


@dataclass(frozen=True, slots=True)
class Use:
    """Who uses a device now.

    Attributes:
        mounted: Mounts that this process sees, the last first.
        claimed: Whether a file system or a program has it for itself.
        is_in_place: Whether it is mounted where the resource mounts it.
    """

    mounted: tuple[Mount, ...]
    claimed: bool
    is_in_place: bool = False

    @property
    def is_over(self) -> bool:
        return not self.mounted and not self.claimed

    @property
    def systems(self) -> str:
        """Where the machine itself lives on it; empty when it does not."""
        return next((mount.point for mount in self.mounted if mount.is_systems), "")

    @property
    def concerns_us(self) -> bool:
        """Whether somebody uses it, and it is not the machine itself.

        What is mounted in its place was mounted by us, because a start refuses the machine's own:
        where else somebody mounted it later does not make it the machine's.
        """
        return not self.is_over and (self.is_in_place or not self.systems)

    def sentence(self, device: str) -> str:
        points = [mount.point for mount in self.mounted]
        if points:
            return f"{device} is mounted at {', '.join(points[:_ENTRIES_PER_SENTENCE])}"
        return f"{device} is in use" if self.claimed else f"{device} is not in use"


def use_of(paths: Iterable[Path], point: Path | None = None) -> Use:
    """Who uses these devices; with `point`, also whatever is mounted there and below.

    Blocks for as long as the kernel takes to open a device: call it in a thread.

    Raises:
        TransientError: A device cannot be asked.
    """
    nodes = tuple(paths)
    numbers = {found for path in nodes if (found := devices.number(path)) is not None}
    seen = mounts.here()
    under = mounts.at_or_below(str(point), seen) if point is not None else ()
    mounted = tuple(m for m in reversed(seen) if m.number in numbers or m in under)
    is_in_place = any(m.number in numbers and m.point == str(point) for m in mounted)
    return Use(mounted, any(devices.is_claimed(path) for path in nodes), is_in_place)


class Clearing:
    """Ends the use of one resource's device.

    Args:
        programs: Runs `umount`.
    """

    def __init__(self, programs: Programs) -> None:
        self._programs = programs

    async def gently(self, paths: tuple[Path, ...], point: Path | None, budget_s: float) -> None:
        """Unmount; who keeps it busy is asked to leave, and killed in the last half of the time.

        Raises:
            TransientError: It is still in use after `budget_s`.
        """
        loop = asyncio.get_running_loop()
        kills_at_s = loop.time() + budget_s / 2
        try:
            async with asyncio.timeout(budget_s):
                while True:
                    hard = loop.time() >= kills_at_s
                    if await self._once(paths, point, hard=hard, detach=False):
                        return
                    await asyncio.sleep(LOOK_AGAIN_S)
        except TimeoutError as error:
            left = await asyncio.to_thread(_sentence, paths, point)
            raise TransientError(
                f"{left} after {budget_s * 1000:.0f} ms",
                remedy=f"fuser -vm {point or paths[0]}" if point or paths else "",
            ) from error

    async def hard(self, paths: tuple[Path, ...], point: Path | None) -> None:
        """Kill who is in the way, unmount, and detach what does not let go; until it is gone."""
        tries = 0
        while not await self._tried(paths, point, detach=tries >= DETACH_AFTER):
            tries += 1
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _tried(self, paths: tuple[Path, ...], point: Path | None, *, detach: bool) -> bool:
        try:
            return await self._once(paths, point, hard=True, detach=detach)
        except TransientError:
            return False  # an unmount that hangs: once more, and detach

    async def _once(
        self, paths: tuple[Path, ...], point: Path | None, *, hard: bool, detach: bool
    ) -> bool:
        use = await asyncio.to_thread(use_of, paths, point)
        if not use.concerns_us:
            return True
        numbers = _numbers(paths, use)
        if hard:
            signal_all(await asyncio.to_thread(users, numbers), signal.SIGKILL)
        for mount in _to_unmount(use, point):
            how = ("--lazy",) if detach else ()
            budget_s = UMOUNT_S if hard and not detach else None
            await self._programs.run("umount", *how, "--", mount.point, budget_s=budget_s)
        use = await asyncio.to_thread(use_of, paths, point)
        if use.is_over:
            return True
        if not hard:
            signal_all(await asyncio.to_thread(users, numbers), signal.SIGTERM)
        return False


def _to_unmount(use: Use, point: Path | None) -> tuple[Mount, ...]:
    """Its own place last of all, and only then: it tells whose the other mounts are."""
    others = tuple(mount for mount in use.mounted if mount.point != str(point))
    is_last = not any(mount.is_systems for mount in others)
    return use.mounted if is_last else others


def _numbers(paths: Iterable[Path], use: Use) -> frozenset[str]:
    """Devices whose users are in the way; never one on which the machine itself lives."""
    found = {number for path in paths if (number := devices.number(path)) is not None}
    systems = {mount.number for mount in mounts.here() if mount.is_systems}
    if use.is_in_place:
        systems -= found
    return frozenset(found | {mount.number for mount in use.mounted}) - systems


def _sentence(paths: tuple[Path, ...], point: Path | None) -> str:
    use = use_of(paths, point)
    found = users(_numbers(paths, use))[:_ENTRIES_PER_SENTENCE]
    who = f", by {', '.join(f'{user.pid} {user.command}' for user in found)}" if found else ""
    what = str(paths[0]) if paths else str(point)
    return f"{use.sentence(what)}{who}"
