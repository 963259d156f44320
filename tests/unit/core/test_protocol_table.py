"""The table at the end of docs/protocol.md names what exists, and misses no planted bug."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.catalogue import ALL, Mutant

ROOT = Path(__file__).resolve().parents[3]
CORE = ROOT / "operator" / "standfast" / "core"
MODELS = ROOT / "tests" / "model"
PAGE = (ROOT / "docs" / "protocol.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("| rule | core |")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| **")
]
NAME = re.compile(r"`([^`]+)`")


def names(column: int) -> list[str]:
    return sorted({name for row in ROWS for name in NAME.findall(row[column])})


def defined(tree: ast.Module) -> Iterator[str]:
    """Functions, classes and methods of a module, methods with their class before them."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    yield f"{node.name}.{inner.name}"
        elif isinstance(node, ast.FunctionDef):
            yield node.name


@pytest.mark.parametrize("name", names(1))
def test_each_function_exists(name: str) -> None:
    module, _, function = name.partition(".")
    assert function in set(defined(ast.parse((CORE / f"{module}.py").read_text())))


def test_each_rule_can_be_taken_away_from_a_model() -> None:
    text = "".join(model.read_text() for model in MODELS.glob("*.pml"))
    assert [name for name in names(2) if not re.search(rf"\b{name}\b", text)] == []


def test_each_unit_test_exists() -> None:
    text = "".join(file.read_text() for file in (ROOT / "tests" / "unit" / "core").glob("*.py"))
    assert [name for name in names(3) if f"def test_{name}(" not in text] == []


def test_each_planted_bug_exists_and_none_is_missing() -> None:
    assert set(names(4)) == {mutant.name for mutant in ALL}


@pytest.mark.parametrize("mutant", ALL, ids=[mutant.name for mutant in ALL])
def test_each_planted_bug_finds_the_text_that_it_changes(mutant: Mutant) -> None:
    text = (CORE.parent / mutant.module).read_text()
    assert text.count(mutant.old) == 1
    assert mutant.old != mutant.new
