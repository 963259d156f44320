"""Options that every command takes, as kubectl's users know them."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from standfast.cli.client import Api, Where

R = TypeVar("R")


def connected(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command -n, --context and --kubeconfig, and the API server they lead to."""

    @click.option("-n", "--namespace", help="Namespace; the context's when absent.")
    @click.option("--context", help="Context of the kubeconfig; the current one when absent.")
    @click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Kubeconfig file; $KUBECONFIG or ~/.kube/config when absent.",
    )
    @functools.wraps(command)
    def with_api(
        *,
        namespace: str | None,
        context: str | None,
        kubeconfig: Path | None,
        **arguments: Any,
    ) -> R:
        return command(Api(Where(namespace, context, kubeconfig)), **arguments)

    return with_api


output = click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml"]),
    help="Data instead of text, for programs.",
)
"""The option -o."""
