"""What kubectl and the shells are told."""

import pytest

from standfast.cli.completion import answers
from standfast.cli.main import commands, run


def test_kubectl_is_told_commands_with_what_they_do_and_no_files() -> None:
    lines = answers(commands, ["s"])
    assert lines[-1] == ":4"
    assert any(line.startswith("status\t") for line in lines)
    assert any(line.startswith("switchover\t") for line in lines)
    assert not any(line.startswith("explain") for line in lines)


def test_options_and_their_values_are_completed() -> None:
    assert "json" in answers(commands, ["status", "-o", ""])
    assert any(line.startswith("--watch") for line in answers(commands, ["status", "--w"]))


def test_an_option_that_takes_a_file_offers_files() -> None:
    assert answers(commands, ["status", "--kubeconfig", ""])[-1] == ":0"


def test_an_api_server_that_does_not_answer_completes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    assert answers(commands, ["explain", ""]) == [":4"]
    assert answers(commands, ["maintenance", "web", ""]) == [":4"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "kubectl-standfast" in capsys.readouterr().out
