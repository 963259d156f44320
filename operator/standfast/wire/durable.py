"""A member's durable state as bytes for its journal: one version byte, then msgpack by field name.

A newer program reads what an older one wrote: fields are only added, with defaults. Another
version byte is refused with a sentence, because a vote that is misread is a vote given twice.
"""

from typing import TypeVar

import msgspec

from standfast.core.ids import BootId, ClusterUid, MemberUid
from standfast.core.messages import Consent
from standfast.core.record import Config, Record
from standfast.core.state import Durable
from standfast.errors import UserError

VERSION = 1

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Durable)
T = TypeVar("T")


def encode(durable: Durable) -> bytes:
    return bytes((VERSION,)) + _encoder.encode(durable)


def decode(data: bytes) -> Durable:
    """Read the state back.

    Raises:
        UserError: Written by another version, or damaged in spite of its checksum.
    """
    version = data[0] if data else 0
    if version != VERSION:
        raise UserError(
            f"the journal holds state of version {version}, and this program reads {VERSION}",
            remedy="install the version of standfast that wrote it, or a newer one",
        )
    try:
        return _decoder.decode(data[1:])
    except msgspec.DecodeError as error:
        raise UserError(
            f"the journal holds state that does not read: {error}",
            remedy="move the state directory away and enrol this member anew",
        ) from error


def encode_config(config: Config) -> bytes:
    """A config as the payload of `wire.api.Signed`: JSON by field name."""
    return msgspec.json.encode(config)


def decode_config(payload: bytes) -> Config:
    """Read a signed config; raises UserError as `_read`."""
    return _read(payload, Config, "config")


def encode_record(record: Record) -> bytes:
    """A record as the payload of `wire.api.Signed`, for a member that joins."""
    return msgspec.json.encode(record)


def decode_record(payload: bytes) -> Record:
    """Read a record; raises UserError as `_read`."""
    return _read(payload, Record, "record")


class SignedConsent(msgspec.Struct, frozen=True, kw_only=True):
    """A person's consent as it is signed.

    Attributes:
        challenge: The candidate's own, answered once.
        consent: What the candidate shows its voters.
        lifetime_ms: On the candidate's clock, from the challenge.
        loses: What the person was shown, in words, for the record.
    """

    cluster: ClusterUid
    challenge: str
    consent: Consent
    lifetime_ms: int
    loses: str = ""


class Attestation(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word that a boot of a member runs nothing any more."""

    cluster: ClusterUid
    member: MemberUid
    boot: BootId
    approver: str
    at: str
    reason: str = ""


def encode_consent(consent: SignedConsent) -> bytes:
    return msgspec.json.encode(consent)


def decode_consent(payload: bytes) -> SignedConsent:
    """Read a signed consent; raises UserError as `_read`."""
    return _read(payload, SignedConsent, "consent")


def encode_attestation(attestation: Attestation) -> bytes:
    return msgspec.json.encode(attestation)


def decode_attestation(payload: bytes) -> Attestation:
    """Read a signed attestation; raises UserError as `_read`."""
    return _read(payload, Attestation, "attestation")


def _read(payload: bytes, kind: type[T], what: str) -> T:
    """Read a signed payload.

    Raises:
        UserError: It does not read as what it should be.
    """
    try:
        return msgspec.json.decode(payload, type=kind)
    except msgspec.DecodeError as error:
        raise UserError(
            f"the {what} does not read: {error}",
            remedy="let operator and agent be of versions that belong together",
        ) from error
