"""Whose doing it is that something runs here: the driver's own, or a stranger's.

A start can be overtaken by a stop at any `await`, and what the machine tells of a resource
meanwhile may be the echo of what the driver does itself. Both are judged by this, in one place.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from standfast.errors import TransientError


class Tenure:
    """Of one resource on this node.

    Args:
        what: What is started and stopped, for sentences.

    Attributes:
        is_ours: Started or adopted, and not stopped since.
        is_up: It was seen to run since it is ours; that it ends is news from here on.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._attempt = 0  # raised by whatever ends an earlier start
        self._endings = 0  # stops and kills under way
        self.is_ours = False
        self.is_up = False

    def begin(self) -> int:
        """A start begins; the answer is for `go_on_only_if`."""
        self._attempt += 1
        return self._attempt

    def go_on_only_if(self, attempt: int) -> None:
        """Raise TransientError if something ended that start meanwhile."""
        if attempt != self._attempt:
            raise TransientError(f"the start of {self._what} was overtaken by a stop")

    @contextmanager
    def ending(self) -> Iterator[None]:
        """From here on it is not ours, and what is seen of it meanwhile is our own doing."""
        self._attempt += 1
        self.is_ours = self.is_up = False
        self._endings += 1
        try:
            yield
        finally:
            self._endings -= 1

    @property
    def would_be_strange(self) -> bool:
        """Whether something that runs here now was started by somebody else."""
        return not self.is_ours and not self._endings
