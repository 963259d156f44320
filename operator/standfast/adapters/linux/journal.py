"""The journal on disk: two slots in one file, written in turn, each with its own checksum.

A value is written over the *older* slot and flushed; the newer one is not touched, so a write that
is torn at any byte leaves the previous value readable. The file is filled with real zeros when it
is made and never grows in normal use: a full disk does not stop it (F54, F94). On file systems
that copy on write (btrfs, ZFS) overwriting needs free space as well; there a full disk is a
`TransientError` and the old value stays.

A slot that is damaged later looks like a write that was cut off, and the older value is used. That
is time going backwards, and it is the protocol that finds it: peers have seen a higher
`generation`. Two damaged slots are refused.

Slot: magic (8), version (2), spare (2), length of the value (4), generation (8), BLAKE2b-128 of
these and the value (16), value. Little-endian.
"""

import fcntl
import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from standfast.errors import TransientError, UserError

MAGIC = b"STNDFAST"
VERSION = 1
PAGE_BYTES = 4096
_HEAD = struct.Struct("<8sHHIQ")
_DIGEST_BYTES = 16
_HEADER_BYTES = _HEAD.size + _DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class _Slot:
    """What one slot holds: `value` is None when it is empty or damaged (`damage` says how)."""

    generation: int
    value: bytes | None
    damage: str = ""
    foreign_version: int = 0


def _sealed(generation: int, value: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, VERSION, 0, len(value), generation)
    return head + hashlib.blake2b(head + value, digest_size=_DIGEST_BYTES).digest() + value


def _read_slot(raw: bytes) -> _Slot:
    if not any(raw[:_HEADER_BYTES]):
        return _Slot(0, None)
    magic, version, _, length, generation = _HEAD.unpack_from(raw)
    if magic != MAGIC or version == 0:
        return _Slot(0, None, damage="the header is torn")
    if version != VERSION:
        return _Slot(0, None, foreign_version=version)
    value = raw[_HEADER_BYTES : _HEADER_BYTES + length]
    if len(value) == length and _sealed(generation, value) == raw[: _HEADER_BYTES + length]:
        return _Slot(generation, value)
    return _Slot(0, None, damage="the checksum does not match")


class SlotJournal:
    """The `Journal` port over one file. Synchronous: `store` returns after the flush."""

    def __init__(self, path: Path, descriptor: int, lock: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._lock = lock
        self._is_named = True
        self._slot_bytes = os.fstat(descriptor).st_size // 2
        self._newest, self._position = self._choose()

    @classmethod
    def open(cls, path: Path, capacity_bytes: int = 256 * 1024) -> Self:
        """Open the journal, making it when it is not there.

        Args:
            path: The file; its directory is made if need be. `path.lock` appears beside it.
            capacity_bytes: Largest value expected. A larger one is stored all the same, but needs
                free disk space that once.

        Raises:
            UserError: In use by another process, unreadable, damaged or of another version.
        """
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UserError(
                f"the journal {path} cannot be made: {error.strerror}",
                remedy=f"make {path.parent} writable for the agent and free some disk space",
            ) from error
        try:
            _take_lock(path, lock)
            if not path.exists():
                _preallocate(path, capacity_bytes)
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            os.close(lock)
            raise UserError(
                f"the journal {path} cannot be opened: {error.strerror}",
                remedy=f"make {path.parent} writable for the agent and free some disk space",
            ) from error
        except UserError:
            os.close(lock)
            raise
        try:
            return cls(path, descriptor, lock)
        except UserError:
            os.close(descriptor)
            os.close(lock)
            raise

    @property
    def generation(self) -> int:
        return self._newest.generation

    def load(self) -> bytes | None:
        return self._newest.value

    def store(self, value: bytes) -> None:
        generation = self._newest.generation + 1
        sealed = _sealed(generation, value)
        try:
            if len(sealed) > self._slot_bytes:
                self._grow(len(sealed))
            if not self._is_named:
                _flush_names(self._path)
                self._is_named = True
            position = 1 - self._position
            _write_all(self._descriptor, sealed, position * self._slot_bytes)
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise TransientError(
                f"the journal {self._path} did not take {len(value)} bytes: {error.strerror}; "
                f"generation {self._newest.generation} stays in force",
                remedy=f"check the disk under {self._path.parent} (dmesg, df, mount)",
            ) from error
        self._newest, self._position = _Slot(generation, value), position

    def close(self) -> None:
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1

    def _choose(self) -> tuple[_Slot, int]:
        """The newest sound slot and its position; position 0 before the first write."""
        if self._slot_bytes < PAGE_BYTES:
            raise self._damaged(f"it has {2 * self._slot_bytes} bytes, less than two slots")
        slots = [
            _read_slot(os.pread(self._descriptor, self._slot_bytes, at * self._slot_bytes))
            for at in (0, 1)
        ]
        for slot in slots:
            if slot.foreign_version:
                raise UserError(
                    f"the journal {self._path} was written by version {slot.foreign_version} of "
                    f"its format, and this program reads version {VERSION}",
                    remedy="install the version of standfast that wrote it, or a newer one",
                )
        first, second = slots
        sound = [at for at in (0, 1) if slots[at].value is not None]
        if sound:
            newest = max(sound, key=lambda at: slots[at].generation)
            return slots[newest], newest
        if first.damage:  # the very first write goes to the second slot
            raise self._damaged(f"slot 0: {first.damage}; slot 1: {second.damage or 'empty'}")
        return _Slot(0, None), 0

    def _damaged(self, how: str) -> UserError:
        return UserError(
            f"the journal {self._path} is damaged ({how}), and a member that forgot its votes "
            f"must not vote under its old name",
            remedy=f"move {self._path} away and enrol this node anew (kubectl standfast enroll)",
        )

    def _grow(self, sealed_bytes: int) -> None:
        """Move to a larger file that holds the newest value; the name changes over at once.

        Whatever fails after that: what is written from then on goes to the file that bears the
        name, and nothing counts as written before the change of names is on disk.
        """
        fresh = _aside(self._path, 2 * sealed_bytes, newest=self._newest)
        try:
            _part(self._path).replace(self._path)
        except OSError:
            os.close(fresh)
            raise
        self._is_named = False
        os.close(self._descriptor)
        self._descriptor = fresh
        self._slot_bytes = os.fstat(fresh).st_size // 2
        self._position = 0 if self._newest.value is None else 1


def _take_lock(path: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(
            f"the journal {path} is in use by another process, and two must not vote as one",
            remedy=f"stop the other one (fuser -v {path}.lock)",
        ) from error


def _preallocate(path: Path, capacity_bytes: int) -> None:
    """Make a whole journal file of zeros aside, then put it in place at once."""
    os.close(_aside(path, capacity_bytes))
    _part(path).replace(path)
    _flush_names(path)


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _aside(path: Path, capacity_bytes: int, newest: _Slot = _Slot(0, None)) -> int:
    """Write a file of zeros (and `newest`) that has another name yet; its descriptor."""
    slot_bytes = -(-(capacity_bytes + _HEADER_BYTES) // PAGE_BYTES) * PAGE_BYTES
    descriptor = os.open(_part(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        _write_all(descriptor, bytes(2 * slot_bytes), 0)
        if newest.value is not None:
            _write_all(descriptor, _sealed(newest.generation, newest.value), slot_bytes)
        os.fsync(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _flush_names(path: Path) -> None:
    """Bring a change of names in the directory to disk."""
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
