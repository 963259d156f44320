"""A lab of VMs alone, without control side and agent, for the tests of its hardware."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab


def name_of(part: str) -> str:
    """A lab's name that no other run of the tests has."""
    return f"{part}{os.getpid()}"


@contextmanager
def bare_lab(part: str, vms: int = 2, networks: int = 2) -> Iterator[Lab]:
    """A lab with a name of its own, gone when the block ends."""
    wanted = Wanted(vms, networks, kubernetes=False, vcenter=False, agent=False)
    lab = Lab.up(name_of(part), wanted)
    try:
        yield lab
    finally:
        lab.down()
