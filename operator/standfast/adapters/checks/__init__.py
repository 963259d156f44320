"""Checks that ask the application itself: by TCP, by HTTP, or by a program of the host.

Each has a limit in time of its own and leaves nothing behind; `checker` chooses among them.
"""

from typing import assert_never

from standfast.adapters.checks.asking import Ask, Checker
from standfast.adapters.checks.command import CommandAsk, ProgramOf
from standfast.adapters.checks.config import CheckConfig, CommandCheck, HttpCheck, TcpCheck
from standfast.adapters.checks.tcp import TcpAsk
from standfast.adapters.checks.web import HttpAsk
from standfast.ports.units import Units

__all__ = ["Checker", "checker"]


def checker(resource: str, config: CheckConfig, units: Units, program_of: ProgramOf) -> Checker:
    """What asks as declared. Touches nothing yet."""
    ask: Ask
    match config.ask:
        case TcpCheck():
            ask = TcpAsk(config.ask)
        case HttpCheck():
            ask = HttpAsk(config.ask)
        case CommandCheck():
            ask = CommandAsk(resource, config.ask, units, program_of)
        case _:
            assert_never(config.ask)
    return Checker(ask, config.limit_ms)
