"""Messages survive the wire whole, and nothing that arrives breaks a reader."""

from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from standfast.core.messages import Body, Envelope
from standfast.wire import codec
from standfast.wire.codec import Refused
from tests.unit.wire.worlds import envelopes


def test_every_body_has_a_number_of_its_own() -> None:
    assert set(codec.KINDS) == set(get_args(Body))
    assert len(set(codec.KINDS.values())) == len(codec.KINDS)


@settings(max_examples=200, deadline=None)
@given(envelopes)
def test_a_message_comes_back_as_it_went(envelope: Envelope) -> None:
    assert codec.decode(codec.encode(envelope)) == envelope


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused_with_a_sentence(data: bytes) -> None:
    answer = codec.decode(data)
    assert isinstance(answer, Refused)
    assert answer.problem


@settings(max_examples=200, deadline=None)
@given(envelopes, st.data())
def test_a_damaged_message_never_raises(envelope: Envelope, data: st.DataObject) -> None:
    sound = bytearray(codec.encode(envelope))
    at = data.draw(st.integers(0, len(sound) - 1))
    sound[at] ^= data.draw(st.integers(1, 255))
    assert isinstance(codec.decode(bytes(sound)), Envelope | Refused)


def test_another_version_is_named() -> None:
    assert codec.decode(b"\x07\x01\x90") == Refused("message version 7, and this program speaks 1")


def test_an_unknown_kind_is_named() -> None:
    refused = codec.decode(bytes((codec.VERSION, 200)) + b"\x90")
    assert refused == Refused("message kind 200, and this program knows 1 to 8")


def test_a_huge_message_is_refused_unread() -> None:
    refused = codec.decode(bytes((codec.VERSION, 1)) + bytes(codec.MESSAGE_BYTES_MAX))
    assert isinstance(refused, Refused)
    assert "the limit is 65536" in refused.problem


def test_deep_nesting_is_refused() -> None:
    refused = codec.decode(bytes((codec.VERSION, 1)) + b"\x91" * 60_000)
    assert isinstance(refused, Refused)
