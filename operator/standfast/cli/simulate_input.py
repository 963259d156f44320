"""From a person's files to a case to simulate: read, admit as the API server would, translate.

The same models, rules and sentences as at admission, so that a manifest which is refused there is
refused here. Objects of other groups are passed over: a file may hold a whole application.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from standfast.api.base import GROUP, KubeObject
from standfast.api.cluster import Failback, HACluster
from standfast.api.infrastructure import Infrastructure
from standfast.api.kinds import BY_NAME
from standfast.api.parse import parse
from standfast.api.resource import HAResource
from standfast.api.scalars import duration_ms
from standfast.api.witness import Witness
from standfast.core.group_spec import Spec, Then, problems
from standfast.core.proof import Need, default_need, enough
from standfast.core.record import DataMode
from standfast.core.view import FencePolicy, Wanted, WantedNode
from standfast.errors import UserError
from standfast.simulator.scenario import Assumed, Case, Span, Thing

_SUFFIXES = (".yaml", ".yml", ".json")
_STDIN = "-"
_DECLARATIONS = ("HACluster", "HAResource", "Witness", "Infrastructure")

VIP_START = Span(105, 130)
"""An address is probed for a stranger for 100 ms before it is taken."""
VIP_STOP = Span(2, 20)
START, STOP = Span(50, 300), Span(20, 200)
"""Of everything else, unless it is said."""

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Declared:
    """What the files hold.

    Attributes:
        files: As named on the command line.
    """

    files: tuple[str, ...]
    clusters: tuple[HACluster, ...]
    resources: tuple[HAResource, ...]
    witnesses: tuple[Witness, ...]
    infrastructures: tuple[Infrastructure, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What the command line says beyond the manifests.

    Attributes:
        starts: How long starts take, by resource.
        stops: How long stops take, by resource.
    """

    starts: Mapping[str, Span]
    stops: Mapping[str, Span]


# ------------------------------------------------------------------ files


def read(names: Sequence[str]) -> Declared:
    """Read and admit files, directories and standard input (`-`).

    Raises:
        UserError: A file does not read, or an object in it would be refused.
    """
    found: list[KubeObject] = []
    for name in names:
        for file, text in _texts(name):
            for document in _documents(file, text):
                admitted = _admit(file, document)
                if admitted is not None:
                    found.append(admitted)
    return Declared(
        tuple(names),
        _of(HACluster, found),
        _of(HAResource, found),
        _of(Witness, found),
        _of(Infrastructure, found),
    )


def _of(model: type[T], found: Sequence[KubeObject]) -> tuple[T, ...]:
    return tuple(each for each in found if isinstance(each, model))


def _texts(name: str) -> Iterator[tuple[str, str]]:
    if name == _STDIN:
        yield "standard input", sys.stdin.read()
        return
    path = Path(name)
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
        if not files:
            raise UserError(
                f"directory {name} holds no {', '.join(_SUFFIXES)} file",
                remedy="-f FILE, or a directory with the manifests",
            )
    for file in files:
        try:
            yield str(file), file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or error
            raise UserError(f"{file} does not read: {said}", remedy=f"ls -l {file}") from error


def _documents(file: str, text: str) -> Iterator[Mapping[str, Any]]:
    try:
        loaded = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        said = getattr(error, "problem", None) or "it is no YAML"
        raise UserError(
            f"{file}{where}: {said}",
            remedy="templates are rendered first: helm template CHART | "
            "kubectl standfast simulate -f -",
        ) from error
    for document in loaded:
        if document is None:
            continue
        if not isinstance(document, Mapping) or "kind" not in document:
            raise UserError(
                f"{file}: a document has no kind, so it is no Kubernetes object",
                remedy="-f with the manifests of HACluster, HAResource and Witness",
            )
        if document["kind"] == "List":
            yield from document.get("items") or ()
        else:
            yield document


def _admit(file: str, document: Mapping[str, Any]) -> KubeObject | None:
    """The object, if it declares something of ours; refused as the API server would."""
    group, _, _ = str(document.get("apiVersion", "")).partition("/")
    kind = str(document.get("kind"))
    if group != GROUP or kind not in _DECLARATIONS:
        return None
    try:
        return parse(BY_NAME[kind].model, document)
    except UserError as error:
        raise UserError(error.problem, remedy=f"correct it in {file}") from error


# ------------------------------------------------------------------ one case


def choose(declared: Declared, name: str | None) -> HACluster:
    """The cluster to simulate.

    Raises:
        UserError: There is none, or it is not clear which.
    """
    names = ", ".join(sorted(cluster.metadata.name for cluster in declared.clusters)) or "none"
    chosen = [c for c in declared.clusters if name is None or c.metadata.name == name]
    if not chosen:
        wanted = "an HACluster" if name is None else f"an HACluster {name}"
        raise UserError(
            f"{' '.join(declared.files)} holds no object that is {wanted}; clusters: {names}",
            remedy="-f with the manifest of the HACluster as well",
        )
    if len(chosen) > 1:
        raise UserError(
            f"{' '.join(declared.files)} holds {len(chosen)} clusters ({names}), and one is "
            "simulated at a time",
            remedy=f"--cluster {chosen[0].metadata.name}",
        )
    return chosen[0]


