"""`kubectl standfast simulate -f` with every example there is, as text, JSON and picture."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from standfast.cli.main import run

EXAMPLES = sorted(
    path.parent for path in Path(__file__).parents[3].glob("examples/*/cluster.yaml")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_every_example_can_be_simulated(
    example: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "run.svg"
    asked = ["simulate", "-f", str(example), "--fault", "crash active", "--runs", "2"]
    asked += ["--seed", "examples"]
    assert run([*asked, "--picture", str(picture)]) == 0
    assert "Promises: S1 to S4 held in all 2 runs" in capsys.readouterr().out
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert run([*asked, "-o", "json"]) == 0
    (scenario,) = json.loads(capsys.readouterr().out)["scenarios"]
    assert scenario["cameBack"] == 2
    assert scenario["violations"] == []
