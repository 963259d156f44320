"""The table of `tests/simulation` holds: each assumption names a model, and a test that exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
SIMULATOR = TESTS.parent / "operator" / "standfast" / "simulator"

ROW = re.compile(
    r"^\| (?P<promise>[^|]+) \| `(?P<where>[^`]+)` \| `(?P<test>[^`]+::[^`]+)` \|$", re.MULTILINE
)
ROWS = list(ROW.finditer((TESTS / "simulation" / "README.md").read_text()))


def test_the_table_is_there() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["promise"][:60])
def test_each_promise_names_a_test_that_exists(row: re.Match[str]) -> None:
    path, name = row["test"].split("::")
    assert f"def {name}(" in (TESTS / path).read_text()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["promise"][:60])
def test_each_promise_names_what_models_it(row: re.Match[str]) -> None:
    module, name = row["where"].split(".")
    text = (SIMULATOR / f"{module}.py").read_text()
    assert f"def {name}(" in text or f"class {name}" in text
