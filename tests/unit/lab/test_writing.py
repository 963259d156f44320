"""What became of acknowledged writes."""

from standfast.lab.writing import Verdict, Write, judge, longest_silence_ms


def test_every_acknowledged_write_must_be_there_once() -> None:
    assert judge([1, 2, 3], [1, 2, 3]) == Verdict(3, (), (), 0)
    assert judge([1, 2, 3], [1, 3, 3, 4]) == Verdict(3, (2,), (3,), 1)


def test_the_longest_silence_is_between_two_acknowledgements() -> None:
    writes = [
        Write(0, 1, 1), Write(10, 2, 1), Write(500, 3, 400, "timeout"), Write(700, 4, 1),
        Write(720, 5, 1),
    ]  # fmt: skip
    assert longest_silence_ms(writes) == 690
    assert longest_silence_ms(writes, since_ms=600) == 20
    assert longest_silence_ms([]) == 0
