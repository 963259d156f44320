"""The agent's loop, made as the service makes it: in a process of its own, as it changes that."""

import subprocess
import sys

PROGRAM = """
import asyncio
import threading

from standfast.agent.service import new_loop


async def once():
    done = await asyncio.create_subprocess_exec("sh", "-c", "exit 7")
    return await done.wait(), threading.active_count()


print(*new_loop().run_until_complete(once()))
"""


def test_the_loop_of_the_agent_starts_programs_and_waits_for_them_without_a_thread() -> None:
    """PostgreSQL, DRBD and disks are driven by programs: none, and the service never starts."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["7", "1"], done.stderr
