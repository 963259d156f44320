"""Entry point of `kubectl standfast`: the commands, and what each kind of error exits with.

Exit codes: 0 done, 1 failed or not yet, 2 wrong input, 3 refused for safety, 70 our own fault.
"""

import sys
import traceback

import click
from rich.text import Text

from standfast.cli import text
from standfast.cli.check import check
from standfast.cli.collect import collect
from standfast.cli.completion import completion
from standfast.cli.declaring import maintenance, pause, resume
from standfast.cli.enroll import enroll
from standfast.cli.explain import explain
from standfast.cli.history import history
from standfast.cli.rolling import rolling
from standfast.cli.simulate import simulate
from standfast.cli.status import status
from standfast.cli.switchover import switchover
from standfast.cli.words import attest, consent, recover, replace
from standfast.errors import StandfastError

_EXIT_BUG = 70
_EXIT_INTERRUPTED = 130


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong input, 3 refused for safety.",
)
@click.version_option(package_name="standfast", message="%(version)s")
def commands() -> None:
    """See, explain and move what Standfast keeps in service.

    It acts with your own kubeconfig and rights, and decides nothing itself.
    """


for _command in (
    status,
    explain,
    switchover,
    history,
    simulate,
    enroll,
    check,
    maintenance,
    rolling,
    pause,
    resume,
    collect,
    completion,
):
    commands.add_command(_command)


for _command in (consent, attest, recover, replace):
    commands.add_command(_command)


def main() -> None:
    """Run the command line and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code; whatever is wrong is said on standard error."""
    try:
        commands.main(arguments, prog_name="kubectl standfast", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return _EXIT_INTERRUPTED
    except StandfastError as error:
        _say(error)
        return error.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception:  # noqa: BLE001 the edge of the process
        traceback.print_exc()
        click.echo("This is a fault of kubectl-standfast; please report it.", err=True)
        return _EXIT_BUG
    return 0


def _say(error: StandfastError) -> None:
    said = text.console(sys.stderr)
    said.print(Text.assemble(("error: ", "bad"), error.problem), soft_wrap=True)
    if error.remedy:
        said.print(Text.assemble(("  fix: ", "head"), error.remedy), soft_wrap=True)
