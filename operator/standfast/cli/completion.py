"""Completion in the shell: of `kubectl standfast` by kubectl itself, of the program by the shell.

kubectl (1.26 and later) asks an executable named `kubectl_complete-standfast` on the PATH, with
the words typed so far, the last one unfinished; it wants one completion per line and a last line
with a directive. Names of clusters and nodes come from the API server; one that does not answer
completes nothing.
"""

import sys
from collections.abc import Sequence

import click
from click.shell_completion import ShellComplete, get_completion_class

from standfast.cli import options

_PROGRAM = "kubectl-standfast"
_VARIABLE = "_KUBECTL_STANDFAST_COMPLETE"
_NO_FILES, _FILES = 4, 0
"""Directives of kubectl: offer files too, or not."""


@click.command(
    cls=options.Command,
    short_help="Print the completion script of a shell.",
    examples=(
        ("For this shell, of the program itself", "completion bash > /tmp/c && source /tmp/c"),
        ("For kubectl, nothing is needed: kubectl_complete-standfast is installed", "--help"),
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a script that completes `kubectl-standfast` in SHELL.

    `kubectl standfast` is completed by kubectl's own completion, through the program
    kubectl_complete-standfast that is installed beside this one.
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows the three"
    root = click.get_current_context().find_root().command
    click.echo(found(root, {}, _PROGRAM, _VARIABLE).source())


def answers(command: click.Command, words: Sequence[str]) -> list[str]:
    """Return what kubectl wants to hear about these words, the last one unfinished."""
    *done, begun = words or [""]
    found = ShellComplete(command, {}, _PROGRAM, _VARIABLE).get_completions(list(done), begun)
    plain = [item for item in found if item.type == "plain"]
    lines = [f"{item.value}\t{item.help}" if item.help else str(item.value) for item in plain]
    is_path = any(item.type in {"file", "dir"} for item in found)
    return [*lines, f":{_FILES if is_path else _NO_FILES}"]


def main() -> None:
    """Entry point of `kubectl_complete-standfast`."""
    from standfast.cli.main import commands

    for line in answers(commands, sys.argv[1:]):
        click.echo(line)
