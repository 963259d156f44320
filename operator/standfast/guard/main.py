"""`standfast-guard`: start, take up what an earlier run left, guard.

systemd starts it (`unit`). Loads nothing but the standard library and this package. A second guard
on the same machine is refused, because two would not know of each other's leases.
"""

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from standfast.guard import protocol, realtime, trial
from standfast.guard.addresses import Addresses
from standfast.guard.cgroups import Cgroups
from standfast.guard.connections import listen
from standfast.guard.daemon import Daemon, Parts, quiet_log
from standfast.guard.elapsed import Elapsed, boot_ns, find_device
from standfast.guard.leases import Leases
from standfast.guard.mounts import Detacher
from standfast.guard.notify import Notify
from standfast.guard.protocol import MalformedError
from standfast.guard.self_fence import SelfFence
from standfast.guard.service_manager import ServiceManager
from standfast.guard.settings import watchdog_of
from standfast.guard.state_file import Report, StateFile
from standfast.guard.status import LeaseStatus, read_lease
from standfast.guard.trial import Files

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
CONFIG = Path("/etc/standfast/agent.toml")
STATE = Path("/var/lib/standfast")
NO_WATCHDOG, ANOTHER_RUNS = 2, 3


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="standfast-guard", description=__doc__)
    parser.add_argument("--directory", type=Path, default=Path(protocol.DIRECTORY))
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument(
        "--try-watchdog", action="store_true", help="let the watchdog reset this machine, once"
    )
    chosen = parser.parse_args(arguments)
    places = Places(chosen.directory, chosen.config, Files(chosen.state))
    sys.exit(guard(places, is_trial=chosen.try_watchdog))


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are.

    Attributes:
        directory: For the socket, the state and the report; in memory.
        config: The host's file, of which the watchdog's part is read.
        trial: What a trial of the watchdog leaves behind.
    """

    directory: Path
    config: Path
    trial: Files


def guard(places: Places, *, is_trial: bool) -> int:
    """Guard this machine until told to stop, or try its watchdog.

    Returns:
        Exit status.
    """
    log = quiet_log()
    directory = places.directory
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    lock = os.open(directory / "guard.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        log(f"another guard runs on this machine: it holds {directory}/guard.lock")
        return ANOTHER_RUNS
    boot = BOOT_ID.read_text(encoding="ascii").strip()
    watchdog, troubles = watchdog_of(places.config, trial.judge(places.trial, boot))
    if is_trial:
        if watchdog is None:
            log("; ".join(troubles) or f"{places.config} names no watchdog under [watchdog]")
            return NO_WATCHDOG
        return trial.attempt(watchdog, places.trial, boot, log)
    state = StateFile(directory / "guard.state")
    report = Report(directory / Path(protocol.REPORT).name)
    clock = Elapsed(boot_ns, find_device())
    standing = realtime.harden(troubles)
    fence = SelfFence(clock.now_ns, Addresses(), Cgroups(), Detacher(), ServiceManager())
    for trouble in standing.troubles:
        log(trouble)
    parts = Parts(
        listener=listen(str(directory / Path(protocol.SOCKET).name)),
        clock=clock,
        leases=Leases(kept(state.load(), boot)),
        fence=fence,
        state=state,
        report=report,
        notify=Notify(os.environ),
        standing=standing,
        boot=boot,
        log=log,
        watchdog=watchdog,
    )
    status = Daemon(parts).run()
    os.close(lock)
    return status


def kept(body: bytes | None, boot: str) -> tuple[LeaseStatus, ...]:
    """The leases that an earlier run of this boot knew of; a lease that does not read is lost.

    Args:
        body: What the state file holds.
        boot: Id of this boot.
    """
    if body is None:
        return ()
    found: list[LeaseStatus] = []
    with contextlib.suppress(MalformedError):
        fields = protocol.load(body)
        rows = fields.get("leases")
        if fields.get("boot") == boot and isinstance(rows, list):
            found += map(read_lease, rows)
    return tuple(found)
