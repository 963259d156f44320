"""The command line: enrolment puts the bundle where the agent reads it, refusals are sentences."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from standfast.adapters import pki
from standfast.agent import commands
from standfast.core.ids import ClusterUid, MemberUid
from standfast.errors import RefusedError, UserError
from standfast.member.store import Enrolment, Store


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, place in (("STATE", "state"), ("RUN", "run"), ("BUNDLE", "etc/bundle.json")):
        monkeypatch.setenv(f"STANDFAST_{name}", str(tmp_path / place))
    return tmp_path


def bundle() -> str:
    now = datetime.now(UTC)
    authority = pki.Authority.create("c1", now)
    identity = authority.issue(pki.Bootstrap("c1"), now)
    return pki.Bundle("c1", "ns/web", "vm-a", ("10.0.0.1:7380",), identity).to_json()


def test_a_bundle_is_put_in_place_for_root_only(places: Path) -> None:
    said = CliRunner().invoke(commands.cli, ["enroll", "--bundle", "-"], input=bundle())
    assert said.exit_code == 0, said.output
    assert "vm-a awaits enrolment in ns/web" in said.output
    assert (places / "etc/bundle.json").stat().st_mode & 0o777 == 0o600


def test_what_is_no_bundle_is_refused(places: Path) -> None:
    said = CliRunner().invoke(commands.cli, ["enroll", "--bundle", "-"], input="{}")
    assert isinstance(said.exception, UserError)
    assert not (places / "etc/bundle.json").exists()


def test_an_enrolled_node_is_not_enrolled_by_accident(places: Path) -> None:
    store = Store(places / "state")
    store.save_enrolment(Enrolment(ClusterUid("c0"), MemberUid("u"), "vm-a", "ns/old"))
    (places / "state/identity").mkdir()
    said = CliRunner().invoke(commands.cli, ["enroll", "--bundle", "-"], input=bundle())
    assert isinstance(said.exception, RefusedError)
    assert "enrolled in ns/old already" in str(said.exception)


def test_errors_end_with_their_code(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["standfast-agent", "status"])
    with pytest.raises(SystemExit) as ended:
        commands.command_line()
    assert ended.value.code == 1
    assert "error: no agent answers" in capsys.readouterr().err


def test_help_names_the_commands() -> None:
    said = CliRunner().invoke(commands.cli, ["--help"])
    for name in ("run", "install", "uninstall", "enroll", "status"):
        assert f"  {name} " in said.output


def test_a_word_on_a_drbd_device_is_told_to_its_driver(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def ask(path: str, words: list[str]) -> tuple[int, str]:
        asked.append((path, words))
        return (0, "given up") if words[-1] == "A0" else (1, "not that copy")

    monkeypatch.setattr(commands.asking, "ask", ask)
    said = CliRunner().invoke(commands.cli, ["drbd", "discard", "data", "A0"])
    assert said.output == "given up\n"
    assert asked == [(str(places / "run/drbd-data.sock"), ["discard", "A0"])]
    refused = CliRunner().invoke(commands.cli, ["drbd", "discard", "data", "B0"])
    assert isinstance(refused.exception, RefusedError)


def test_without_an_agent_a_word_is_not_lost_silently(places: Path) -> None:
    said = CliRunner().invoke(commands.cli, ["drbd", "verify", "data"])
    assert "no agent answers for data" in str(said.exception)
