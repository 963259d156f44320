"""Frames: what is read is what was written, and a copy is recognised whatever its path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standfast.wire import frames
from standfast.wire.frames import Facts, Frame, Window


def test_a_message_keeps_its_number_and_payload() -> None:
    assert frames.read(frames.message(7, b"abc")) == Frame(frames.MESSAGE, 7, b"abc")


def test_a_ping_does_not_fit_one_packet_and_its_pong_is_small() -> None:
    assert len(frames.ping(1)) == frames.PING_BYTES > 1500
    assert frames.read(frames.pong(1)) == Frame(frames.PONG, 1, b"")


def test_facts_travel() -> None:
    frame = frames.read(frames.facts(Facts(eligible=True)))
    assert frame is not None
    assert frame.kind == frames.FACTS
    assert frames.read_facts(frame.payload) == Facts(eligible=True)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81\xa8eligible\xa3yes"])
def test_facts_that_do_not_read_are_none(payload: bytes) -> None:
    assert frames.read_facts(payload) is None


@pytest.mark.parametrize("data", [b"", b"\x01" * 8, bytes(frames.FRAME_BYTES_MAX + 1)])
def test_a_frame_of_a_wrong_size_is_none(data: bytes) -> None:
    assert frames.read(data) is None


@given(st.lists(st.integers(1, 300), max_size=400))
def test_each_number_is_new_once(numbers: list[int]) -> None:
    window = Window(size=300)
    passed = [number for number in numbers if window.first_sight(number)]
    assert len(passed) == len(set(passed))
    assert set(passed) == set(numbers)


def test_what_is_older_than_the_window_is_late() -> None:
    window = Window(size=4)
    assert all(window.first_sight(number) for number in range(1, 100))
    assert not window.first_sight(95)
    assert not window.first_sight(1)


def test_the_window_stays_small() -> None:
    window = Window(size=8)
    for number in range(10_000):
        window.first_sight(number)
    assert len(window._seen) <= 17
