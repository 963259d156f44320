"""A program of the host that looks whether the application is well: status 0 says so.

It runs in a transient unit of systemd: as the user that the host's file names, in a control group
of its own, with none of the agent's priority, memory and rights. What hangs is killed with all
that it has begun; should the agent die meanwhile, systemd does it (`RuntimeMaxSec=`).
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from standfast.adapters.checks.config import CommandCheck, Program
from standfast.adapters.linux.programs import Done, Programs
from standfast.errors import TransientError, UserError
from standfast.ports.resource import Health, Verdict
from standfast.ports.units import Units

ProgramOf = Callable[[str], Program | None]
"""What the host's file says now under this name; raises UserError when it does not read."""

BACKSTOP_S = 2.0
"""So long after its limit systemd ends it, if nobody else did."""
END_S = 0.5
LOOK_S = 0.02
FIRST_OF_SYSTEMD = 200
"""systemd.exec(5): such a status says that the program was not even begun."""
_NOT_BEGUN = (
    "Failed to find executable",
    "Failed to start transient",
    "Failed to connect to bus",
    "Failed to create bus",
)


class CommandAsk:
    """The `Ask` of a program.

    Args:
        resource: Whose check it is: the unit is named for it.
        check: Which program.
        units: Ends it.
        program_of: Asked anew each time, in a thread.
    """

    def __init__(
        self, resource: str, check: CommandCheck, units: Units, program_of: ProgramOf
    ) -> None:
        self._check = check
        self._units = units
        self._program_of = program_of
        self._programs = Programs()
        self._unit = f"standfast-check-{resource}.service"

    @property
    def what(self) -> str:
        return f"check {self._check.name}"

    async def obstacle(self) -> str:
        try:
            await self._program()
        except UserError as error:
            return f"{error.problem} ({error.remedy})"
        return ""

    async def put(self, limit_s: float) -> Health:
        try:
            program = await self._program()
            if not await self._is_over():
                return Health(Verdict.DOWN, f"{self.what}: an earlier run cannot be ended")
            done = await self._run(program, limit_s)
        except (UserError, TransientError) as error:
            return Health(Verdict.UNKNOWN, error.problem)
        said = f": {done.said}" if done.said else ""
        if done.status == 0:
            return Health(Verdict.UP, f"{self.what} passes{said}")
        if done.status >= FIRST_OF_SYSTEMD or done.said.startswith(_NOT_BEGUN):
            command = program.command[0]
            return Health(
                Verdict.UNKNOWN,
                f"{self.what} could not be run ({command} as {program.user}), status "
                f"{done.status}{said}",
            )
        return Health(Verdict.DOWN, f"{self.what} ended with status {done.status}{said}")

    async def _program(self) -> Program:
        name = self._check.name
        program = await asyncio.to_thread(self._program_of, name)
        if program is None:
            raise UserError(
                f"this node has no program for {self.what}",
                remedy=f"add a section [checks.{name}] with command and user to "
                "/etc/standfast/agent.toml on this node",
            )
        return program

    async def _run(self, program: Program, limit_s: float) -> Done:
        """The unit is ended before systemd-run is: it holds the pipes, which are waited for."""
        running = asyncio.create_task(self._programs.run(*self._argv(program, limit_s)))
        try:
            return await asyncio.shield(running)
        finally:
            if not running.done():
                await self._end()
                running.cancel()
                await asyncio.wait({running})

    def _argv(self, program: Program, limit_s: float) -> Sequence[str]:
        settings = {
            "RuntimeMaxSec": f"{limit_s + BACKSTOP_S:.3f}",
            "TimeoutStopSec": "1",
            "KillSignal": "SIGKILL",
            "LogLevelMax": "notice",  # a line in the journal for each check would be noise
        }
        return (
            *("systemd-run", "--quiet", "--wait", "--pipe", "--collect", "--no-ask-password"),
            f"--unit={self._unit}",
            f"--uid={program.user}",
            f"--description=Standfast {self.what}",
            *(f"--property={key}={value}" for key, value in settings.items()),
            "--",
            *(word.replace("$", "$$") for word in program.command),
        )

    async def _is_over(self) -> bool:
        """Whether nothing is left of an earlier run, which is ended if there is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while await self._units.processes(self._unit):
                    await self._end()
                    await asyncio.sleep(LOOK_S)
                return True
        return False

    async def _end(self) -> None:
        with contextlib.suppress(TransientError, TimeoutError):
            async with asyncio.timeout(END_S):
                await self._units.ask_stop(self._unit)
                await self._units.kill(self._unit)
