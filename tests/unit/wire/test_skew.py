"""Programs of two versions read each other: nothing that was agreed on is taken back (F90)."""

import json

import msgspec
import pytest

from standfast.wire import api
from tests.unit.wire.shapes import FILE, Shapes, shapes

FIX = "or, before a version that speaks it is released: python -m tests.unit.wire.shapes"


def broken(old: Shapes, new: Shapes) -> list[str]:
    """What one of the two could not read of the other."""
    found: list[str] = []
    for name, before in old.items():
        after = new.get(name)
        if after is None:
            found.append(f"{name} is gone")
        elif "values" in before:
            gone = set(before["values"]) - set(after["values"])
            found += [f"{name} lost {', '.join(sorted(gone))}"] if gone else []
        else:
            found += _fields(name, before, after)
    return found


def _fields(name: str, before: dict[str, object], after: dict[str, object]) -> list[str]:
    was, now = before["fields"], after["fields"]
    assert isinstance(was, dict)
    assert isinstance(now, dict)
    found = [f"{name}.{field} is gone" for field in was if field not in now]
    for field, known in was.items():
        held = now.get(field)
        if held is None:
            continue
        parts, have = set(known["type"].split(" | ")), set(held["type"].split(" | "))
        if not parts <= have:
            found.append(f"{name}.{field} was {known['type']} and is {held['type']}")
        if held["required"] and not known["required"]:
            found.append(f"{name}.{field} is demanded, and an older program does not send it")
    found += [
        f"{name}.{field} is new and has no default: an older program does not send it"
        for field, held in now.items()
        if field not in was and held["required"]
    ]
    if before["inOrder"] and list(now)[: len(was)] != list(was):
        found.append(f"{name} is read by position, and its order changed")
    return found


def test_an_older_and_a_newer_program_read_each_other() -> None:
    assert broken(json.loads(FILE.read_text()), shapes()) == [], FIX


def test_what_is_not_known_is_passed_over_and_what_is_not_sent_has_its_default() -> None:
    """The rule of the shapes is the rule of the decoder."""
    text = b'{"generation": 1, "ofAnotherVersion": 1}'
    assert msgspec.json.decode(text, type=api.GroupRequest) == api.GroupRequest(generation=1)


class Old(msgspec.Struct):
    a: int
    b: str = ""


class Fewer(msgspec.Struct):
    a: int


class Demanding(msgspec.Struct):
    a: int
    c: int
    b: str = ""


class Wider(msgspec.Struct):
    a: int | None
    b: str = ""
    c: int = 0


class Other(msgspec.Struct):
    a: str
    b: str = ""


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (Fewer, ["b is gone"]),
        (Demanding, ["c is new and has no default: an older program does not send it"]),
        (Other, ["a was int and is str"]),
        (Wider, []),
    ],
)
def test_what_breaks_is_said(new: type, said: list[str]) -> None:
    old = dict(enumerate(shapes(Old).values()))
    now = dict(enumerate(shapes(new).values()))
    found = broken({"x": old[0]}, {"x": now[0]})
    assert found == [f"x.{each}" for each in said]
