"""Frames on a link between two members: messages, pings, and what they tell each other aside.

A link is a mutual-TLS connection whose client begins with `PREFACE` instead of an HTTP request, so
that links and API share one port. Then both sides send frames: length (4 bytes), kind (1 byte),
number (8 bytes), payload; big-endian. The first frame of each side is `RUN` with the name of its
run. The same message goes over every path at once with the same number, so that the receiver
passes on the first copy only; numbers grow within one run of the sender. Pings carry padding that
does not fit one packet, so that a path on which only small packets pass is seen to be down (F37).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

PREFACE: Final = b"STANDFAST-LINK/1\r\n"
"""What a client says first. A version that cannot be spoken is turned away here."""

RUN: Final = 0
MESSAGE: Final = 1
PING: Final = 2
PONG: Final = 3
FACTS: Final = 4

PING_BYTES: Final = 1600
"""More than an Ethernet packet holds."""

FRAME_BYTES_MAX: Final = 64 * 1024 + 64
_HEAD = struct.Struct(">IBQ")
_BODY_HEAD_BYTES = _HEAD.size - 4
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
        invitations: By resource, what a driver needs to follow this node; for data nodes only.
        positions: By resource, how far its data reached when the record's position was proposed;
            where there are several. Who did not hear it does not know, and says no position.
    """

    eligible: bool = False
    invitations: dict[str, bytes] = {}
    positions: dict[str, int] = {}


def frame(kind: int, number: int = 0, payload: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return _HEAD.pack(_BODY_HEAD_BYTES + len(payload), kind, number) + payload


def ping(number: int) -> bytes:
    return frame(PING, number, _PADDING)


def facts(told: Facts) -> bytes:
    return frame(FACTS, 0, msgspec.msgpack.encode(told))


def read_facts(payload: bytes) -> Facts | None:
    try:
        return msgspec.msgpack.decode(payload, type=Facts)
    except (msgspec.DecodeError, ValueError):
        return None


class MalformedError(Exception):
    """The other side does not send frames: the link is closed, nothing else."""


class Splitter:
    """Takes bytes as they come, gives frames as they are complete."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes; yields what is complete.

        Raises:
            MalformedError: A length that no frame of ours has.
        """
        self._waiting += data
        at = 0
        while len(self._waiting) - at >= _HEAD.size:
            length, kind, number = _HEAD.unpack_from(self._waiting, at)
            if not _BODY_HEAD_BYTES <= length <= FRAME_BYTES_MAX:
                raise MalformedError(f"a frame of {length} bytes")
            end = at + 4 + length
            if end > len(self._waiting):
                break
            yield Frame(kind, number, bytes(self._waiting[at + _HEAD.size : end]))
            at = end
        del self._waiting[:at]


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
