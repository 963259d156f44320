"""Holding file systems still for a moment, and letting them go whatever becomes of the agent.

A frozen file system takes no write until it is thawed, so whoever froze it must not be the only
one who can. The agent starts a helper; the helper freezes, and thaws when it is told to, when its
time is over, or when the agent is gone (its standard input ends). A second process, made before
anything is frozen, thaws when the helper dies or is late. Thawing twice does no harm.

Run as `python -m standfast.agent.freezing SECONDS DIRECTORY...`; standard library only.

Source: Linux, `FIFREEZE` and `FITHAW` in include/uapi/linux/fs.h; fsfreeze(8).
"""

import asyncio
import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from standfast.errors import TransientError

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
SECOND_S = 1.0
"""So much later than the helper does the second process thaw."""
ANSWER_S = 10.0
"""Everything that was written has to reach the disk before it is frozen."""
SYSTEM = ("/", "/etc", "/run", "/usr", "/var", "/var/log")
"""What the machine, and with it the agent, needs to write at any moment."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """What is held still.

    Args:
        paths: Directories whose file systems are frozen.
        problems: Those that are not, each with the reason.
    """

    paths: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass
class Freezer:
    """The agent's end.

    Args:
        keep: Directories whose file systems are never frozen: the agent's own.
    """

    keep: tuple[Path, ...] = ()
    _helper: asyncio.subprocess.Process | None = field(default=None, init=False)

    async def freeze(self, paths: Sequence[Path], seconds: float) -> Frozen:
        """Hold the file systems of these directories still, for at most so long.

        Raises:
            TransientError: The helper did not answer; nothing stays frozen.
        """
        await self.thaw()
        wanted, problems = await asyncio.to_thread(choose, paths, self.keep)
        if not wanted:
            return Frozen(problems=problems)
        words = [sys.executable, "-m", __name__, str(seconds), *map(str, wanted)]
        pipe = asyncio.subprocess.PIPE
        self._helper = helper = await asyncio.create_subprocess_exec(
            *words, stdin=pipe, stdout=pipe, cwd="/", start_new_session=True
        )
        assert helper.stdout is not None, "piped"
        try:
            async with asyncio.timeout(ANSWER_S):
                said = json.loads(await helper.stdout.readline())
        except (TimeoutError, ValueError) as error:
            await self.thaw()
            raise TransientError(
                f"{', '.join(map(str, wanted))} could not be frozen within {ANSWER_S:g} s",
                remedy="look at what writes there, and at the disk (dmesg)",
            ) from error
        return Frozen(tuple(said["frozen"]), (*problems, *said["problems"]))

    async def thaw(self) -> None:
        """Let everything go; true on return, or the helper is late and its second does it."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        assert helper.stdin is not None, "piped"
        helper.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                await helper.wait()


def choose(paths: Sequence[Path], keep: Sequence[Path]) -> tuple[list[Path], tuple[str, ...]]:
    """One directory for each file system that may be frozen, and why the others may not."""
    taken = {_device(path) for path in (*keep, *map(Path, SYSTEM))}
    chosen: dict[int, Path] = {}
    problems: list[str] = []
    for path in paths:
        device = _device(path)
        if device is None:
            problems.append(f"{path} is not frozen: it is not there")
        elif device in taken:
            problems.append(
                f"{path} is not frozen: it is on a file system that this machine and the agent "
                "write to"
            )
        else:
            chosen.setdefault(device, path)
    return list(chosen.values()), tuple(problems)


def _device(path: Path) -> int | None:
    try:
        return path.stat().st_dev
    except OSError:
        return None


# ------------------------------------------------------------------ the helper


def main(seconds: float, paths: Sequence[str]) -> None:
    """Freeze, say so, wait, thaw."""
    deadline = time.monotonic() + seconds
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    directories = {path: os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in paths}
    alive, heard = os.pipe()
    if os.fork() == 0:
        os.close(heard)
        _stand_by(alive, deadline + SECOND_S, list(directories.values()))
    frozen: list[str] = []
    problems: list[str] = []
    for path, directory in directories.items():
        try:
            fcntl.ioctl(directory, FIFREEZE, 0)
        except OSError as error:
            problems.append(f"{path} is not frozen: {error.strerror}")
        else:
            frozen.append(path)
    with contextlib.suppress(OSError):  # nobody listens any more: it is thawed at once
        os.write(1, json.dumps({"frozen": frozen, "problems": problems}).encode() + b"\n")
    select.select([0], [], [], max(0.0, deadline - time.monotonic()))
    _thaw(list(directories.values()))


def _stand_by(alive: int, deadline: float, directories: list[int]) -> None:
    """The second process: returns never."""
    for descriptor in (0, 1):
        os.close(descriptor)
    os.setsid()
    select.select([alive], [], [], max(0.0, deadline - time.monotonic()))
    _thaw(directories)
    os._exit(0)


def _thaw(directories: list[int]) -> None:
    for directory in reversed(directories):
        with contextlib.suppress(OSError):  # not frozen, or thawed already
            fcntl.ioctl(directory, FITHAW, 0)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
