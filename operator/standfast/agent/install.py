"""Installing agent and guard as systemd units on this machine, and taking them away again."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from standfast.adapters.linux.clock import BootClock, boot_id
from standfast.adapters.linux.deadline import DeadlineFile
from standfast.adapters.linux.lease_filter import LeaseTables
from standfast.adapters.linux.port_filter import PortTables
from standfast.agent import allowed
from standfast.agent.agent import LEASE_FILE
from standfast.agent.service import SPARE_NOTE
from standfast.agent.spare import Spare
from standfast.agent.unit import NAME, PATH, unit_text
from standfast.errors import TransientError, UserError
from standfast.guard import unit as guard

SYSTEMCTL_S = 60
VMWARE_TOOLS = Path("/etc/vmware-tools")
BACKUP_SCRIPT = VMWARE_TOOLS / "backupScripts.d/50-standfast"
"""VMware Tools runs it around a quiesced snapshot, with `freeze`, `thaw` or `freezeFail`."""
ADDRESS_OUTLIVES_MS = 1700
"""The kernel counts an address's life in whole seconds."""


def install() -> None:
    """Write the units and the host's file, enable and start. Again after an upgrade.

    A guard that runs goes over to the new program with all it knows.

    Raises:
        UserError: Not root, or no systemd.
        TransientError: systemd refused.
    """
    _need_root()
    allowed.write_default()
    own = program()
    changed = _write(guard.PATH, guard.unit_text(own.with_name("standfast-guard")))
    if _write(PATH, unit_text(own)) or changed:
        systemctl("daemon-reload")
    if is_active(guard.NAME):
        systemctl("reload", guard.NAME)
    systemctl("enable", "--now", "--no-block", guard.NAME, NAME)
    if VMWARE_TOOLS.is_dir():
        _write(BACKUP_SCRIPT, backup_script(own))
        BACKUP_SCRIPT.chmod(0o755)


def backup_script(agent: Path) -> str:
    """Announces a snapshot to the agent. It never fails: a backup without us is still a backup.

    Nothing is frozen by it, because VMware Tools freezes by itself, and refuses what is frozen.
    """
    return f"""\
#!/bin/sh
# Written by `standfast-agent install`: a snapshot of this VM is announced, so that the moment
# in which it stands still is no failover.
case "$1" in
  freeze) {agent} quiesce --for 300 ;;
  thaw|freezeFail) {agent} thaw ;;
esac
exit 0
"""


def uninstall(state: Path, run: Path, *, purge: bool) -> None:
    """Stop and remove the units; units under protection go on running, an address does not.

    The tables of the packet filter go last, when the kernel has taken the address itself: before
    that they are what ends it with the lease. With `purge` also who this node is.

    Args:
        state: The state directory.
        run: The directory of what does not outlive a boot.
        purge: Forget identity, votes and the host's file: the node must be enrolled as a new one.
    """
    _need_root()
    if is_active(guard.NAME):
        systemctl("kill", f"--signal={guard.RETIRE}", guard.NAME)
    installed = [path for path in (PATH, guard.PATH) if path.exists()]
    for path in installed:
        systemctl("disable", "--now", path.name)
        path.unlink(missing_ok=True)
    if installed:
        systemctl("daemon-reload")
    BACKUP_SCRIPT.unlink(missing_ok=True)
    Spare(run / SPARE_NOTE).relieve()
    _wait_for_the_end_of_the_lease(run)
    _clear_packet_filter()
    shutil.rmtree(run, ignore_errors=True)
    if purge:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(allowed.PATH.parent, ignore_errors=True)


def _wait_for_the_end_of_the_lease(run: Path) -> None:
    """Returns when the kernel has taken every address that lived under it."""
    last = DeadlineFile(run / LEASE_FILE).read()
    if last is None or last.boot != boot_id():
        return
    left_ms = last.until_ms + ADDRESS_OUTLIVES_MS - BootClock().now_ms()
    time.sleep(max(0, left_ms) / 1000)


def _clear_packet_filter() -> None:
    addresses, ports = LeaseTables(BootClock()), PortTables(BootClock())
    try:
        addresses.remove()
        ports.remove()
    except OSError as error:
        raise TransientError(
            f"the tables of Standfast are still in the packet filter: {error}",
            remedy="nft delete table inet standfast; nft delete table arp standfast; "
            "nft delete table inet standfast_ports",
        ) from error
    finally:
        addresses.close()
        ports.close()


def program() -> Path:
    """The command that runs now: the unit runs the same one."""
    found = Path(sys.argv[0]).resolve()
    return found if found.exists() else Path(sys.executable).with_name("standfast-agent")


def is_active(unit: str) -> bool:
    """Whether a unit runs."""
    words = ["systemctl", "is-active", "--quiet", unit]
    try:
        return subprocess.run(words, check=False, timeout=SYSTEMCTL_S).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def _write(path: Path, text: str) -> bool:
    """Write a unit file; says whether it was another one before."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)
    return True


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