def case_of(declared: Declared, cluster: HACluster, told: Told) -> Case:
    """Everything that a simulation of this cluster needs.

    Raises:
        UserError: Its timers break an inequality, or its resources cannot be one group.
    """
    want = _wanted(cluster)
    wrong = want.timing.problems()
    if wrong:
        raise UserError(
            f"HACluster {want.name}: {wrong[0]}",
            remedy="spec.timing: {profile: Normal}",
        )
    resources = _resources_of(declared, cluster)
    specs = [_spec_of(resource, want.data) for resource in resources]
    wrong = (*problems(specs), *_same_targets(resources))
    if wrong:
        raise UserError("; ".join(wrong), remedy="correct the HAResources")
    names = [spec.name for spec in specs]
    _all_known(told.starts, names, "--start-time")
    _all_known(told.stops, names, "--stop-time")
    return Case(want, tuple(_thing(spec, told) for spec in specs), Assumed())


def remarks(declared: Declared, cluster: HACluster) -> list[str]:
    """What a person should know about what was left out."""
    known = {(witness.metadata.namespace, witness.metadata.name) for witness in declared.witnesses}
    namespace = cluster.metadata.namespace
    found = [
        f"Witness {ref.name} is not among the files; it is taken to exist."
        for ref in cluster.spec.witnesses
        if (namespace, ref.name) not in known
    ]
    resting = [node.name for node in cluster.spec.nodes if node.maintenance]
    if resting:
        found.append(f"In maintenance, so never chosen: {', '.join(resting)}.")
    if cluster.spec.paused:
        found.append("It is paused: the operator only watches; the members go on by themselves.")
    return found


def _wanted(cluster: HACluster) -> Wanted:
    spec = cluster.spec
    return Wanted(
        name=cluster.metadata.name,
        nodes=tuple(WantedNode(node.name, node.maintenance) for node in spec.nodes),
        witnesses=tuple(witness.name for witness in spec.witnesses),
        data=DataMode(spec.data.value),
        timing=spec.timing.to_core(),
        fence=FencePolicy(spec.fencing.policy.value),
        failback=spec.placement.failback is not Failback.NEVER,
        power_on=spec.fencing.after_fence.value == "PowerOn",
        paused=spec.paused,
    )


def _resources_of(declared: Declared, cluster: HACluster) -> list[HAResource]:
    namespace, name = cluster.key
    found = [
        resource
        for resource in declared.resources
        if resource.spec.cluster_ref.name == name and resource.key[0] == namespace
    ]
    if not found:
        raise UserError(
            f"no HAResource in {' '.join(declared.files)} names cluster {name}, so there is "
            "nothing to keep in service",
            remedy="-f with the manifests of its HAResources as well",
        )
    return sorted(found, key=lambda resource: resource.metadata.name)


def _spec_of(resource: HAResource, data: DataMode) -> Spec:
    """As the agent makes it of what it is handed."""
    spec = resource.spec
    is_address = spec.type == "vip"
    need = Need.ADDRESS if is_address else default_need(data, exclusive=False)
    return Spec(
        name=resource.metadata.name,
        kind=spec.type,
        fingerprint=spec.target,
        depends_on=tuple(ref.name for ref in spec.depends_on),
        critical=spec.critical,
        rides_out=is_address,
        suffices=enough(need),
        start_ms=spec.start.timeout_ms,
        stop_ms=spec.stop.timeout_ms,
        check_every_ms=spec.monitor.interval_ms,
        check_ms=spec.monitor.timeout_ms,
        failures_max=spec.monitor.failure_threshold,
        checks_seen=spec.monitor.checks_seen,
        restarts=spec.on_failure.restarts,
        window_ms=spec.on_failure.window_ms,
        then=Then(spec.on_failure.then.value),
    )


def _same_targets(resources: Sequence[HAResource]) -> list[str]:
    owner: dict[tuple[str, str], str] = {}
    found: list[str] = []
    for resource in resources:
        name, spec = resource.metadata.name, resource.spec
        target = (spec.type, spec.target.partition("/")[0])
        if target in owner:
            found.append(
                f"HAResources {owner[target]} and {name} both want {spec.type} {target[1]}, but "
                "one of them would stop it under the other"
            )
        owner[target] = name
    return found


def _thing(spec: Spec, told: Told) -> Thing:
    start, stop = (VIP_START, VIP_STOP) if spec.kind == "vip" else (START, STOP)
    return Thing(spec, told.starts.get(spec.name, start), told.stops.get(spec.name, stop))


# ------------------------------------------------------------------ NAME=TIME


def spans(texts: Sequence[str], option: str) -> dict[str, Span]:
    """Lengths of time by name: `web=800ms`, or `web=500ms-2s` for anything in between.

    Raises:
        UserError: One of them does not read.
    """
    found: dict[str, Span] = {}
    for text in texts:
        name, is_given, value = text.partition("=")
        low, _, high = value.partition("-")
        try:
            span = Span(duration_ms(low), duration_ms(high or low))
        except ValueError as error:
            raise UserError(
                f"{option} {text!r}: {error}", remedy=f"{option} {name or 'NAME'}=800ms"
            ) from error
        if not (name and is_given) or span.high_ms < span.low_ms:
            raise UserError(
                f"{option} {text!r} is not NAME=TIME or NAME=SHORTEST-LONGEST",
                remedy=f"{option} NAME=500ms-2s",
            )
        found[name] = span
    return found


def _all_known(spans: Mapping[str, Span], names: Sequence[str], option: str) -> None:
    for name in spans:
        if name not in names:
            raise UserError(
                f"{option} names {name}, which is not a resource of the cluster; its resources "
                f"are {', '.join(names)}",
                remedy=f"{option} {names[0]}=800ms",
            )
