"""What can be verified before it is needed."""

from datetime import timedelta

import pytest
from tests.unit.api import statuses
from tests.unit.cli import screens

from standfast.api.base import LocalRef
from standfast.api.cluster import HACluster
from standfast.api.resource import HAResource
from standfast.api.scalars import Truth
from standfast.cli import checks
from standfast.cli.checks import Finding, Level


def found(findings: list[Finding], what: str) -> Finding:
    return next(each for each in findings if each.what == what)


def declared(cluster: HACluster, resources: list[HAResource] | None = None) -> list[Finding]:
    wanted = screens.resources() if resources is None else resources
    infrastructure = cluster.spec.infrastructure_ref
    assert infrastructure is not None
    witnesses = [ref.name for ref in screens.cluster().spec.witnesses]
    return checks.declared(cluster, wanted, witnesses, [infrastructure.name])


def test_the_example_holds_together() -> None:
    assert not checks.has_failed(declared(screens.cluster()))


def test_what_is_named_must_exist() -> None:
    cluster = screens.cluster(witnesses=(LocalRef(name="nobody"),))
    finding = found(declared(cluster), "references")
    assert finding.level is Level.FAILED
    assert "Witness nobody does not exist" in finding.message


@pytest.mark.parametrize(
    ("witnesses", "level"), [(0, Level.FAILED), (1, Level.OK), (2, Level.WARNING)]
)
def test_votes_are_counted(witnesses: int, level: Level) -> None:
    cluster = screens.cluster(witnesses=tuple(LocalRef(name=f"w{n}") for n in range(witnesses)))
    assert found(declared(cluster), "votes").level is level


def test_order_and_targets_are_checked_across_objects() -> None:
    web, vip = screens.resources()
    loop = [LocalRef(name=vip.metadata.name)]
    circle = web.model_copy(update={"spec": web.spec.model_copy(update={"depends_on": loop})})
    back = [LocalRef(name=web.metadata.name)]
    vip = vip.model_copy(update={"spec": vip.spec.model_copy(update={"depends_on": back})})
    assert "circle" in found(declared(screens.cluster(), [circle, vip]), "order").message
    assert "depends on web" in found(declared(screens.cluster(), [vip]), "order").message
    twin = web.model_copy(update={"metadata": web.metadata.model_copy(update={"name": "twin"})})
    assert found(declared(screens.cluster(), [web, twin]), "targets").level is Level.FAILED
    assert found(declared(screens.cluster(), []), "order").level is Level.WARNING


def test_a_running_cluster_is_judged_by_what_was_measured() -> None:
    cluster = screens.cluster(statuses.CLUSTER)
    findings = checks.running(cluster, [], [], screens.NOW)
    for held in statuses.CLUSTER.conditions:
        if held.type == "Ready":
            assert found(findings, "Ready").level is Level.OK
    bare = screens.cluster(
        statuses.CLUSTER.model_copy(update={"conditions": (), "nodes": (), "witnesses": ()})
    )
    nothing = checks.running(bare, [], [], screens.NOW)
    assert found(nothing, "Ready").level is Level.UNKNOWN, "what nobody judged is not good"
    assert checks.has_failed(nothing)


def test_a_spec_that_nobody_has_looked_at_fails_at_once() -> None:
    (finding,) = checks.running(screens.cluster(), [], [], screens.NOW)
    assert (finding.level, finding.what) == (Level.FAILED, "operator")


def test_certificates_that_end_soon_fail_and_versions_that_differ_warn() -> None:
    first, *others = statuses.CLUSTER.nodes
    nodes = (
        first.model_copy(
            update={
                "certificate_not_after": screens.NOW + timedelta(days=2),
                "agent_version": "0.0.9",
            }
        ),
        *others,
    )
    status = statuses.CLUSTER.model_copy(update={"nodes": nodes})
    findings = checks.running(screens.cluster(status), [], [], screens.NOW)
    assert found(findings, "certificates").level is Level.FAILED
    assert found(findings, "versions").level is Level.WARNING


def test_a_path_that_is_down_is_named() -> None:
    first, *others = statuses.CLUSTER.nodes
    down = tuple(path.model_copy(update={"up": Truth.FALSE}) for path in first.paths[:1])
    assert down, "the example has paths"
    status = statuses.CLUSTER.model_copy(
        update={"nodes": (first.model_copy(update={"paths": down}), *others)}
    )
    finding = checks.running(screens.cluster(status), [], [], screens.NOW)
    said = [each.message for each in finding if each.what == "paths"]
    assert any(down[0].address in message for message in said)
