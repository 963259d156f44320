"""Screens compared with text files beside this one.

`STANDFAST_SNAPSHOTS=write pytest tests/unit/cli` writes them anew; their diff is read like code.
"""

import os
from pathlib import Path

HERE = Path(__file__).parent / "snapshots"


def assert_same(name: str, shown: str) -> None:
    """Compare what is shown with `snapshots/NAME.txt`."""
    file = HERE / f"{name}.txt"
    if os.environ.get("STANDFAST_SNAPSHOTS") == "write":
        file.write_text(shown)
    assert shown == file.read_text(), f"{file} differs: STANDFAST_SNAPSHOTS=write writes it anew"
