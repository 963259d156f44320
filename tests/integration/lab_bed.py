"""A lab of VMs alone, without control side and agent, for the tests of its hardware."""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standfast.lab import installation, state
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.paths import LabPaths


def name_of(part: str) -> str:
    """A lab's name that no other run of the tests has: it ends with the number of this process."""
    return f"{part}{os.getpid()}"


@contextmanager
def bare_lab(part: str, vms: int = 2, networks: int = 2) -> Iterator[Lab]:
    """A lab with a name of its own, gone when the block ends."""
    remove_orphans(part)
    wanted = Wanted(vms, networks, kubernetes=False, vcenter=False, agent=False)
    lab = Lab.up(name_of(part), wanted)
    try:
        yield lab
    finally:
        lab.down()


def remove_orphans(part: str) -> None:
    """Removes the labs of that part whose test run was killed before it could."""
    base = LabPaths.named(part).root.parent
    for name in state.names(base):
        number = re.fullmatch(rf"{part}(\d+)", name)
        if number and not Path(f"/proc/{number[1]}").exists():
            asyncio.run(installation.down(LabPaths.named(name)))
