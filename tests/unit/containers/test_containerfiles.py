"""The images' recipes: rules that a linter would ask for, and names that must exist."""

import re
import tomllib
from pathlib import Path

import pytest

from standfast.controller.witness_objects import HEALTH_PORT
from standfast.wire.api import PORT

ROOT = Path(__file__).resolve().parents[3]
FILES = sorted((ROOT / "containers").glob("*.Containerfile"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def instructions(file: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", file.read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def last(file: Path, word: str) -> str:
    return [rest for each, rest in instructions(file) if each == word][-1]


def test_there_is_one_for_each_process_that_runs_as_a_pod() -> None:
    assert [file.stem for file in FILES] == ["operator", "witness"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_keeps_the_rules(file: Path) -> None:
    words = [word for word, _ in instructions(file)]
    assert words[:2] == ["ARG", "FROM"]
    base = instructions(file)[0][1]
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.11-slim-\w+", base)
    assert "ADD" not in words
    for word, rest in instructions(file):
        if word == "FROM":
            assert rest.partition(" ")[0] == "$BASE"
        if word == "RUN" and "pip install" in rest:
            assert "--no-cache-dir" in rest
        assert not re.search(r"\bsudo\b|\bcurl\b.*\|", rest)
    assert last(file, "USER") == "65532:65532", "as the chart says"
    assert words.index("USER") < words.index("ENTRYPOINT")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_it_installs_and_runs_exists(file: Path) -> None:
    extras = re.findall(r"\[([a-z,]+)\]\"", file.read_text())
    assert extras
    for extra in extras[0].split(","):
        assert extra in PROJECT["optional-dependencies"]
    program = last(file, "ENTRYPOINT").strip('[]"')
    assert program in PROJECT["scripts"]
    assert f"standfast-{file.stem}" == program


def test_a_witness_carries_nothing_of_kubernetes() -> None:
    text = (ROOT / "containers/witness.Containerfile").read_text()
    assert "[agent]" in text
    assert last(ROOT / "containers/witness.Containerfile", "EXPOSE") == f"{PORT} {HEALTH_PORT}"
