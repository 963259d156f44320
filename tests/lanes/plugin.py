"""Lanes for pytest-xdist: what takes longest begins first, and nothing of them stays behind.

`-p tests.lanes.plugin`. The seconds of each module are those of an earlier run, kept in
`seconds.json`; `--note-seconds` writes them anew. They order the modules and nothing else: one
that is not among them comes first, and an old figure costs a little time. What happened in each
lane, and what its tests printed, stands in `build/lanes`.
"""

import json
import subprocess
import textwrap
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("seconds.json")
ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / "build/lanes"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("lanes").addoption(
        "--note-seconds", action="store_true", help="write the seconds of each module down"
    )


def pytest_configure(config: pytest.Config) -> None:
    if _is_in_lane(config):
        config.pluginmanager.register(Log(LOGS / f"{config.workerinput['workerid']}.log"))
    elif config.getoption("--note-seconds"):
        config.pluginmanager.register(Clock())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Workers that were interrupted may have been killed together with their lane's shell."""
    if not _is_in_lane(config):
        subprocess.run([Path(__file__).with_name("sweep")], check=True)


def _is_in_lane(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = _known()
    items.sort(key=lambda item: -known.get(_module(item.nodeid), float("inf")))


def _known() -> dict[str, float]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _module(nodeid: str) -> str:
    return nodeid.partition("::")[0]


class Log:
    """The tests of one lane in their order: when, how long, and what they printed."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file.open("w", buffering=1)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        at = f"{datetime.now(UTC):%H:%M:%S} {report.duration:6.1f} s"
        self.file.write(f"{at} {report.when:8} {report.outcome:7} {report.nodeid}\n")
        if report.failed:
            self.file.write(textwrap.indent(report.longreprtext, "    ") + "\n")
        elif report.when == "teardown":
            self.file.write(textwrap.indent(report.capstdout, "    "))


class Clock:
    """Adds up what each module took, in whichever lane."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[_module(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        found = _known() | {module: round(took) for module, took in self.seconds.items()}
        kept = {module: found[module] for module in sorted(found) if (ROOT / module).exists()}
        FILE.write_text(json.dumps(kept, indent=1) + "\n")
