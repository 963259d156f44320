"""Fetches and builds what the lab needs, where there still is a network: in no lane is one.

`python -m tests.lanes.fill`. All of it is kept from run to run, outside the checkout; the agent's
environment is made anew when its sources changed.
"""

import asyncio
import sys

from standfast.lab import software, tools
from tests.integration import kstatus_parts


def tell(what: str, elapsed_s: float) -> None:
    """A line at the beginning and each half minute: a build takes minutes."""
    if round(elapsed_s) % 30 == 0:
        sys.stdout.write(f"{what}: {elapsed_s:.0f} s\n")
        sys.stdout.flush()


async def main() -> None:
    await tools.provide(tell)
    await kstatus_parts.judge()
    software.environment()


if __name__ == "__main__":
    asyncio.run(main())
