"""What the agent's end of the guard's socket remembers; with a real guard: tests/integration."""

import asyncio

import pytest

from standfast.adapters.linux.guard_client import Answer, GuardClient
from standfast.guard.protocol import Disarm, MountTarget, Plan, Request

WEB, DB = MountTarget("/srv/web"), MountTarget("/srv/db")


async def test_a_late_answer_to_a_disarm_does_not_drop_what_the_next_term_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The lease was given back and won again while the guard was still looking."""
    client, plans, answer = GuardClient("me"), list[Plan](), asyncio.Event()

    async def ask(request: Request) -> Answer:
        if isinstance(request, Plan):
            plans.append(request)
        if isinstance(request, Disarm):
            await answer.wait()
        return {"problem": ""}

    async def is_armed() -> bool:
        return True

    monkeypatch.setattr(client, "_ask", ask)
    monkeypatch.setattr(client, "_is_armed", is_armed)
    client.extend(3, 1000)
    disarm = asyncio.create_task(client.disarm(3))
    await asyncio.sleep(0)
    client.extend(4, 2000)
    await client.plan("web", [WEB])
    answer.set()
    await disarm
    await client.plan("db", [DB])
    assert plans[-1].targets == (WEB, DB)
