"""When may it be said that a boot of a VM is over? What the operator's word rests on.

The members free a promise because of that word, so it must be true whatever the infrastructure
believes at the moment. Two truths are used. An order that succeeded after the boot was known ended
that boot, and every earlier one. A VM that is *found* off ended the boot it ran in, but which one
that was depends on when the infrastructure learnt of it: news may be late, and a boot that began
after the power went off must never be called dead. So a boot counts as over only when it was known
well before the VM was seen off; how long before depends on how we saw it.

Source: `docs/protocol.md` section 6, `PoweredOff`; rule 5 of voting. Safety: S2.
"""

from dataclasses import dataclass
from enum import Enum

SETTLED_MS = 10_000
"""Longest that an unbroken feed, which has shown the VM on, is late with a change of power while
the host is connected. A guest needs seconds of its own to boot before it can report, on top."""

HOST_SILENCE_MS = 75_000
"""The oldest that a picture may be whatever was seen before: an infrastructure calls a silent host
connected for up to 60 s. A VM that is still seen off so long after a boot was known was off at a
moment after that boot began, also when it went off too soon after it for the feed to tell."""


class Power(Enum):
    """Power of a VM. SUSPENDED is not off: it may wake with its old beliefs."""

    ON = "PoweredOn"
    OFF = "PoweredOff"
    SUSPENDED = "Suspended"
    UNKNOWN = "Unknown"


class Contact(Enum):
    """Whether the infrastructure hears the VM or the host now."""

    CONNECTED = "Connected"
    LOST = "Lost"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class OffSeen:
    """How a VM came to be seen off, by a fresh read through a connected host.

    Attributes:
        ordered: A power-off asked for at or after `asked_at_ms` ended in success.
        asked_at_ms: When the question or the order was sent.
        off_since_ms: Since when the feed has shown it off; none when it shows something else.
        on_from_ms: Since when the same unbroken feed had shown it on before; none when it had not.
    """

    ordered: bool
    asked_at_ms: int
    off_since_ms: int | None = None
    on_from_ms: int | None = None


def boot_is_over(known_at_ms: int, off: OffSeen) -> bool:
    """Whether a boot that was first known at `known_at_ms` has certainly ended.

    All moments are the operator's own clock.
    """
    if off.ordered:
        return known_at_ms <= off.asked_at_ms
    if known_at_ms + HOST_SILENCE_MS <= off.asked_at_ms:
        return True
    if off.on_from_ms is None or off.off_since_ms is None:
        return False
    return known_at_ms + SETTLED_MS <= off.off_since_ms
