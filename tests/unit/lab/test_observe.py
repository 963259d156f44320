"""Who held an address when, from what the kernel and the hypervisor said."""

from standfast.lab.observe import Event, Interval, Observation, overlap_ns, tenures

VIP = "10.77.1.100"


def story(*rows: tuple[int, str, Event]) -> list[Observation]:
    return [
        Observation(at, vm, event, VIP if event in {Event.ADDED, Event.REMOVED} else "")
        for at, vm, event in rows
    ]


def test_an_address_is_held_from_its_coming_to_its_going() -> None:
    seen = story((1, "a", Event.ON), (5, "a", Event.ADDED), (9, "a", Event.REMOVED))
    assert tenures(seen, VIP, 20) == {"a": [Interval(5, 9)]}


def test_a_tenure_that_has_not_ended_ends_now() -> None:
    assert tenures(story((5, "a", Event.ADDED)), VIP, 20) == {"a": [Interval(5, 20)]}


def test_a_dead_vm_holds_nothing_whatever_its_kernel_said_last() -> None:
    seen = story((5, "a", Event.ADDED), (7, "a", Event.SILENT), (30, "a", Event.ON))
    assert tenures(seen, VIP, 40) == {"a": [Interval(5, 7)]}


def test_a_stunned_vm_holds_nothing_that_anybody_could_reach() -> None:
    seen = story((5, "a", Event.ADDED), (7, "a", Event.STUNNED), (9, "a", Event.THAWED))
    assert tenures(seen, VIP, 12) == {"a": [Interval(5, 7), Interval(9, 12)]}


def test_an_address_that_ended_during_a_stun_does_not_come_back_with_the_thaw() -> None:
    seen = story(
        (5, "a", Event.ADDED),
        (7, "a", Event.STUNNED),
        (8, "a", Event.REMOVED),
        (9, "a", Event.THAWED),
    )
    assert tenures(seen, VIP, 12) == {"a": [Interval(5, 7)]}


def test_a_reset_during_a_stun_ends_the_stun() -> None:
    seen = story(
        (5, "a", Event.STUNNED), (6, "a", Event.SILENT), (7, "a", Event.ON), (8, "a", Event.ADDED)
    )
    assert tenures(seen, VIP, 12) == {"a": [Interval(8, 12)]}


def test_other_addresses_do_not_count() -> None:
    assert tenures([Observation(5, "a", Event.ADDED, "10.77.1.11")], VIP, 20) == {}


def test_the_overlap_is_the_time_both_held_it() -> None:
    seen = story(
        (5, "a", Event.ADDED),
        (8, "b", Event.ADDED),
        (10, "a", Event.REMOVED),
        (15, "b", Event.REMOVED),
    )
    assert overlap_ns(tenures(seen, VIP, 20)) == 2


def test_a_handover_has_no_overlap() -> None:
    seen = story((5, "a", Event.ADDED), (8, "a", Event.REMOVED), (8, "b", Event.ADDED))
    assert overlap_ns(tenures(seen, VIP, 20)) == 0
