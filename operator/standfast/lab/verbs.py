"""What all verbs of `standfast-lab` share: the option that names the lab, and handing over."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")


def lab_name(verb: Callable[P, R]) -> Callable[P, R]:
    """Adds `--name`."""
    return click.option(
        "--name",
        default="lab",
        show_default=True,
        envvar="STANDFAST_LAB",
        help="The lab's name.",
    )(verb)


def verbatim(command: list[str]) -> NoReturn:
    """Becomes another program: its input, output, signals and status are the user's."""
    sys.stdout.flush()
    os.execvp(command[0], command)
