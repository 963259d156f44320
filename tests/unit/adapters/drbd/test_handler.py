"""DRBD's handler asks the driver, waits for its word, and ends with it."""

import asyncio
import sys
from pathlib import Path

import pytest

from standfast.adapters.drbd import handler
from standfast.adapters.drbd.asking import Counter, Reply


async def run(*words: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-IS", handler.__file__, *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode().strip()


@pytest.mark.asyncio
async def test_the_answer_comes_when_it_is_known(tmp_path: Path) -> None:
    path, known, asked = tmp_path / "sock", asyncio.Event(), asyncio.Queue[list[str]]()

    async def answer(words: list[str]) -> Reply:
        asked.put_nowait(words)
        await known.wait()
        return 4, "go on"

    counter = Counter(path, answer)
    task = asyncio.create_task(run("fence-peer", str(path)))  # before anybody listens
    await counter.open()
    await counter.open()
    assert path.stat().st_mode & 0o777 == 0o600
    words = await asked.get()
    assert not task.done()
    known.set()
    assert await task == (4, "go on")
    assert words == ["fence-peer"]
    await counter.close()
    assert not path.exists()


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", "</dev/null >/dev/full 2>/dev/full"])
@pytest.mark.asyncio
async def test_its_status_is_the_answer_where_nothing_is_open(
    tmp_path: Path, streams: str
) -> None:
    """As the kernel runs it: without standard streams; DRBD knows its status only."""
    path = tmp_path / "sock"

    async def answer(_: list[str]) -> Reply:
        return 4, "go on"

    counter = Counter(path, answer)
    await counter.open()
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'exec "$@" {streams}', "sh"),
        *(sys.executable, "-IS", handler.__file__, "fence-peer", str(path)),
    )
    assert await process.wait() == 4
    await counter.close()


def test_without_an_agent_writes_stay_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "PATIENCE_S", 0.0)
    assert handler.main(["fence-peer", str(tmp_path / "none")]) == handler.BROKEN
