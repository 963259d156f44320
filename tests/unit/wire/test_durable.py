"""What the journal keeps is read back whole, or refused with what to do."""

import pytest
from hypothesis import given, settings

from standfast.core.record import Config
from standfast.core.state import Durable
from standfast.errors import UserError
from standfast.wire import durable
from tests.unit.wire.worlds import configs, durables


@settings(max_examples=100, deadline=None)
@given(durables)
def test_state_comes_back_as_it_went(state: Durable) -> None:
    assert durable.decode(durable.encode(state)) == state


@settings(max_examples=50, deadline=None)
@given(configs)
def test_a_config_comes_back_with_the_same_digest(config: Config) -> None:
    again = durable.decode_config(durable.encode_config(config))
    assert again == config
    assert again.digest == config.digest


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "version 0"),
        (b"\x09\x80", "version 9, and this program reads 1"),
        (b"\x01\x80", "does not read"),
        (b"\x01\xc1", "does not read"),
    ],
)
def test_other_bytes_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        durable.decode(data)
    assert refused.value.remedy


def test_a_config_that_does_not_read_is_refused() -> None:
    with pytest.raises(UserError, match="the config does not read"):
        durable.decode_config(b'{"cluster": 1}')
