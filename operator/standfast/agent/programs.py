"""The programs that checks may run, as the host's file has them: `[checks.NAME]`."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from standfast.adapters.checks.config import Program
from standfast.errors import UserError

USER = "nobody"
_KEYS = frozenset({"command", "user"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def read(path: Path, section: object) -> Mapping[str, Program]:
    """What the section says.

    Raises:
        UserError: It does not read.
    """
    if not isinstance(section, dict):
        raise _unreadable(path, "checks is not a section: write [checks.NAME]")
    return {str(name): _program(path, str(name), each) for name, each in section.items()}


def example_of(name: str) -> str:
    """The lines to add, in one."""
    return f'[checks.{name}] command = ["/usr/local/bin/check-{name}"] user = "{USER}"'


def _program(path: Path, name: str, section: object) -> Program:
    where = f"[checks.{name}]"
    if not _NAME.fullmatch(name) or len(name) > 63:
        raise _unreadable(path, f"{where}: a name has a-z, 0-9 and -, up to 63 of them")
    if not isinstance(section, dict):
        raise _unreadable(path, f"{where} is not a section")
    unknown = sorted(set(section) - _KEYS)
    if unknown:
        names = ", ".join(sorted(_KEYS))
        raise _unreadable(path, f"{where} has {unknown[0]!r}, and takes {names}")
    command, user = section.get("command"), section.get("user", USER)
    if not isinstance(command, list) or not command or not all(_is_word(w) for w in command):
        raise _unreadable(path, f'{where} needs a command, as command = ["/usr/local/bin/check"]')
    if not command[0].startswith("/") or os.path.normpath(command[0]) != command[0]:
        raise _unreadable(path, f"{where}: {command[0]!r} is no plain absolute path")
    if not isinstance(user, str) or not _USER.fullmatch(user):
        raise _unreadable(path, f"{where}: user is {user!r}, which is no name of a user")
    return Program(tuple(command), user)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and "\0" not in word


def _unreadable(path: Path, why: str) -> UserError:
    return UserError(
        f"{path} does not say what the agent may touch: {why}",
        remedy=f"correct {path} on this node, or remove it and run `standfast-agent install`",
    )
