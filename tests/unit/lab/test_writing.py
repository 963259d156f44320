"""What became of acknowledged writes."""

from standfast.lab.writing import Verdict, Write, before_the_last, judge, longest_silence_ms


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


def test_of_each_loss_the_newest_may_always_be_lacking() -> None:
    writes = [
        Write(0, 1, 1), Write(100, 2, 1), Write(150, 9, 1, "timeout"), Write(200, 3, 1),
        Write(1000, 4, 1), Write(1100, 5, 1), Write(5000, 6, 1),
    ]  # fmt: skip
    assert before_the_last(150, writes, {2, 3, 5}) == []
    assert before_the_last(150, writes, {1, 2, 3, 5}) == [1]
    assert before_the_last(50, writes, {2, 3, 4}) == [2, 3]
    assert before_the_last(50, writes, {6}) == []
