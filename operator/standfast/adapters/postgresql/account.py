"""Programs and files as the database's own user; never as root.

The user owns its files and may have planted anything among them (a link in place of a file), so
root does not write there. Programs die with the agent (`--pdeathsig`): what they were doing is
begun anew by the next run, and never twice at once.
"""

import asyncio
import contextlib
import os
import pwd
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import TransientError, UserError

FILE_S = 10.0
LINE_BYTES_MAX = 4 << 20

_WRITE = """
umask 077
cat > "$1.new" && chmod "$2" "$1.new" && sync "$1.new" && mv -f "$1.new" "$1" && sync "${1%/*}"
"""


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    status: int
    out: str
    error: str

    @property
    def said(self) -> str:
        """The last of what it said, for a sentence."""
        words = (self.error.strip() or self.out.strip()).splitlines()
        return "; ".join(line.strip() for line in words[-3:])[-400:]


class Account:
    """A user of this machine, and what is done in its name.

    Args:
        user: Its name.
    """

    def __init__(self, user: str) -> None:
        self.user = user

    def command(self, argv: Sequence[str], *, gently: bool = False) -> list[str]:
        """The command line that runs `argv` as this user.

        Args:
            argv: Program and arguments.
            gently: Behind everything else: long work beside a service.

        Raises:
            UserError: There is no such user.
        """
        try:
            entry = pwd.getpwnam(self.user)
        except KeyError as error:
            raise UserError(
                f"this machine has no user {self.user}, who owns the database",
                remedy="install PostgreSQL on this node",
            ) from error
        behind = ["choom", "-n", "0", "--", "nice", "-n", "5"] if gently else []
        if entry.pw_uid == os.geteuid():
            return [*behind, *argv]
        become = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}"]
        return [*become, "--init-groups", "--reset-env", "--pdeathsig=KILL", "--", *behind, *argv]

    async def begin(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        gently: bool = False,
    ) -> Process:
        """Start a program with pipes on all three ends, the leader of a group of its own."""
        settings = [f"{key}={value}" for key, value in {"LC_ALL": "C", **(env or {})}.items()]
        command = self.command(["env", *settings, *argv], gently=gently)
        try:
            return await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                cwd="/",
                start_new_session=True,
                limit=LINE_BYTES_MAX,
            )
        except FileNotFoundError as error:
            raise UserError(
                f"{command[0]} is not on this machine: {error}",
                remedy="install util-linux and coreutils",
            ) from error

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        budget_s: float = FILE_S,
        env: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a program to its end; it is killed when the budget is over or the wait cancelled.

        Raises:
            TransientError: It was not done within its budget.
        """
        process = await self.begin(argv, env=env)
        try:
            async with asyncio.timeout(budget_s):
                out, error = await process.communicate(stdin)
        except TimeoutError as late:
            raise TransientError(f"{argv[0]} was not done within {budget_s:g} s") from late
        finally:
            await end(process)
        status = process.returncode
        assert status is not None, "it was waited for"
        return Done(status, _text(out), _text(error))

    async def shell(self, script: str, *arguments: str, budget_s: float = FILE_S) -> None:
        """Run a few lines of shell; `$1` is the first argument.

        Raises:
            TransientError: A line failed.
        """
        await self._shell(script, arguments, b"", budget_s)

    async def write(self, path: Path, text: str, mode: int = 0o600) -> None:
        """Replace a file, safely on disk on return.

        Raises:
            TransientError: It could not be written.
        """
        await self._shell(_WRITE, (str(path), f"{mode:o}"), text.encode(), FILE_S)

    async def _shell(
        self, script: str, arguments: Sequence[str], stdin: bytes, budget_s: float
    ) -> None:
        done = await self.run(
            ["sh", "-e", "-c", script, "sh", *arguments], stdin=stdin, budget_s=budget_s
        )
        if done.status != 0:
            raise TransientError(
                f"user {self.user} cannot work on {' '.join(arguments)}: {done.said}",
                remedy=f"look at owner, mode and free space of {arguments[0]}",
            )


async def end(process: Process) -> None:
    """Kill a program and everything in its group, unless it has ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
