"""When a boot may be called over: never one that could have begun after the power went off."""

from standfast.core.fencing import HOST_SILENCE_MS, SETTLED_MS, OffSeen, boot_is_over

KNOWN_MS = 100_000


def test_a_boot_that_ended_soon_after_it_was_known_is_over_in_time_all_the_same() -> None:
    """A VM that died right after its cluster was made: the feed saw it on, and off too soon."""
    off_ms = KNOWN_MS + SETTLED_MS - 1
    soon = OffSeen(
        ordered=False,
        asked_at_ms=KNOWN_MS + HOST_SILENCE_MS - 1,
        off_since_ms=off_ms,
        on_from_ms=1,
    )
    assert not boot_is_over(KNOWN_MS, soon)
    later = OffSeen(
        ordered=False, asked_at_ms=KNOWN_MS + HOST_SILENCE_MS, off_since_ms=off_ms, on_from_ms=1
    )
    assert boot_is_over(KNOWN_MS, later)


def test_an_order_ends_every_boot_known_before_it_was_given() -> None:
    assert boot_is_over(KNOWN_MS, OffSeen(ordered=True, asked_at_ms=KNOWN_MS))
    assert not boot_is_over(KNOWN_MS, OffSeen(ordered=True, asked_at_ms=KNOWN_MS - 1))


def test_a_vm_seen_going_off_ended_the_boot_that_was_known_well_before() -> None:
    off_ms = KNOWN_MS + SETTLED_MS
    off = OffSeen(ordered=False, asked_at_ms=off_ms + 5, off_since_ms=off_ms, on_from_ms=1)
    assert boot_is_over(KNOWN_MS, off)


def test_late_news_of_an_earlier_power_off_ends_nothing() -> None:
    """F29: the VM was reset: its new boot reports before the news of the power-off arrives."""
    off_ms = KNOWN_MS + SETTLED_MS - 1
    off = OffSeen(ordered=False, asked_at_ms=off_ms, off_since_ms=off_ms, on_from_ms=1)
    assert not boot_is_over(KNOWN_MS, off)


def test_a_vm_never_seen_on_needs_longer_than_a_silent_host_is_believed() -> None:
    early = OffSeen(ordered=False, asked_at_ms=KNOWN_MS + HOST_SILENCE_MS - 1, off_since_ms=0)
    assert not boot_is_over(KNOWN_MS, early)
    late = OffSeen(ordered=False, asked_at_ms=KNOWN_MS + HOST_SILENCE_MS, off_since_ms=0)
    assert boot_is_over(KNOWN_MS, late)


def test_a_fresh_read_without_a_feed_counts_as_never_seen_on() -> None:
    off = OffSeen(ordered=False, asked_at_ms=KNOWN_MS + HOST_SILENCE_MS - 1)
    assert not boot_is_over(KNOWN_MS, off)
