"""Numbers of bytes for sentences."""

import pytest

from standfast.core.sizes import size


@pytest.mark.parametrize(
    ("count", "said"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_read_well(count: int, said: str) -> None:
    assert size(count) == said
