"""Programs that may hang (mount, fsck, sg_persist, checks), each in a process of its own.

A process that waits for a dead disk cannot be killed, and nobody can wait for it: then it is left
behind and said to be, and the agent goes on.
"""

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass

from standfast.errors import TransientError, UserError

STUCK_S = 0.5
"""A killed process that is still there after this hangs in the kernel."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended.

    Attributes:
        status: Its exit status.
        said: The end of what it said, for sentences.
        out: All that it wrote to its standard output.
    """

    status: int
    said: str
    out: str = ""


class Programs:
    """The programs of one resource.

    Attributes:
        running: Those that were begun and not seen ended.
    """

    def __init__(self) -> None:
        self.running: set[Process] = set()

    async def run(self, *argv: str, budget_s: float | None = None) -> Done:
        """Run a program to its end; it is killed when the budget is over or the wait cancelled.

        Raises:
            UserError: It is not installed.
            TransientError: It was not done within its budget.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=PIPE,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise UserError(
                f"{argv[0]} is not on this node",
                remedy=f"install the package that brings {argv[0]}",
            ) from error
        self.running.add(process)
        try:
            async with asyncio.timeout(budget_s):
                out, errors = await process.communicate()
        except TimeoutError as late:
            raise TransientError(f"{' '.join(argv)} was not done within {budget_s:g} s") from late
        finally:
            await self._end(process)
        assert process.returncode is not None, "it was waited for"
        words = (errors.strip() or out.strip()).decode(errors="replace").splitlines()
        said = "; ".join(line.strip() for line in words[-3:])[-400:]
        return Done(process.returncode, said, out.decode(errors="replace"))

    async def end(self) -> bool:
        """Kill what still runs; says whether all of it is gone."""
        for process in tuple(self.running):
            await self._end(process)
        return not self.running

    async def end_all(self) -> None:
        """Kill what still runs, and wait for as long as it takes."""
        for process in tuple(self.running):
            await self._end(process)
            await process.wait()
            self.running.discard(process)

    async def _end(self, process: Process) -> None:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STUCK_S):
                    await process.wait()
        if process.returncode is not None:
            self.running.discard(process)
