"""Frames on a link between two members: messages, pings, and what they tell each other aside.

One WebSocket binary message is one frame. The same message goes over every path at once with the
same number, so that the receiver passes on the first copy only. Pings carry padding that does not
fit one packet, so that a path on which only small packets pass is seen to be down (F37).

Layout: kind (1 byte), number (8 bytes, big-endian), payload. Numbers of messages grow within one
run of the sender; numbers of pings come back in the pong.
"""

import struct
from dataclasses import dataclass
from typing import Final

import msgspec

MESSAGE: Final = 1
PING: Final = 2
PONG: Final = 3
FACTS: Final = 4

PING_BYTES = 1600
"""More than an Ethernet packet holds."""

FRAME_BYTES_MAX = 64 * 1024 + 16
_HEAD = struct.Struct(">BQ")
_PADDING = bytes(PING_BYTES - _HEAD.size)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, read."""

    kind: int
    number: int
    payload: bytes


class Facts(msgspec.Struct, frozen=True, rename="camel"):
    """What a member tells the others for their convenience. Nothing safe may depend on it.

    Attributes:
        eligible: It would stand if asked; lets a failing node know whether to hand over.
    """

    eligible: bool = False


def message(number: int, payload: bytes) -> bytes:
    return _HEAD.pack(MESSAGE, number) + payload


def ping(number: int) -> bytes:
    return _HEAD.pack(PING, number) + _PADDING


def pong(number: int) -> bytes:
    return _HEAD.pack(PONG, number)


def facts(told: Facts) -> bytes:
    return _HEAD.pack(FACTS, 0) + msgspec.msgpack.encode(told)


def read(data: bytes) -> Frame | None:
    """The frame, or none for what is too short or too long; unknown kinds are the caller's."""
    if not _HEAD.size <= len(data) <= FRAME_BYTES_MAX:
        return None
    kind, number = _HEAD.unpack_from(data)
    return Frame(kind, number, data[_HEAD.size :])


def read_facts(payload: bytes) -> Facts | None:
    try:
        return msgspec.msgpack.decode(payload, type=Facts)
    except (msgspec.DecodeError, ValueError):
        return None


class Window:
    """Which numbers of one run were already seen: the newest `size` are told apart.

    What is older than the window counts as seen: it is too late to matter.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size
        self._newest = 0
        self._seen: set[int] = set()

    def first_sight(self, number: int) -> bool:
        """Whether this number is new; from now on it is not."""
        if number <= self._newest - self._size or number in self._seen:
            return False
        self._seen.add(number)
        if number > self._newest:
            self._newest = number
            if len(self._seen) > 2 * self._size:
                floor = self._newest - self._size
                self._seen = {kept for kept in self._seen if kept > floor}
        return True
