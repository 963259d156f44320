"""A simulation as data, for programs: what `-o json` and `-o yaml` print. Pure.

Field names are camelCase with their unit last, as in the API. A length of time that does not exist
(nobody ever served again) is null, never a large number.
"""

from typing import Any

from standfast.cli.render_simulate import assumptions
from standfast.cli.simulate_runs import Ending, Figures, Findings, Report
from standfast.simulator.scenario import DeclaredFault, Run, Why


def as_data(report: Report) -> dict[str, Any]:
    """The whole report."""
    want = report.case.want
    timing = want.timing
    return {
        "cluster": want.name,
        "nodes": [node.name for node in want.nodes],
        "witnesses": list(want.witnesses),
        "data": want.data.value,
        "timing": {
            "heartbeatMs": timing.heartbeat_ms,
            "ttlMs": timing.ttl_ms,
            "guardMs": timing.guard_ms,
            "driftPpm": timing.drift_ppm,
        },
        "assumed": list(assumptions(report.case)),
        "remarks": list(report.remarks),
        "seed": report.seed,
        "runs": report.runs,
        "violations": report.violations,
        "scenarios": [_scenario(found) for found in report.findings],
    }


def _scenario(found: Findings) -> dict[str, Any]:
    return {
        "faults": [_fault(fault) for fault in found.faults],
        "runs": found.runs,
        "cameBack": found.back,
        "outageMs": _figures(found.outage),
        "endings": [_ending(ending) for ending in found.endings],
        "refused": _why(found.refused),
        "dataAtRisk": {
            "runsWithLoss": found.losing,
            "lostWritesMax": found.lost_writes_max,
        },
        "bothMsMax": found.both_ms_max,
        "violations": [
            {
                "seed": run.seed,
                "promise": run.violation.promise,
                "message": run.violation.message,
            }
            for run in found.broken
            if run.violation is not None
        ],
        "worstSeed": found.worst,
        "typical": _typical(found.typical),
    }


def _fault(fault: DeclaredFault) -> dict[str, Any]:
    return {
        "atMs": fault.at_ms,
        "fault": fault.verb.value,
        "who": fault.who or None,
        "other": fault.other or None,
        "lastsMs": fault.lasts_ms,
    }


def _figures(figures: Figures | None) -> dict[str, int] | None:
    if figures is None:
        return None
    return {
        "min": figures.min_ms,
        "median": figures.median_ms,
        "p99": figures.p99_ms,
        "max": figures.max_ms,
    }


def _ending(ending: Ending) -> dict[str, Any]:
    return {
        "runs": ending.runs,
        "servedBy": ending.node,
        "tookOver": ending.moved,
        "proof": ending.proof or None,
        "nobody": _why(ending.why),
    }


def _why(why: Why | None) -> dict[str, str] | None:
    if why is None:
        return None
    return {"reason": why.reason.value, "message": why.message, "remedy": why.remedy}


def _typical(run: Run) -> dict[str, Any]:
    return {
        "seed": run.seed,
        "outageMs": run.outage_ms,
        "servedBefore": run.before,
        "servedAfter": run.after,
        "afterwards": run.afterwards,
        "timeline": [
            {"atMs": note.at_us / 1_000, "who": note.who, "text": note.text} for note in run.notes
        ],
    }
