"""Numbers of bytes for sentences."""

import pytest

from standfast.core.sizes import at_most, size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_read_well(count: int, said: str) -> None:
    assert size(count) == said


def test_what_moves_on_is_told_so_that_the_sentence_seldom_changes() -> None:
    assert at_most(0) == at_most(65536) == "at most 64.0 KiB"
    assert at_most(65537) == at_most(100_000) == "at most 128.0 KiB"
