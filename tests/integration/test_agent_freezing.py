"""A file system that is held still is let go again, whoever dies."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standfast.agent import freezing
from standfast.agent.freezing import FITHAW, Freezer, choose
from tests.integration.disk_parts import attached, make_image, run

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]


waiting: list["subprocess.Popen[bytes]"] = []
"""Writers that hang in a frozen file system: nothing ends them but a thaw."""


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    point = tmp_path / "data"
    point.mkdir()
    with attached(make_image(tmp_path / "image")) as disk:
        run("mount", disk.device, point)
        try:
            yield point
        finally:
            subprocess.run(["fsfreeze", "-u", point], check=False, capture_output=True)
            while waiting:
                waiting.pop().wait()
            until_gone(point)
            # One that is ending has no command line any more, and its files a moment longer.
            run("umount", "--lazy", point)


def writes(point: Path, seconds: float) -> bool:
    """Whether a write is through within so long; one that is not goes on waiting by itself."""
    script = "import os,sys; f=os.open(sys.argv[1],os.O_CREAT|os.O_WRONLY); os.write(f,b'x')"
    process = subprocess.Popen([sys.executable, "-c", script, str(point / f"f{time.time_ns()}")])
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        waiting.append(process)
        return False
    return process.returncode == 0


def helpers(point: Path) -> list[int]:
    """The helper and its second, in the order in which they were made."""
    found = subprocess.run(
        ["pgrep", "-f", f"standfast.agent.freezing [0-9.]+ {point}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return [int(pid) for pid in found.stdout.split()]


def until_gone(point: Path) -> None:
    """Both end by themselves once they have thawed; the test's limit is theirs."""
    while helpers(point):
        time.sleep(0.01)


async def test_frozen_until_thawed(mounted: Path) -> None:
    freezer = Freezer()
    frozen = await freezer.freeze([mounted, mounted / "lost+found"], 30)
    assert frozen.paths == (str(mounted),)
    assert not frozen.problems
    assert not writes(mounted, 0.3)
    await freezer.thaw()
    assert writes(mounted, 10)
    until_gone(mounted)


async def test_it_ends_by_itself(mounted: Path) -> None:
    freezer = Freezer()
    began = time.monotonic()
    assert (await freezer.freeze([mounted], 1)).paths
    assert writes(mounted, 10)
    assert time.monotonic() - began < 5
    await freezer.thaw()


async def test_when_the_agent_dies_it_is_thawed(mounted: Path) -> None:
    script = (
        "import asyncio,sys,pathlib; from standfast.agent.freezing import Freezer\n"
        "async def main():\n"
        "    print((await Freezer().freeze([pathlib.Path(sys.argv[1])], 30)).paths, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(mounted), stdout=asyncio.subprocess.PIPE
    )
    assert agent.stdout is not None
    assert await agent.stdout.readline() == f"('{mounted}',)\n".encode()
    agent.kill()
    await agent.wait()
    assert writes(mounted, 10)


async def test_when_the_helper_is_killed_its_second_thaws(mounted: Path) -> None:
    freezer = Freezer()
    assert (await freezer.freeze([mounted], 30)).paths
    first, _ = sorted(helpers(mounted))
    os.kill(first, signal.SIGKILL)
    assert writes(mounted, 10)
    await freezer.thaw()


async def test_what_cannot_be_frozen_is_said_and_the_rest_is_frozen(
    mounted: Path, tmp_path: Path
) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    run("mount", "-t", "tmpfs", "none", memory)
    freezer = Freezer()
    try:
        frozen = await freezer.freeze([memory, mounted], 30)
        await freezer.thaw()
    finally:
        run("umount", "--lazy", memory)
    assert frozen.paths == (str(mounted),)
    assert frozen.problems == (f"{memory} is not frozen: Operation not supported",)


def test_what_the_agent_writes_to_is_never_frozen(mounted: Path) -> None:
    state = mounted / "lost+found"
    assert choose([mounted, Path("/"), mounted / "none"], [state])[0] == []
    assert FITHAW == freezing.FIFREEZE + 1
