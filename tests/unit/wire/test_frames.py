"""Frames: what is read is what was written, however cut; a copy is known whatever its path."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standfast.wire import frames
from standfast.wire.frames import Facts, Frame, MalformedError, Splitter, Window

some_frames = st.builds(
    Frame,
    kind=st.integers(0, 255),
    number=st.integers(0, 2**64 - 1),
    payload=st.binary(max_size=40),
)


@given(st.lists(some_frames, max_size=8), st.lists(st.integers(1, 30), min_size=1, max_size=60))
def test_frames_come_back_however_the_bytes_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    data = b"".join(frames.frame(one.kind, one.number, one.payload) for one in sent)
    splitter = Splitter()
    got: list[Frame] = []
    at = 0
    for cut in cuts:
        got += splitter.feed(data[at : at + cut])
        at += cut
    got += splitter.feed(data[at:])
    assert got == sent


@pytest.mark.parametrize("length", [0, 8, frames.FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_a_length_that_no_frame_has_ends_the_link(length: int) -> None:
    with pytest.raises(MalformedError, match=f"a frame of {length} bytes"):
        list(Splitter().feed(length.to_bytes(4, "big") + bytes(20)))


def test_a_ping_does_not_fit_one_packet_and_its_pong_is_small() -> None:
    """F37."""
    assert len(frames.ping(1)) == frames.PING_BYTES > 1500
    assert len(frames.frame(frames.PONG, 1)) < 20


def test_facts_travel() -> None:
    (frame,) = Splitter().feed(frames.facts(Facts(eligible=True)))
    assert frame.kind == frames.FACTS
    assert frames.read_facts(frame.payload) == Facts(eligible=True)


@pytest.mark.parametrize("payload", [b"", b"\xc1", b"\x81\xa8eligible\xa3yes"])
def test_facts_that_do_not_read_are_none(payload: bytes) -> None:
    assert frames.read_facts(payload) is None


def test_the_preface_is_no_http_request() -> None:
    assert not frames.PREFACE.startswith((b"GET ", b"PUT ", b"POST ", b"DELETE ", b"HEAD "))


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
