"""Numbers of pods: sticky by name, reused last."""

from pathlib import Path

from standfast.lab.pods_network import NUMBERS
from standfast.lab.pods_numbers import Numbers


def test_a_name_that_comes_again_has_its_number_again(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "numbers.json")
    first = numbers.give("shop/db-0", set())
    assert first == NUMBERS[0]
    assert numbers.give("shop/db-1", {NUMBERS[0]}) == NUMBERS[1]
    assert Numbers(tmp_path / "numbers.json").give("shop/db-0", set()) == first


def test_a_number_that_somebody_has_is_not_given_twice(tmp_path: Path) -> None:
    numbers = Numbers(tmp_path / "numbers.json")
    first = numbers.give("shop/db-0", set())
    assert first is not None
    assert numbers.give("shop/db-0", {first}) != first


def test_what_was_never_given_comes_first_and_then_what_was_given_longest_ago(
    tmp_path: Path,
) -> None:
    numbers = Numbers(tmp_path / "numbers.json")
    given = [numbers.give(f"shop/web-{n}", set()) for n in range(len(NUMBERS))]
    assert sorted(given) == list(NUMBERS)  # type: ignore[type-var]  # none is None
    assert numbers.give("shop/new", {NUMBERS[0]}) == NUMBERS[1]


def test_when_all_are_taken_there_is_none(tmp_path: Path) -> None:
    assert Numbers(tmp_path / "numbers.json").give("shop/web", set(NUMBERS)) is None
