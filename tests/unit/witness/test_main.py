"""The command line of the witness."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from standfast.witness import main as witness


def test_help_names_the_places() -> None:
    said = CliRunner().invoke(witness.cli, ["run", "--help"])
    for option in ("--state", "--listen", "--identity", "--health"):
        assert option in said.output


def test_an_error_is_a_sentence_with_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(witness, "make_punctual", lambda **_: None)
    places = ["--state", str(tmp_path), "--identity", str(tmp_path / "none")]
    monkeypatch.setattr(sys, "argv", ["standfast-witness", "run", *places])
    with pytest.raises(SystemExit) as ended:
        witness.main()
    assert ended.value.code == 2
    assert "there is no identity in" in capsys.readouterr().err
