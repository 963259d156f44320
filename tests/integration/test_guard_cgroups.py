"""The guard's kill on each layout of control groups that systemd makes, in the kernel's own trees.

A layout is mounted somewhere in a directory of the test: version 2 alone, version 2 beside version
1 (hybrid), version 1 alone. What is killed forks all the time and never twice from one process, so
that whoever kills by number comes too late again and again.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from standfast.guard.cgroups import Cgroups

pytestmark = pytest.mark.root

HOPS = """
import os, sys, time
end = time.monotonic() + 10
for tree in sys.argv[1:]:
    with open(tree + "/cgroup.procs", "w") as file:
        file.write(str(os.getpid()))
os.setsid()
for _ in range(6):
    if os.fork() == 0:
        while os.fork() == 0 and time.monotonic() < end:
            pass
        os._exit(0)
"""
"""Six chains of processes: each makes the next and ends; those that escape end after a while."""
KILLED_S = 2.0


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[Path]:
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", *options, "chaos", str(place)], check=False, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"this kernel has no such tree: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


V2 = ("-t", "cgroup2")
V1 = ("-t", "cgroup", "-o", f"none,name=guard-{os.getpid()}")
LAYOUTS: dict[str, dict[str, tuple[str, ...]]] = {
    "version 2": {"": V2},
    "hybrid": {"unified": V2, "systemd": V1},
    "version 1": {"systemd": V1},
}
"""Where which tree is mounted, best first. In the hybrid one systemd puts a unit into both."""


@contextmanager
def unit_in(trees: list[Path], group: str) -> Iterator[None]:
    """A unit that hops, in each of the trees."""
    groups = [tree / group.lstrip("/") for tree in trees]
    for each in groups:
        each.mkdir(parents=True)
    subprocess.run([sys.executable, "-c", HOPS, *map(str, groups)], check=True)
    try:
        yield
    finally:
        for each in groups:
            for directory in (each, each.parent):
                with suppress(OSError):
                    directory.rmdir()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_f10_nothing_escapes_a_kill_by_forking(layout: str, tmp_path: Path) -> None:
    top, group = tmp_path / "cgroup", f"/guard-{os.getpid()}.slice/web.service"
    own = tmp_path / "own"
    own.write_text("0::/system.slice/standfast-guard.service\n")
    with ExitStack() as stack:
        trees = [
            stack.enter_context(mounted(top / place, *options))
            for place, options in LAYOUTS[layout].items()
        ]
        found = Cgroups((top, top / "unified", top / "systemd"), own)
        assert found.root == trees[0]
        stack.enter_context(unit_in(trees, group))
        began_s = time.monotonic()
        assert found.is_populated(group)
        rounds = 0
        while found.is_populated(group):
            assert found.kill(group) == ""
            rounds += 1
            assert time.monotonic() < began_s + KILLED_S, f"{layout}: alive after {rounds} kills"
        took_ms = (time.monotonic() - began_s) * 1000
        print(f"\n  {layout}: dead after {took_ms:.1f} ms, {rounds} kills", end="")
        for tree in trees:
            assert not Cgroups((tree,), own).is_populated(group)
