"""Requests survive the wire; what does not read is a sentence with a number where there is one."""

import pytest

from standfast.guard import protocol
from standfast.guard.protocol import (
    AddressTarget,
    Ask,
    CgroupTarget,
    Disarm,
    Extend,
    MalformedError,
    MountTarget,
    Plan,
    Request,
    Strike,
)

TARGETS = (
    AddressTarget("10.0.0.1", 24, 3),
    AddressTarget("fd00::1", 64),
    CgroupTarget("/system.slice/web.service", "web.service"),
    MountTarget("/srv/my data"),
)


@pytest.mark.parametrize(
    "request_",
    [
        Ask(),
        Extend("a", 3, 12_345),
        Plan("a", TARGETS),
        Plan("a", ()),
        Strike("a", 3),
        Disarm("a", 0),
    ],
)
def test_a_request_survives_the_wire(request_: Request) -> None:
    assert protocol.decode(protocol.encode(7, request_)) == (7, request_)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 5000, "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"n": 1}', "do is not a text"),
        (b'{"n": 1, "do": "Dance", "lease": "a"}', "knows no request 'Dance'"),
        (b'{"n": 1, "do": "Extend", "lease": ""}', "lease is empty"),
        (b'{"n": 1, "do": "Extend", "lease": "a", "term": true}', "term is True"),
        (b'{"n": 1, "do": "Extend", "lease": "a", "term": 1, "untilMs": -1}', "untilMs is -1"),
        (b'{"n": 1, "do": "Extend", "lease": "a", "term": 1, "untilMs": 1.5}', "untilMs is 1.5"),
        (b'{"n": 1, "do": "Plan", "lease": "a"}', "targets is not a list"),
        (b'{"n": 1, "do": "Plan", "lease": "a", "targets": [1]}', "target is not an object"),
        (b'{"n": 1, "do": "Plan", "lease": "a", "targets": [{"x": 1}]}', "one of address"),
        (b'{"n": 1, "do": "Plan", "lease": "a", "targets": [{"mount": "a\\nb"}]}', "printable"),
    ],
)
def test_what_does_not_read_is_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(MalformedError, match=sentence):
        protocol.decode(data)


def test_the_number_of_a_bad_request_is_found_where_there_is_one() -> None:
    assert protocol.number_of(b'{"n": 9, "do": "Dance"}') == 9
    assert protocol.number_of(b"nonsense") == 0


def test_a_plan_has_an_end() -> None:
    many = Plan("a", (MountTarget("/x"),) * (protocol.TARGETS_MAX + 1))
    with pytest.raises(MalformedError, match="65 targets in one plan, and 64 is the most"):
        protocol.decode(protocol.encode(1, many))


def test_the_longest_plan_fits_into_one_message() -> None:
    longest = "/" + "x" * (protocol.TEXT_MAX - 1)
    plan = Plan("a" * 36, (CgroupTarget(longest, "u" * 255),) * protocol.TARGETS_MAX)
    data = protocol.encode(1, plan)
    assert len(data) < protocol.BYTES_MAX
    assert protocol.decode(data)[1] == plan


def test_unknown_fields_are_ignored() -> None:
    data = b'{"v": 2, "n": 1, "do": "Strike", "lease": "a", "term": 4, "why": "later versions"}'
    assert protocol.decode(data) == (1, Strike("a", 4))
