"""`standfast-agent`: `run` is the service; everything else is for people and loaded on demand.

A restarted agent has a few hundred milliseconds to win its lease back, so `run` loads no command
line framework.
"""

import sys

from standfast.errors import StandfastError


def main() -> None:
    """Entry point of the installed command."""
    if sys.argv[1:] == ["run"]:
        _run()
        return
    from standfast.agent.commands import command_line

    command_line()


def _run() -> None:
    from standfast.agent.agent import Settings
    from standfast.agent.machine import linux_machine
    from standfast.agent.service import serve

    try:
        serve(Settings.from_environment(), linux_machine())
    except StandfastError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 the process edge
        sys.exit(error.exit_code)
