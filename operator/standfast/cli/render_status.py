"""A cluster on one screen, and all clusters as a table. Pure: objects in, renderables out."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from standfast.api.cluster import HACluster
from standfast.api.cluster_status import HAClusterStatus, MemberStatus
from standfast.api.conditions import ConditionType, find_condition
from standfast.api.resource import HAResource
from standfast.api.scalars import Truth
from standfast.cli import text

_BAD_WHEN_TRUE = {ConditionType.DEGRADED, ConditionType.STALLED}


def clusters_table(clusters: Sequence[HACluster], now: datetime, *, wide: bool) -> RenderableType:
    """Return one line for each cluster.

    Args:
        clusters: In the order they are shown.
        now: For ages.
        wide: Whether they come from several namespaces, which are shown then.
    """
    titles = ("NAME", "ACTIVE", "READY", "PROTECTED", "STANDBYS", "WITNESS", "AGE")
    table = text.columns(*(("NAMESPACE", *titles) if wide else titles))
    for cluster in clusters:
        status = cluster.status
        namespace, name = cluster.key
        row: list[RenderableType] = [
            name,
            text.word(status.active),
            text.word(_truth(status, ConditionType.READY)),
            text.word(_truth(status, ConditionType.PROTECTED)),
            text.word(status.standbys),
            text.word(status.witness),
            text.age(cluster.metadata.creation_timestamp, now),
        ]
        table.add_row(*((namespace, *row) if wide else row))
    return table


def cluster_screen(
    cluster: HACluster, resources: Sequence[HAResource], now: datetime
) -> RenderableType:
    """Return everything about one cluster that fits one screen.

    Args:
        cluster: As the API server has it.
        resources: Its resources.
        now: For ages.
    """
    status = cluster.status
    parts: list[RenderableType] = [_headline(cluster), ""]
    if status.observed_generation < cluster.metadata.generation:
        parts += [_not_looked_at(cluster), ""]
    if status.conditions:
        parts += [_conditions(status, now), ""]
    parts += [_nodes(cluster), ""]
    if cluster.spec.witnesses:
        parts += [_witnesses(cluster), ""]
    paths = _paths(status)
    if paths.row_count:
        parts += [paths, ""]
    if resources:
        parts += [_resources(status, resources), ""]
    parts += _facts(status, now)
    parts += _notes(status)
    while parts and parts[-1] == "":
        parts.pop()
    return Group(*parts)


def _truth(status: HAClusterStatus, kind: ConditionType) -> str | None:
    found = find_condition(status.conditions, kind)
    return found.status.value if found else None


def _headline(cluster: HACluster) -> Text:
    status = cluster.status
    namespace, name = cluster.key
    line = Text.assemble((name, "name"), (f" in {namespace}", "quiet"))
    if status.active:
        line.append_text(Text.assemble("   active: ", (status.active, "good")))
    elif status.observed_generation >= 0:
        line.append("   nobody is active", style="bad")
    if status.term is not None:
        line.append(f"   term {status.term}")
    line.append(f"   data: {cluster.spec.data.value}")
    if cluster.spec.paused:
        line.append("   paused", style="warn")
    return line


def _not_looked_at(cluster: HACluster) -> Text:
    if cluster.status.observed_generation < 0:
        return Text("The operator has not looked at this cluster yet.", style="warn")
    return Text("The operator has not seen the last change of spec yet.", style="warn")


def _conditions(status: HAClusterStatus, now: datetime) -> Table:
    table = text.columns("CONDITION", "STATUS", "SINCE", "WHY", folding=frozenset({"WHY"}))
    for held in status.conditions:
        shown = text.word(held.status.value)
        if held.type in _BAD_WHEN_TRUE:
            shown.stylize("bad" if held.status is Truth.TRUE else "good")
        said = held.message or held.reason
        table.add_row(held.type, shown, text.age(held.last_transition_time, now), said)
    return table


def _nodes(cluster: HACluster) -> Table:
    seen = {node.name: node for node in cluster.status.nodes}
    table = text.columns("NODE", "ROLE", "REACHABLE", "ELIGIBLE", "POWER", "HOST", "AGENT")
    turn = cluster.status.rolling
    out = turn.out if turn is not None and cluster.spec.rolling is not None else frozenset()
    for node in cluster.spec.nodes:
        found = seen.get(node.name)
        if found is None:
            table.add_row(node.name, *(text.word("unknown") for _ in range(4)), "-", "-")
            continue
        name = Text(node.name)
        if node.name in out:
            name.append(" (rolling)", style="warn")
        elif node.maintenance:
            name.append(" (maintenance)", style="warn")
        table.add_row(
            name,
            _role(found),
            text.claim(found.reachable.value),
            text.claim(found.eligible.value),
            text.word(found.power_state.value),
            text.word(found.host),
            text.word(found.agent_version),
        )
    return table


def _witnesses(cluster: HACluster) -> Table:
    seen = {witness.name: witness for witness in cluster.status.witnesses}
    table = text.columns("WITNESS", "REACHABLE", "VERSION")
    for witness in cluster.spec.witnesses:
        found = seen.get(witness.name)
        table.add_row(
            witness.name,
            text.claim(found.reachable.value if found else "Unknown"),
            text.word(found.agent_version if found else None),
        )
    return table


def _role(member: MemberStatus) -> Text:
    if member.enrolment.value == "Waiting":
        return Text("not enrolled", style="warn")
    return text.word(member.role.value)


def _paths(status: HAClusterStatus) -> Table:
    table = text.columns("PATH", "ADDRESS", "STATE")
    for member in (*status.nodes, *status.witnesses):
        for path in member.paths:
            state = {"True": "up", "False": "down"}.get(path.up.value, "unknown")
            table.add_row(f"{member.name} to {path.peer}", path.address, text.word(state))
    return table


def _resources(status: HAClusterStatus, resources: Sequence[HAResource]) -> Table:
    nodes = [node.name for node in status.nodes]
    states = {
        (node.name, resource.name): resource.state.value
        for node in status.nodes
        for resource in node.resources
    }
    table = text.columns("RESOURCE", "TYPE", "TARGET", *(f"ON {name.upper()}" for name in nodes))
    for resource in resources:
        name = resource.metadata.name
        failed = {node.node: node.failed_checks for node in resource.status.nodes}
        shown = (_state(states.get((node, name)), failed.get(node, 0)) for node in nodes)
        table.add_row(name, resource.spec.type, resource.spec.target, *shown)
    return table


def _state(state: str | None, failed_checks: int) -> Text:
    """What a resource does on a node; and that its checks flap, which no state shows."""
    word = text.word(state)
    if failed_checks:
        checks = "check" if failed_checks == 1 else "checks"
        word.append(f" ({failed_checks} failed {checks})", style="warn")
    return word


def _facts(status: HAClusterStatus, now: datetime) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    if status.proofs:
        listed = (
            f"{p.proof.value} ({text.length(p.expected_ms)})"
            if p.expected_ms is not None
            else p.proof.value
            for p in status.proofs
            if p.available is Truth.TRUE
        )
        grid.add_row(Text("Proofs", style="head"), ", ".join(listed) or "none could be obtained")
    if status.timing:
        timing = status.timing
        expected = text.length(timing.expected_failover_ms)
        measured = text.length(timing.measured_failover_ms)
        grid.add_row(
            Text("Timing", style="head"),
            f"{timing.profile}: failover expected in {expected}, last measured {measured}",
        )
    moved = status.last_failover
    if moved:
        kind = "switchover" if moved.planned else "failover"
        route = f"{moved.from_ or 'nobody'} to {moved.to}"
        grid.add_row(
            Text("Last moved", style="head"),
            f"{text.age(moved.time, now)} ago by {kind}, {route}, in {text.length(moved.took_ms)}",
        )
    turn = status.rolling
    if turn:
        grid.add_row(Text("Rolling", style="head"), f"{turn.name}: {turn.message}")
        if turn.remedy:
            grid.add_row("", f"fix: {turn.remedy}")
    if status.decision:
        decision = status.decision
        grid.add_row(Text("Now", style="head"), decision.message or decision.reason)
        if decision.remedy:
            grid.add_row("", f"fix: {decision.remedy}")
    return [grid, ""] if grid.row_count else []


def _notes(status: HAClusterStatus) -> list[RenderableType]:
    """What stays wrong at members until somebody changes it, each with its remedy."""
    notes: list[RenderableType] = []
    for member in (*status.nodes, *status.witnesses):
        for alert in member.alerts:
            line = Text.assemble((f"{member.name}: ", "warn"), alert.message)
            if alert.remedy:
                line.append(f"\n  fix: {alert.remedy}")
            notes.append(line)
    for node in status.nodes:
        notes += [
            Text.assemble((f"{node.name} cannot be active: ", "warn"), reason)
            for reason in node.ineligible_reasons
        ]
    return notes
