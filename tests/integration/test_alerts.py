"""The chart's alert rules, fired by promtool: each by what it is for, none while all is well."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
import yaml

from standfast.controller.ops import Metrics

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "charts/standfast/files/alerts.yaml"
PROMTOOL = Path("/usr/local/lib/standfast-tests/promtool")
"""Put there by tests/tools/prepare, from Debian's package."""

CLUSTER = 'namespace="databases",cluster="orders"'
WELL = {
    f'standfast_cluster_condition{{{CLUSTER},condition="Ready"}}': "1x3000",
    f'standfast_cluster_condition{{{CLUSTER},condition="Protected"}}': "1x3000",
    f'standfast_cluster_condition{{{CLUSTER},condition="Quorate"}}': "1x3000",
    f'standfast_cluster_condition{{{CLUSTER},condition="FenceReady"}}': "1x3000",
    f'standfast_cluster_condition{{{CLUSTER},condition="Paused"}}': "0x3000",
    f'standfast_replication_lag_seconds{{{CLUSTER},node="b",resource="pg"}}': "1x3000",
    'standfast_operator_leader{pod="a"}': "1x3000",
    'standfast_operator_leader{pod="b"}': "0x3000",
    'standfast_operator_api_silent_seconds{pod="a"}': "20x3000",
    'standfast_operator_passes_failed_total{kind="HACluster"}': "0x3000",
}
UNKNOWN = {series: values for series, values in WELL.items() if "cluster_condition" in series}


def _bad(condition: str, value: str = "0x3000") -> dict[str, str]:
    return {f'standfast_cluster_condition{{{CLUSTER},condition="{condition}"}}': value}


TROUBLE: dict[str, tuple[dict[str, str], str, str]] = {
    "StandfastNotServing": (_bad("Ready"), "1m", "20s"),
    "StandfastNotProtected": (_bad("Protected"), "11m", "9m"),
    "StandfastNoMajority": (_bad("Quorate"), "2m", "30s"),
    "StandfastFenceNotReady": (_bad("FenceReady"), "61m", "50m"),
    "StandfastStalled": (_bad("Stalled", "1x3000"), "6m", "4m"),
    "StandfastPausedLong": (_bad("Paused", "1x3000"), "25h", "23h"),
    "StandfastReplicationLags": (
        {f'standfast_replication_lag_seconds{{{CLUSTER},node="b",resource="pg"}}': "90x3000"},
        "6m",
        "4m",
    ),
    "StandfastNobodyActs": ({'standfast_operator_leader{pod="a"}': "0x3000"}, "3m", "1m"),
    "StandfastWatchesSilent": (
        {'standfast_operator_api_silent_seconds{pod="a"}': "400x3000"},
        "2m",
        "30s",
    ),
    "StandfastPassesFail": (
        {'standfast_operator_passes_failed_total{kind="HACluster"}': "0+60x3000"},
        "16m",
        "5m",
    ),
}
"""By alert: what differs from all being well, when it has fired, when it has not yet."""


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def promtool(*arguments: object) -> str:
    found = PROMTOOL if PROMTOOL.exists() else shutil.which("promtool")
    assert found, "tests/tools/prepare puts promtool in place"
    done = subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def fired(directory: Path, series: dict[str, str], at: str, alert: str, times: int) -> None:
    """Let promtool play the series and compare what fires."""
    rule = next(rule for rule in rules() if rule["alert"] == alert)
    labels = dict(rule["labels"])
    if "by (namespace, cluster)" in rule["expr"]:
        labels |= {"namespace": "databases", "cluster": "orders"}
    filled = {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], said)
        for name, said in rule["annotations"].items()
    }
    expected = [{"exp_labels": labels, "exp_annotations": filled}] * times
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "10m" if at.endswith("h") else "15s",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": expected}],
            }
        ],
    }
    file = directory / f"{alert}-{at}.yaml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", file)


def test_the_rules_read() -> None:
    assert "SUCCESS" in promtool("check", "rules", RULES)


def test_every_alert_is_tested_and_has_a_remedy() -> None:
    assert {rule["alert"] for rule in rules()} == set(TROUBLE)
    for rule in rules():
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert rule["annotations"]["remedy"].startswith("kubectl ")


def test_rules_use_metrics_that_the_operator_has() -> None:
    shown = prometheus_client.generate_latest(Metrics().registry).decode()
    known = set(re.findall(r"# TYPE (\w+)", shown))
    used = {name for rule in rules() for name in re.findall(r"\bstandfast_\w+", rule["expr"])}
    assert used <= known


@pytest.mark.parametrize("alert", TROUBLE)
def test_an_alert_fires_for_its_cause_after_its_time_and_not_before(
    alert: str, tmp_path: Path
) -> None:
    trouble, late, early = TROUBLE[alert]
    series = WELL | trouble
    fired(tmp_path, series, late, alert, 1)
    fired(tmp_path, series, early, alert, 0)


@pytest.mark.parametrize("at", ["20m", "26h"])
def test_nothing_fires_while_all_is_well(at: str, tmp_path: Path) -> None:
    for alert in TROUBLE:
        fired(tmp_path, WELL, at, alert, 0)


def test_what_is_unknown_is_no_outage(tmp_path: Path) -> None:
    """An operator that hears nobody pages nobody in the name of the service."""
    series = WELL | dict.fromkeys(UNKNOWN, "-1x3000")
    fired(tmp_path, series, "5m", "StandfastNotServing", 0)
