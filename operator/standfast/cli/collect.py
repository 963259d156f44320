"""`kubectl standfast collect`: a support bundle, without secrets."""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import yaml

from standfast.api.base import GROUP, VERSION
from standfast.api.cluster import HACluster
from standfast.api.kinds import KINDS
from standfast.cli import options, text
from standfast.cli.client import Api
from standfast.cli.redaction import redacted, redacted_text
from standfast.cli.render_explain import explanation
from standfast.errors import StandfastError

_LOG_LINES = 5_000
_OPERATOR = "app.kubernetes.io/name=standfast-operator"


@click.command(
    cls=options.Command,
    short_help="Gather what a helper needs, without secrets.",
    examples=(
        ("To a file in this directory", "collect web"),
        ("To a file of that name", "collect web -f web.tar.gz"),
    ),
)
@options.cluster
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="Write it here (0600)."
)
@options.connected
def collect(api: Api, cluster: str, *, file: Path | None) -> None:
    """Gather what somebody needs who is to help with CLUSTER.

    Objects of this namespace, their Events, what members say in the status, the operator's pods
    and logs where you may read them. Secrets are never read, and whatever looks like one is taken
    out: passwords, tokens, private keys. What could not be read is listed in errors.txt.
    """
    found = api.get(HACluster, cluster)
    at = datetime.now(UTC)
    path = file or Path(f"standfast-{cluster}-{at:%Y%m%dT%H%M%SZ}.tar.gz")
    content = dict(gathered(api, found, at))
    write(path, content, at)
    lines = content.get("errors.txt", "").count("\n")
    said = f"; {lines} things could not be read, see errors.txt in it" if lines else ""
    click.echo(f"{path}: {len(content)} files, without secrets{said}")


def gathered(api: Api, cluster: HACluster, at: datetime) -> Iterator[tuple[str, str]]:
    """Yield names and texts, redacted."""
    errors: list[str] = []

    def read(path: str) -> Any:
        try:
            return redacted(api.raw(path))
        except StandfastError as error:
            errors.append(error.problem)
            return None

    namespace = quote(api.namespace)
    yield (
        "about.yaml",
        _yaml(
            {
                "cluster": f"{api.namespace}/{cluster.metadata.name}",
                "collectedAt": at.isoformat(),
                "kubectlStandfast": version("standfast"),
                "kubernetes": read("/version"),
            }
        ),
    )
    shown = redacted_text(text.plain(explanation(cluster, [], at), width=100))
    yield "explain.txt", shown
    for kind in KINDS:
        listed = read(f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{kind.plural}")
        if listed is not None:
            yield f"objects/{kind.plural}.yaml", _yaml(listed)
    events = read(f"/apis/events.k8s.io/v1/namespaces/{namespace}/events?limit=500")
    if events is not None:
        kinds = {kind.name for kind in KINDS}
        items = [e for e in events["items"] if e.get("regarding", {}).get("kind") in kinds]
        yield "events.yaml", _yaml({"items": items})
    crds = read(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/haclusters.{GROUP}")
    if crds is not None:
        yield "crd-annotations.yaml", _yaml(crds.get("metadata", {}))
    yield from _operator(read)
    if errors:
        yield "errors.txt", redacted_text("".join(f"{error}\n" for error in errors))


def _operator(read: Any) -> Iterator[tuple[str, str]]:
    pods = read(f"/api/v1/pods?labelSelector={quote(_OPERATOR)}")
    if pods is None:
        return
    yield "operator/pods.yaml", _yaml(pods)
    for pod in pods["items"]:
        where, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        path = f"/api/v1/namespaces/{quote(where)}/pods/{quote(name)}/log"
        log = read(f"{path}?tailLines={_LOG_LINES}")
        if log is not None:
            said = log if isinstance(log, str) else json.dumps(log)
            yield f"operator/{name}.log", redacted_text(said)


def _yaml(data: Any) -> str:
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def write(path: Path, content: Mapping[str, str], at: datetime) -> None:
    """Write a tar archive that only its owner can read."""
    top = path.name.removesuffix(".gz").removesuffix(".tar")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(descriptor, 0o600)
        with tarfile.open(fileobj=opened, mode="w:gz") as archive:
            for name, said in content.items():
                data = said.encode()
                entry = tarfile.TarInfo(f"{top}/{name}")
                entry.size, entry.mtime, entry.mode = len(data), int(at.timestamp()), 0o600
                archive.addfile(entry, io.BytesIO(data))
