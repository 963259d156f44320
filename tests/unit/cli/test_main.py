"""The commands there are, and what a wrong command line exits with."""

from pathlib import Path

import pytest

from standfast.cli.main import commands, run


def test_the_commands_are_those_people_know() -> None:
    assert set(commands.commands) == {
        "status",
        "explain",
        "switchover",
        "history",
        "simulate",
        "enroll",
        "check",
        "maintenance",
        "pause",
        "resume",
        "collect",
        "completion",
        "consent",
        "attest",
        "recover",
        "replace",
        "rolling",
    }


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_every_command_says_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: kubectl standfast {name}" in shown
    assert ("--kubeconfig" in shown) is (name not in {"simulate", "completion"})


@pytest.mark.parametrize("arguments", [["fly"], ["explain"], ["status", "-o", "xml"]])
def test_a_wrong_command_line_exits_2(arguments: list[str]) -> None:
    assert run(arguments) == 2


def test_a_kubeconfig_without_contexts_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "config"
    empty.write_text("apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n")

    assert run(["status", "--kubeconfig", str(empty)]) == 2
    said = capsys.readouterr().err
    assert str(empty) in said
    assert "fix:" in said
