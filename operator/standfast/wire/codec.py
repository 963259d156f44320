"""Messages between members as bytes: one version byte, one kind byte, then msgpack.

The header is an array whose later versions may only append; bodies are maps by field name, so a
member one version ahead may add fields with defaults. What cannot be read is a `Refused` with a
sentence, as a value: a link logs it and goes on, whatever the other side sent.

Layout: version (1 byte), kind of the body (1 byte), msgpack array of the header with the body in
it. Enumerations travel as their words, identifiers as strings.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId
from standfast.core.messages import (
    Ack,
    Body,
    Envelope,
    Fenced,
    Grant,
    Hello,
    Refuse,
    Release,
    Renew,
    VoteRequest,
)

VERSION = 1
"""Of this layout. A reader takes its own version only: members speak the lowest common one."""

MESSAGE_BYTES_MAX = 64 * 1024
"""Far above any record of a sensible cluster; a larger message is refused unread."""

KINDS: dict[type[Body], int] = {
    Hello: 1,
    VoteRequest: 2,
    Grant: 3,
    Refuse: 4,
    Renew: 5,
    Ack: 6,
    Release: 7,
    Fenced: 8,
}
"""Numbers of the bodies on the wire: never changed, never reused."""

B = TypeVar("B")


class _Header(msgspec.Struct, Generic[B], array_like=True, frozen=True):
    """The envelope, field by field; append only."""

    cluster: ClusterUid
    incarnation: int
    sender: MemberUid
    to: MemberUid
    boot: BootId
    run: RunId
    generation: int
    body: B
    seen_generation: int = 0
    seen_run: RunId | None = None
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Bytes that are not a message of ours, and why."""

    problem: str


_encoder = msgspec.msgpack.Encoder()
_decoders: dict[int, msgspec.msgpack.Decoder[_Header[Body]]] = {
    number: msgspec.msgpack.Decoder(_Header[kind])  # type: ignore[valid-type]  # made per body
    for kind, number in KINDS.items()
}


def encode(envelope: Envelope) -> bytes:
    """The bytes of one message."""
    head = _Header(
        cluster=envelope.cluster,
        incarnation=envelope.incarnation,
        sender=envelope.sender,
        to=envelope.to,
        boot=envelope.boot,
        run=envelope.run,
        generation=envelope.generation,
        body=envelope.body,
        seen_generation=envelope.seen_generation,
        seen_run=envelope.seen_run,
        clean=envelope.clean,
    )
    return bytes((VERSION, KINDS[type(envelope.body)])) + _encoder.encode(head)


def decode(data: bytes) -> Envelope | Refused:
    """Read one message; never raises for what the bytes contain."""
    if len(data) > MESSAGE_BYTES_MAX:
        return Refused(f"a message of {len(data)} bytes, and the limit is {MESSAGE_BYTES_MAX}")
    if len(data) < 3:
        return Refused(f"a message of {len(data)} bytes, too short for a header")
    if data[0] != VERSION:
        return Refused(f"message version {data[0]}, and this program speaks {VERSION}")
    decoder = _decoders.get(data[1])
    if decoder is None:
        return Refused(f"message kind {data[1]}, and this program knows 1 to {max(_decoders)}")
    try:
        head = decoder.decode(data[2:])
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return Refused(f"message kind {data[1]} does not read: {error}")
    return Envelope(
        cluster=head.cluster,
        incarnation=head.incarnation,
        sender=head.sender,
        to=head.to,
        boot=head.boot,
        run=head.run,
        generation=head.generation,
        body=head.body,
        seen_generation=head.seen_generation,
        seen_run=head.seen_run,
        clean=head.clean,
    )
