"""The end of the lease in a file under /run, so that a restarted agent knows what it may adopt.

The file is written before every message that could extend the lease is counted, and removed before
the lease is given back. /run is memory: the file dies with the boot, and names the boot all the
same, because a container or a restored memory image may keep /run. Without a file, with a file of
another boot, or past its moment: the resources are stopped first (`docs/protocol.md`, section 5).
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when the resources may run.

    Args:
        boot: Boot id in which the moment was written.
        term: Term of the lease.
        until_ms: Moment on this boot's clock.
    """

    boot: str
    term: int
    until_ms: int


class DeadlineFile:
    """One deadline in one file, replaced as a whole.

    A reader sees the old deadline or the new one. Nothing is flushed: the file lives in memory and
    need not outlive the kernel.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(path.name + ".new")
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)

    def write(self, deadline: Deadline) -> None:
        """Replace what is there. Takes about 0.1 ms; raises OSError when /run is full."""
        text = json.dumps(
            {"boot": deadline.boot, "term": deadline.term, "untilMs": deadline.until_ms}
        )
        descriptor = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
        self._fresh.replace(self._path)

    def read(self) -> Deadline | None:
        """What was last written; None when there is no file or it does not read as a deadline."""
        try:
            fields = json.loads(self._path.read_bytes())
            deadline = Deadline(fields["boot"], fields["term"], fields["untilMs"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        sound = (
            isinstance(deadline.boot, str)
            and isinstance(deadline.term, int)
            and isinstance(deadline.until_ms, int)
        )
        return deadline if sound else None

    def remove(self) -> None:
        """Give the lease back: no restarted agent will adopt anything. Idempotent."""
        self._path.unlink(missing_ok=True)
