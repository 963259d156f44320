"""One id per decision, in every line that belongs to it."""

import asyncio
import json
import logging

import pytest
import structlog

from standfast.controller import logs


async def test_an_errand_logs_under_the_decision_that_started_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    level = root.level
    logs.configure("info", "json")
    may_go = asyncio.Event()

    async def errand() -> None:
        await may_go.wait()
        logs.logger(errand="fence").info("Errand done")

    try:
        with logs.decision() as first:
            logs.logger().info("Decided")
            task = asyncio.create_task(errand())
        with logs.decision() as second:
            may_go.set()
            await task
            logs.logger().info("Decided")
        logs.logger().info("Outside")
    finally:
        root.setLevel(level)
        structlog.reset_defaults()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("decision") for line in lines] == [first, first, second, None]
    assert first != second
