"""Block devices: found by a name that stays, asked whether anybody has them, set read-only.

A mounted file system claims its device exclusively for as long as it lives, also when it was
detached from every mount point (`umount -l`): opening with `O_EXCL` then fails. That is the last
word on whether a file system is gone.

Source: open(2) (`O_EXCL` on block devices), linux/fs.h (BLKROSET, BLKROGET).
"""

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from standfast.errors import TransientError

BLKROSET, BLKROGET = 0x125D, 0x125E
SYS = Path("/sys/dev/block")
DEV = Path("/dev")
_GONE = {errno.ENXIO, errno.ENODEV, errno.ENOENT, errno.ENOMEDIUM}


def number(path: Path) -> str | None:
    """Number of the block device at that path, `8:16`; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    if not stat.S_ISBLK(found.st_mode):
        return None
    return f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"


def disks_under(path: Path) -> frozenset[str]:
    """Numbers of the whole disks that a partition or a volume is made of; a disk is its own."""
    mine = number(path)
    return frozenset() if mine is None else _under((SYS / mine).resolve())


def _under(directory: Path) -> frozenset[str]:
    below = list((directory / "slaves").glob("*"))
    if below:
        return frozenset().union(*(_under(each.resolve()) for each in below))
    if (directory / "partition").exists():
        return _under(directory.parent)
    return frozenset({(directory / "dev").read_text().strip()})


def is_claimed(path: Path) -> bool:
    """Whether somebody has it for himself: a file system, a check, a volume on top of it.

    Raises:
        TransientError: It cannot be asked.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            return True
        if error.errno in _GONE:
            return False
        raise TransientError(f"{path} cannot be opened: {error.strerror}") from error
    os.close(descriptor)
    return False


def is_read_only(path: Path) -> bool:
    """Whether the kernel takes no writes for it. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        answer = fcntl.ioctl(descriptor, BLKROGET, struct.pack("i", 0))
    finally:
        os.close(descriptor)
    return bool(struct.unpack("i", answer)[0])


def set_read_only(path: Path, *, read_only: bool) -> None:
    """Let the kernel refuse writes to it from now on, or take them. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, BLKROSET, struct.pack("i", int(read_only)))
    finally:
        os.close(descriptor)


def partitions(path: Path) -> tuple[Path, ...]:
    """The device nodes of its partitions."""
    mine = number(path)
    if mine is None:
        return ()
    directory = SYS / mine
    names = sorted(entry.parent.name for entry in directory.glob("*/partition"))
    return tuple(DEV / name for name in names)
