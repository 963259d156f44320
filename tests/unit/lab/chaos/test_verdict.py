"""What counts as two at once, and what is excused."""

from standfast.lab.chaos.verdict import Seen, frozen, judge, overlaps, without, woke_ns
from standfast.lab.observe import Event, Interval, Observation

MS = 1_000_000
NOBODY: frozenset[str] = frozenset()


def stretch(begin_ms: float, end_ms: float) -> Interval:
    return Interval(round(begin_ms * MS), round(end_ms * MS))


def judged(
    seen: Seen,
    held: dict[str, list[Interval]] | None = None,
    observations: list[Observation] | None = None,
    *,
    hampered: frozenset[str] = NOBODY,
    exclusive: bool = True,
    stays: str = "",
) -> list[str]:
    return judge(
        seen,
        held or {},
        observations or [],
        hampered=hampered,
        exclusive_processes=exclusive,
        now_ns=100_000 * MS,
        stays=stays,
    )


def test_one_after_the_other_is_right() -> None:
    spoke = {"vm-a": [stretch(1, 10)], "vm-b": [stretch(10.001, 20)]}
    assert judged(Seen(spoke=spoke, ran=spoke), spoke) == []


def test_a_take_over_that_nothing_made_necessary_is_wrong() -> None:
    seen = Seen(spoke={"vm-a": [stretch(1, 10)], "vm-b": [stretch(20, 30)]})
    assert judged(seen) == []
    (wrong,) = judged(seen, stays="vm-a")
    assert wrong.startswith("taken over without need: vm-b spoke")
    assert judged(Seen(spoke={"vm-a": [stretch(1, 10)], "vm-b": []}), stays="vm-a") == []


def test_a_single_word_in_the_time_of_another_is_seen() -> None:
    spoke = {"vm-a": [stretch(1, 10)], "vm-b": [stretch(5, 5)]}
    (wrong,) = judged(Seen(spoke=spoke))
    assert "two spoke: vm-a and vm-b" in wrong


def test_speech_is_excused_by_nothing() -> None:
    spoke = {"vm-a": [stretch(1, 10)], "vm-b": [stretch(9, 20)]}
    stunned = [Observation(0, "vm-a", Event.STUNNED)]
    found = judged(Seen(spoke=spoke), observations=stunned, hampered=frozenset({"vm-a"}))
    assert len(found) == 1


def test_every_pair_of_three_is_compared() -> None:
    found = overlaps({"c": [stretch(2, 3)], "a": [stretch(1, 9)], "b": [stretch(8, 12)]})
    assert [(touch.first, touch.second) for touch in found] == [("a", "c"), ("a", "b")]


def test_two_processes_count_only_where_one_may_run() -> None:
    ran = {"vm-a": [stretch(1, 10)], "vm-b": [stretch(9, 20)]}
    assert len(judged(Seen(ran=ran))) == 1
    assert judged(Seen(ran=ran), exclusive=False) == []


def test_a_node_whose_guard_was_stopped_has_only_the_kernels_lease() -> None:
    both = {"vm-a": [stretch(1, 10)], "vm-b": [stretch(9, 20)]}
    assert len(judged(Seen(ran=both), both)) == 2
    assert judged(Seen(ran=both), both, hampered=frozenset({"vm-a"})) == []


def test_what_a_stunned_vm_has_counts_again_some_time_after_it_woke() -> None:
    stun = [
        Observation(5 * MS, "vm-a", Event.STUNNED),
        Observation(900 * MS, "vm-a", Event.THAWED),
    ]
    soon = {"vm-a": [stretch(1, 950)], "vm-b": [stretch(700, 2000)]}
    late = {"vm-a": [stretch(1, 1200)], "vm-b": [stretch(700, 2000)]}
    assert judged(Seen(ran=soon), observations=stun) == []
    assert len(judged(Seen(ran=late), observations=stun)) == 1


def test_a_stun_that_has_not_ended_lasts_until_now() -> None:
    stun = [Observation(5 * MS, "vm-a", Event.STUNNED)]
    assert frozen(stun, "vm-a", 80 * MS, wake_ns=0) == [stretch(5, 80)]
    assert frozen(stun, "vm-b", 80 * MS) == []


def test_holes_are_cut_out_of_stretches() -> None:
    left = without([stretch(0, 10)], [stretch(2, 3), stretch(9, 20)])
    assert [(round(i.begin_ns / MS), round(i.end_ns / MS)) for i in left] == [(0, 2), (3, 9)]


def test_how_long_the_application_lived_on_after_a_stun_that_cost_the_lease() -> None:
    woken = [Observation(900 * MS, "vm-a", Event.THAWED)]
    ran = {"vm-a": [stretch(1, 907)], "vm-b": [stretch(700, 2000)]}
    assert woke_ns(ran, woken) == [7 * MS]


def test_one_that_was_stunned_for_a_moment_goes_on() -> None:
    woken = [Observation(100 * MS, "vm-a", Event.THAWED)]
    ran = {"vm-a": [stretch(1, 9000)], "vm-b": [stretch(7000, 20000)]}
    assert woke_ns(ran, woken) == []
