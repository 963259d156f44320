"""For whom writes wait."""

from standfast.adapters.postgresql.names import Names, read_names


def test_nobody_is_no_text() -> None:
    assert Names().text == ""
    assert Names(frozenset(), 5).text == ""


def test_all_of_the_set_are_waited_for() -> None:
    assert Names(frozenset({"b", "a"}), 3).text == 'FIRST 2 ("a", "b")'
    assert Names(frozenset({"b"}), 1).text == 'FIRST 1 ("standfast-0", "b")'


def test_each_issue_gives_other_priorities() -> None:
    names = Names(frozenset({"a", "b"}))
    seen = []
    for _ in range(3):
        seen.append(names.priorities["a"])
        names = names.next(names.members)
    assert sorted(seen) == [1, 2, 3]
    assert Names(frozenset({"a", "b"}), 1).priorities == {"a": 2, "b": 3}


def test_what_was_written_reads() -> None:
    names = Names(frozenset({"a", "b"}), 2)
    assert read_names(names.text) == names
    assert read_names("") == Names()
