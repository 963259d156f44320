"""The files of a pod's volumes on this machine's disk.

Files that come from the API are replaced all at once, in the way of the kubelet: names are links
through `..data`, and one rename of that link publishes a new generation, so a reader never sees
files of two.
"""

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class File:
    """One file of a volume.

    Args:
        contents: What is in it.
        mode: Its permissions.
        of_user: It belongs to the pod's user and not to root: tokens do.
    """

    contents: bytes
    mode: int
    of_user: bool = False


@dataclass(frozen=True, slots=True)
class Owner:
    """Who may read what a volume holds: the pod's user and its `fsGroup`, where it has them."""

    uid: int | None
    group: int | None


def publish(directory: Path, files: Mapping[str, File], owner: Owner) -> None:
    """Makes a directory hold exactly these files, by one rename; unchanged ones are left alone."""
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / "..data"
    if current.exists() and _same(current, files):
        return
    generation = directory / f"..{time.time_ns()}"
    generation.mkdir()
    for name, file in files.items():
        path = generation / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.contents)
        mode = file.mode if owner.group is None else file.mode | 0o040
        path.chmod(mode)
        os.chown(
            path,
            owner.uid if file.of_user and owner.uid is not None else 0,
            owner.group if owner.group is not None else 0,
        )
    before = current.resolve() if current.is_symlink() else None
    fresh = directory / "..data.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(generation.name)
    fresh.replace(current)
    visible = {PurePosixPath(name).parts[0] for name in files}
    for name in visible:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    for entry in directory.iterdir():
        if not entry.name.startswith("..") and entry.name not in visible:
            entry.unlink()
    if before is not None:
        shutil.rmtree(before)


def _same(current: Path, files: Mapping[str, File]) -> bool:
    held = {
        str(path.relative_to(current)): path.read_bytes()
        for path in current.rglob("*")
        if path.is_file()
    }
    return held == {name: file.contents for name, file in files.items()}


def empty_directory(path: Path, owner: Owner) -> Path:
    """A directory that anybody may write to; what is in it is kept."""
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(0o777)
    return grant(path, owner)


def grant(path: Path, owner: Owner) -> Path:
    """Gives a directory to the pod's group, as `fsGroup` asks; without one it stays root's."""
    if owner.group is not None and path.stat().st_gid != owner.group:
        os.chown(path, -1, owner.group)
        path.chmod(0o2775)
    return path
