"""A lane of the tests is closed: nothing of it is seen elsewhere, and nothing of it stays."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import pytest

from standfast.lab.cgroups import Cgroup, lab_cgroup
from tests.integration.lab_parts import eventually

pytestmark = pytest.mark.root

LANES = Path(__file__).resolve().parents[1] / "lanes"
BUSY = """
import os, subprocess, sys
from standfast.lab.cgroups import lab_cgroup
lab_cgroup("left").create()
subprocess.run(["ip", "netns", "add", "left"], check=True)
orphan = subprocess.Popen(["sleep", "1000"], start_new_session=True)
(lab_cgroup("left").path / "cgroup.procs").write_text(str(orphan.pid))
print(os.environ["TMPDIR"], flush=True)
sys.stdin.read()
"""


def begun() -> tuple[subprocess.Popen[str], Cgroup, Path]:
    """A lane with a process, a group and a namespace in it, its group, and its directory."""
    lane = subprocess.Popen(
        [LANES / "lane", "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert lane.stdout is not None
    directory = Path(lane.stdout.readline().strip())
    assert directory.is_dir()
    group = Cgroup(lab_cgroup("any").path.parents[1] / f"standfast-lane.{lane.pid}")
    assert len(group.pids()) > 1
    assert not Path("/run/netns/left").exists()
    return lane, group, directory


def test_what_a_lane_leaves_ends_with_it() -> None:
    lane, group, directory = begun()
    lane.communicate(timeout=20)
    assert lane.returncode == 0
    assert not group.exists
    assert not directory.exists()


async def test_a_lane_that_is_killed_takes_all_of_it_along() -> None:
    lane, group, directory = begun()

    async def is_empty() -> bool:
        return not group.populated

    os.kill(lane.pid, signal.SIGKILL)
    await eventually(is_empty)
    lane.communicate(timeout=20)
    await asyncio.to_thread(subprocess.run, [LANES / "sweep"], check=True)
    assert not group.exists
    assert not directory.exists()


def test_a_lane_ends_with_the_status_of_its_program() -> None:
    ended = subprocess.run([LANES / "lane", "-c", "raise SystemExit(3)"], check=False)
    assert ended.returncode == 3
