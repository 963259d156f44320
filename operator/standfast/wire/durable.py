"""A member's durable state as bytes for its journal: one version byte, then msgpack by field name.

A newer program reads what an older one wrote: fields are only added, with defaults. Another
version byte is refused with a sentence, because a vote that is misread is a vote given twice.
"""

import msgspec

from standfast.core.record import Config
from standfast.core.state import Durable
from standfast.errors import UserError

VERSION = 1

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Durable)
_configs = msgspec.json.Decoder(Config)


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
    """A config as the signed payload of `wire.api.SignedConfig`: JSON by field name."""
    return msgspec.json.encode(config)


def decode_config(payload: bytes) -> Config:
    """Read a signed payload.

    Raises:
        UserError: It does not read as a config.
    """
    try:
        return _configs.decode(payload)
    except msgspec.DecodeError as error:
        raise UserError(
            f"the config does not read: {error}",
            remedy="let operator and agent be of versions that belong together",
        ) from error
