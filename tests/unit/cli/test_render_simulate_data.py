"""A simulation as data: the shape that programs rely on."""

import json

from tests.unit.cli.simulations import CRASH, LOST, RUNS, report

from standfast.cli.render_simulate_data import as_data


def test_the_report_names_what_was_simulated() -> None:
    found = as_data(report((CRASH,)))
    assert found["cluster"] == "web"
    assert (found["nodes"], found["witnesses"]) == (["vm-a", "vm-b"], ["third"])
    assert found["timing"] == {
        "heartbeatMs": 200,
        "ttlMs": 1_500,
        "guardMs": 700,
        "driftPpm": 10_000,
    }
    assert (found["seed"], found["runs"], found["violations"]) == ("unit", RUNS, 0)
    assert found["assumed"]


def test_a_scenario_has_faults_figures_endings_and_one_run_told() -> None:
    (scenario,) = as_data(report((CRASH,)))["scenarios"]
    assert scenario["faults"] == [
        {"atMs": 1_000, "fault": "crash", "who": "active", "other": None, "lastsMs": None}
    ]
    assert set(scenario["outageMs"]) == {"min", "median", "p99", "max"}
    assert (scenario["runs"], scenario["cameBack"]) == (RUNS, RUNS)
    assert scenario["endings"] == [
        {
            "runs": RUNS,
            "servedBy": "vm-b",
            "tookOver": True,
            "proof": "LeaseExpired",
            "nobody": None,
        }
    ]
    assert scenario["dataAtRisk"] == {"runsWithLoss": 0, "lostWritesMax": 0}
    assert scenario["bothMsMax"] == 0
    typical = scenario["typical"]
    assert (typical["servedBefore"], typical["servedAfter"]) == ("vm-a", "vm-b")
    assert typical["timeline"][0] == {"atMs": 1_000.0, "who": "fault", "text": "crash vm-a"}


def test_what_does_not_exist_is_null_and_nobody_has_a_reason() -> None:
    (scenario,) = as_data(report(LOST))["scenarios"]
    assert scenario["outageMs"] is None
    assert scenario["typical"]["outageMs"] is None
    nobody = scenario["endings"][0]["nobody"]
    assert nobody["reason"] == "NoMajority"
    assert nobody["message"]
    assert nobody["remedy"]


def test_all_of_it_is_json() -> None:
    found = as_data(report((CRASH,), LOST))
    assert json.loads(json.dumps(found)) == found
