"""Arguments and options that every command takes, as kubectl's users know them."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem
from typing_extensions import override

from standfast.api.cluster import HACluster
from standfast.cli.client import Api, Where
from standfast.errors import StandfastError

R = TypeVar("R")

PROGRAM = "kubectl standfast"
EXIT_CODES = (
    (0, "done"),
    (1, "failed, or not yet"),
    (2, "wrong input"),
    (3, "refused for safety; nothing was touched"),
)


class Command(click.Command):
    """A command whose help ends with examples and exit codes, as a manual page does.

    Args:
        examples: What for, and what to type after `kubectl standfast`.
    """

    def __init__(
        self, *args: Any, examples: Sequence[tuple[str, str]] = (), **keywords: Any
    ) -> None:
        super().__init__(*args, **keywords)
        self.examples = tuple(examples)

    @override
    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for what, typed in self.examples:
                    formatter.write(f"  # {what}\n  {PROGRAM} {typed}\n")
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), said) for code, said in EXIT_CODES])


def _where(ctx: click.Context) -> Where:
    given = ctx.params
    return Where(given.get("namespace"), given.get("context"), given.get("kubeconfig"))


def _clusters(ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    try:
        found = Api(_where(ctx)).all_of(HACluster)
    except StandfastError:
        return []
    names = (each.metadata.name for each in found)
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def _nodes(ctx: click.Context, _param: click.Parameter, begun: str) -> list[CompletionItem]:
    name = ctx.params.get("cluster")
    try:
        found = Api(_where(ctx)).get(HACluster, name) if name else None
    except StandfastError:
        return []
    names = (node.name for node in found.spec.nodes) if found is not None else iter(())
    return [CompletionItem(name) for name in names if name.startswith(begun)]


cluster = click.argument("cluster", shell_complete=_clusters)
"""The argument CLUSTER; the shell completes the names there are."""

cluster_or_none = click.argument("cluster", required=False, shell_complete=_clusters)
"""The same, where it may be absent."""

node = click.argument("node", shell_complete=_nodes)
"""The argument NODE, of the cluster named before."""

complete_node = _nodes
"""For an option that names a node."""


Connect = Callable[[], Api]
"""Connects when it is called: for commands that may not need an API server."""


def connected_later(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command -n, --context and --kubeconfig, and how to connect if it has to."""

    @click.option("-n", "--namespace", help="Namespace; the context's when absent.")
    @click.option("--context", help="Context of the kubeconfig; the current one when absent.")
    @click.option(
        "--kubeconfig",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Kubeconfig file; $KUBECONFIG or ~/.kube/config when absent.",
    )
    @functools.wraps(command)
    def with_connect(
        *,
        namespace: str | None,
        context: str | None,
        kubeconfig: Path | None,
        **arguments: Any,
    ) -> R:
        return command(lambda: Api(Where(namespace, context, kubeconfig)), **arguments)

    return with_connect


def connected(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command -n, --context and --kubeconfig, and the API server they lead to."""

    @functools.wraps(command)
    def with_api(connect: Connect, **arguments: Any) -> R:
        return command(connect(), **arguments)

    return connected_later(with_api)


output = click.option(
    "-o",
    "--output",
    type=click.Choice(["json", "yaml"]),
    help="Data instead of text, for programs.",
)
"""The option -o."""
