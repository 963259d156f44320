"""`kubectl standfast simulate` as typed: the example pair, simulated for real."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from tests.unit.cli.simulations import EXAMPLE

from standfast.cli.main import run

GIVEN = ["simulate", "-f", str(EXAMPLE), "--seed", "unit"]
Capture = pytest.CaptureFixture[str]


def simulated(capsys: Capture, *arguments: str, code: int = 0) -> dict:
    assert run([*GIVEN, *arguments, "-o", "json"]) == code
    return json.loads(capsys.readouterr().out)


def test_a_declared_fault_is_shown_with_its_story(capsys: Capture) -> None:
    assert run([*GIVEN, "--fault", "crash vm-a at 5s", "--runs", "3"]) == 0
    shown = capsys.readouterr().out
    assert "crash vm-a" in shown
    assert "vm-b by LeaseExpired" in shown
    assert "5000.000  --- fault: crash vm-a" in shown


def test_without_a_fault_the_standard_set_is_simulated(capsys: Capture) -> None:
    found = simulated(capsys, "--runs", "1")
    verbs = [scenario["faults"][0]["fault"] for scenario in found["scenarios"]]
    assert {"crash", "power-off", "isolate", "stun", "kill", "switchover", "lose"} <= set(verbs)
    assert all(scenario["bothMsMax"] == 0 for scenario in found["scenarios"][:4])


def test_the_same_seed_gives_the_same_figures(capsys: Capture) -> None:
    arguments = ("--fault", "isolate active", "--runs", "2")
    assert simulated(capsys, *arguments) == simulated(capsys, *arguments)


def test_a_longer_start_is_a_longer_outage(capsys: Capture) -> None:
    arguments = ("--fault", "crash active", "--runs", "2", "--start-time", "web=3s")
    (scenario,) = simulated(capsys, *arguments)["scenarios"]
    assert scenario["outageMs"]["min"] > 4_000


def test_a_service_that_stays_away_exits_1_and_says_after_what(capsys: Capture) -> None:
    arguments = ["--fault", "lose third", "--fault", "crash vm-a", "--runs", "2"]
    assert run([*GIVEN, *arguments]) == 1
    assert "does not come back after: lose third, then crash vm-a" in capsys.readouterr().err


def test_an_outage_beyond_the_limit_exits_1(capsys: Capture) -> None:
    arguments = ["--fault", "crash vm-a", "--runs", "2", "--outage-max"]
    assert run([*GIVEN, *arguments, "1s"]) == 1
    assert "longer than 1000 ms after: crash vm-a" in capsys.readouterr().err
    assert run([*GIVEN, *arguments, "5s"]) == 0


def test_a_switchover_that_would_be_refused_exits_3(tmp_path: Path, capsys: Capture) -> None:
    cluster = yaml.safe_load((EXAMPLE / "cluster.yaml").read_text())
    cluster["spec"]["nodes"][1]["maintenance"] = True
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(cluster))
    files = ["-f", str(file), "-f", str(EXAMPLE / "resources.yaml")]
    assert run(["simulate", *files, "--fault", "switchover", "--runs", "2"]) == 3
    assert "vm-b is in maintenance" in capsys.readouterr().err


def test_a_picture_is_written_and_well_formed(tmp_path: Path) -> None:
    file = tmp_path / "crash.svg"
    arguments = ["--fault", "crash vm-a", "--runs", "1", "--picture", str(file)]
    assert run([*GIVEN, *arguments]) == 0
    assert ET.parse(file).getroot().tag.endswith("svg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--picture", "crash.png"], "a picture is written as .svg"),
        (["--picture", "/nowhere/crash.svg"], "cannot be written"),
        (["--outage-max", "3"], "'3' is not a duration"),
        (["--fault", "crash vm-c"], "column 7"),
    ],
)
def test_wrong_input_exits_2_with_a_remedy(
    arguments: list[str], said: str, capsys: Capture
) -> None:
    given = arguments if "--fault" in arguments else [*arguments, "--fault", "crash vm-a"]
    assert run([*GIVEN, "--runs", "1", *given]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert "fix:" in shown


def test_manifests_may_come_by_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    everything = "---\n".join(file.read_text() for file in sorted(EXAMPLE.glob("*.yaml")))
    file = tmp_path / "all.yaml"
    file.write_text(everything)
    with file.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert run(["simulate", "-f", "-", "--fault", "crash active", "--runs", "1"]) == 0
    assert "Promises: S1 to S4 held" in capsys.readouterr().out
