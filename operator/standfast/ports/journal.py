"""Durable memory of a member: one value, replaced as a whole.

The rule of the protocol is "durable, then sent": nothing that depends on a stored value may leave
the process before `store` has returned. The journal does not know what it keeps.
"""

from typing import Protocol


class Journal(Protocol):
    """Keeps the last value stored, whatever happens between two instructions."""

    @property
    def generation(self) -> int:
        """How often a value was stored since the journal was made; 0 before the first.

        Raised by every successful `store`, durable together with the value. A member whose peers
        have seen a higher number than this one has gone back in time (snapshot, clone).
        """
        ...

    def load(self) -> bytes | None:
        """The last value whose `store` returned, or one whose `store` was cut off.

        Returns None when nothing was ever stored. May be called at any time and often.

        Raises:
            UserError: The journal is unreadable or of another version; the sentence says which
                and what to do. Nothing is changed on disk.
        """
        ...

    def store(self, value: bytes) -> None:
        """Replace the value; on return it survives a power cut.

        Blocks for one write and one flush of the disk. When it raises, the old value or the new
        one is found after a restart, never a mixture and never nothing; it may be called again.

        Raises:
            TransientError: The disk refused; the previous value is kept.
        """
        ...

    def close(self) -> None:
        """Give the journal up for another process. Nothing is lost; idempotent."""
        ...
