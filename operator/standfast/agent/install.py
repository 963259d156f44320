"""Installing the agent as a systemd unit on this machine, and taking it away again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from standfast.agent.unit import NAME, PATH, unit_text
from standfast.errors import TransientError, UserError

SYSTEMCTL_S = 60


def install() -> None:
    """Write the unit, enable it, start it. Again after an upgrade: restarts it when it changed.

    Raises:
        UserError: Not root, or no systemd.
        TransientError: systemd refused.
    """
    _need_root()
    text = unit_text(program())
    changed = not PATH.exists() or PATH.read_text() != text
    if changed:
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text(text)
        PATH.chmod(0o644)
        systemctl("daemon-reload")
    systemctl("enable", "--now", "--no-block", NAME)


def uninstall(state: Path, *, purge: bool) -> None:
    """Stop and remove the unit; with `purge` also who this node is.

    Args:
        state: The state directory.
        purge: Forget identity and votes: the node must be enrolled as a new one.
    """
    _need_root()
    if PATH.exists():
        systemctl("disable", "--now", NAME)
        PATH.unlink(missing_ok=True)
        systemctl("daemon-reload")
    if purge:
        shutil.rmtree(state, ignore_errors=True)


def program() -> Path:
    """The command that runs now: the unit runs the same one."""
    found = Path(sys.argv[0]).resolve()
    return found if found.exists() else Path(sys.executable).with_name("standfast-agent")


def systemctl(*arguments: str) -> None:
    """Ask systemd.

    Raises:
        UserError: There is no systemd.
        TransientError: It refused, with what it said.
    """
    try:
        done = subprocess.run(
            ["systemctl", *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_S,
        )
    except FileNotFoundError as error:
        raise UserError(
            "there is no systemctl on this machine, and the agent runs as a systemd service",
            remedy="install it on a machine with systemd",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"systemctl {' '.join(arguments)} did not come back within {SYSTEMCTL_S} s",
            remedy="systemctl list-jobs",
        ) from error
    if done.returncode != 0:
        raise TransientError(
            f"systemctl {' '.join(arguments)} ended with status {done.returncode}: "
            f"{(done.stderr or done.stdout).strip()}",
            remedy=f"journalctl -u {NAME} -n 50",
        )


def _need_root() -> None:
    if os.geteuid() != 0:
        raise UserError(
            "installing the agent needs root: it writes a systemd unit and runs as root",
            remedy="sudo standfast-agent install",
        )
