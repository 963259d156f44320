"""What is to be said when a directed run is over: who has it, by which proof, or why nobody.

The words are the product's own: `core.placement` and `core.explain` are asked about the simulated
cluster as they would be about a real one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from standfast.core import explain
from standfast.core.placement import not_ready, plan
from standfast.core.reasons import Reason
from standfast.core.view import MemberSeen, Observed, Role
from standfast.simulator.scenario import Why
from standfast.simulator.seen import hears, observed

if TYPE_CHECKING:
    from standfast.simulator.directed import DirectedWorld


def picture(stage: "DirectedWorld") -> Observed:
    """What is so, with nobody's ignorance: silent members are known to be silent.

    A candidacy of this very moment is not told apart from standing by: it is no cause of anything.
    """
    steward = stage.steward
    seen = observed(stage, steward.name, steward.vms)
    members = tuple(
        replace(member, role=Role.STANDBY) if member.role is Role.CANDIDATE else member
        for member in seen.members
    )
    return replace(seen, members=members, fence_error=steward.fence_error)


def why_nobody(stage: "DirectedWorld") -> Why:
    """Why nobody serves now."""
    want = replace(stage.case.want, paused=False)
    seen = picture(stage)
    if seen.active is not None:
        claim = explain.ready(want, seen)
        return Why(claim.reason, claim.message, claim.remedy)
    if seen.winner is None:
        apart = _no_majority(stage)
        if apart is not None:
            return apart
    decision = plan(want, seen)
    message = decision.message
    if seen.winner is None:
        nodes = [seen.member(node.name) for node in want.nodes]
        message = "; ".join([message, *_causes(stage, nodes)])
    elif seen.fence_error and seen.fence_error not in message:
        message = f"{message}: {seen.fence_error}"
    else:
        failing = [f"{r.name}: {r.message}" for r in seen.winner.resources if r.message]
        message = "; ".join([message, *failing])
    return Why(decision.reason, message, decision.remedy)


def why_not_begun(stage: "DirectedWorld") -> Why:
    """Why the cluster did not even come into service before the first fault."""
    seen = picture(stage)
    why = Why(Reason.NOT_CONVERGED, explain.protected(stage.case.want, seen).message)
    if seen.active is None:
        why = why_nobody(stage)
    return replace(why, message=f"the cluster never came into full service: {why.message}")


def _causes(stage: "DirectedWorld", nodes: list[MemberSeen | None]) -> list[str]:
    want = stage.case.want
    return [why for m in nodes if m is not None and (why := not_ready(want, m)) is not None]


def _no_majority(stage: "DirectedWorld") -> Why | None:
    """No node that lives reaches enough voters, itself included."""
    want = stage.case.want
    total = len(want.nodes) + len(want.witnesses)
    reached: Mapping[str, list[str]] = {
        machine.name: [
            other.name
            for other in stage.machines.values()
            if other is machine
            or (hears(stage, machine.name, other) and hears(stage, other.name, machine))
        ]
        for machine in stage.nodes
        if machine.runs and machine.process.alive
    }
    if any(len(names) >= want.majority for names in reached.values()):
        return None
    if not reached:
        return Why(Reason.NO_ACTIVE_NODE, "no node is left", "bring a node back")
    said = "; ".join(
        f"{name} reaches {_listed([n for n in names if n != name])}"
        for name, names in reached.items()
    )
    return Why(
        Reason.NO_MAJORITY,
        f"{said}: with itself that is no majority of {total} voters, {want.majority} are needed, "
        "and no proof replaces a vote",
        "create a Witness at a third place and list it in spec.witnesses"
        if total % 2 == 0
        else "bring nodes or witnesses back",
    )


def _listed(names: list[str]) -> str:
    return " and ".join(names) if names else "nobody"


def protection(stage: "DirectedWorld") -> str:
    """What would be claimed of the next failure: the message of the condition `Protected`."""
    return explain.protected(stage.case.want, picture(stage)).message
