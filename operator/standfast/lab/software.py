"""The agent as a user gets it: this checkout's wheel with its `agent` extra, in /opt/standfast.

Called by the lab when it comes up. What is made is kept below /var/cache/standfast-lab, by a
digest of the sources and of the locked dependencies: an unchanged checkout costs a few
milliseconds. The environment belongs to Debian's own interpreter, which every VM has.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import standfast
from standfast.errors import UserError
from standfast.lab.commands import run

CACHE = Path("/var/cache/standfast-lab")
INTERPRETER = Path("/usr/bin/python3")
KEPT = 4

INSTALL = """
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/opt,upperdir=$MADE/opt,workdir=$MADE/work" /opt
"$UV" venv --quiet --python "$INTERPRETER" /opt/standfast
"$UV" pip install --quiet --python /opt/standfast/bin/python --compile-bytecode \\
    --requirements "$MADE/requirements.txt" "$WHEEL"
"""
"""Scripts name their final path, so it is made there: in a mount namespace of its own."""


def checkout() -> Path:
    """The directory of the sources that run now.

    Raises:
        UserError: They are an installed package.
    """
    root = Path(standfast.__file__).resolve().parents[2]
    if not (root / "pyproject.toml").exists():
        raise UserError(
            f"the lab builds the agent from a checkout, and {root} is an installed package",
            remedy="clone the repository and run `uv run standfast-lab up` in it",
        )
    return root


def digest(root: Path) -> str:
    """Names what `environment` would make of the sources in `root`."""
    found = hashlib.sha256()
    files = [root / "pyproject.toml", root / "uv.lock", *sorted((root / "operator").rglob("*"))]
    for file in files:
        if file.is_file() and "__pycache__" not in file.parts:
            found.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    found.update(str(INTERPRETER.resolve()).encode())
    return found.hexdigest()[:16]


def environment() -> Path:
    """Makes the environment of these sources, if it is not there yet.

    Returns:
        A directory with `standfast` in it, which is to appear as /opt/standfast.
    """
    root = checkout()
    made = CACHE / "agent" / digest(root)
    made.parent.mkdir(parents=True, exist_ok=True)
    with _locked(made.parent / "lock"):
        if not (made / "complete").exists():
            shutil.rmtree(made, ignore_errors=True)
            _make(root, made)
            (made / "complete").touch()
        os.utime(made)
        _prune(made.parent)
    return made / "opt"


def _make(root: Path, made: Path) -> None:
    uv = uv_program()
    for directory in ("opt", "work", "wheel"):
        (made / directory).mkdir(parents=True)
    run(
        [uv, "build", "--quiet", "--wheel", "--out-dir", str(made / "wheel"), str(root)],
        timeout_s=300,
    )
    locked = run(
        [
            *(uv, "export", "--quiet", "--frozen", "--project", str(root), "--extra", "agent"),
            *("--no-dev", "--no-emit-project", "--no-hashes", "--no-annotate", "--no-header"),
        ]
    )
    (made / "requirements.txt").write_text(locked)
    wheel = next((made / "wheel").glob("*.whl"))
    paths = {"MADE": str(made), "UV": uv, "INTERPRETER": str(INTERPRETER), "WHEEL": str(wheel)}
    env = {**os.environ, **paths}
    run(["unshare", "--mount", "sh", "-e", "-c", INSTALL], env=env, timeout_s=600)


def uv_program() -> str:
    """The path of `uv`.

    Raises:
        UserError: It is not installed.
    """
    uv = os.environ.get("UV") or shutil.which("uv")
    if not uv:
        raise UserError("the program uv is not on this machine", remedy="pip install uv")
    return uv


def _prune(directory: Path) -> None:
    by_age = sorted(
        (path for path in directory.iterdir() if path.is_dir()), key=lambda p: p.stat().st_mtime
    )
    for old in by_age[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
