"""The page about the commands is theirs, and help has what a manual page has."""

import pytest

from standfast.cli import reference
from standfast.cli.main import commands


def test_the_page_is_what_the_commands_say() -> None:
    assert reference.stale(reference.REPOSITORY) == [], "python -m standfast.cli.reference"


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_command_has_examples_and_exit_codes_within_80_columns(name: str) -> None:
    section = reference.text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert "Exit codes:" in section
    assert "Examples:" in section
    for line in section.splitlines():
        assert len(line) <= 80 or line.strip().startswith("kubectl "), line
