"""What the tests of the lab's control side share: a lab of their own, gone when the test is."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from standfast.lab.paths import LabPaths


@contextmanager
def lab_paths(name: str) -> Iterator[LabPaths]:
    """Paths of a lab in a short directory: a unix socket's path has at most 107 characters."""
    base = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
    try:
        yield LabPaths.named(name, base)
    finally:
        shutil.rmtree(base)
