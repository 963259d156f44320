"""The judge of pipelines as a program: `tests/tools/kstatus`, built once and kept."""

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

from standfast.lab import tools
from standfast.lab.tools_go import find_go
from standfast.lab.tools_lock import locked

SOURCE = Path(__file__).resolve().parents[1] / "tools/kstatus"


async def judge() -> Path:
    """Where it is."""
    sources = sorted(SOURCE.iterdir())
    digest = hashlib.sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:12]
    program = tools.cache_dir() / f"kstatus-{digest}" / "kstatus"
    async with locked(tools.cache_dir() / "lock", tools.silent):
        if not program.exists():
            go = await find_go(tools.cache_dir().parent, tools.silent)
            await asyncio.to_thread(_build, go, program)
    return program


def _build(go: Path, program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    fresh = program.with_suffix(f".{os.getpid()}")
    subprocess.run([go, "build", "-o", fresh, "."], cwd=SOURCE, check=True, timeout=600)
    fresh.replace(program)
