"""What a systemd unit as a resource needs of the service manager.

Every coroutine raises `TransientError` when the service manager cannot be reached or does not
answer within a few seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class AtBoot(Enum):
    """What happens to a protected unit that systemd would start at boot by itself."""

    REFUSE = "refuse"
    """The node does not stand until somebody has disabled it."""

    DISABLE = "disable"
    """The agent disables it."""

    REPORT = "report"
    """It is reported and nothing else."""


@dataclass(frozen=True, slots=True)
class UnitState:
    """The state of a unit, in systemd's own words (`systemctl show`).

    Args:
        active: ActiveState: `active`, `reloading`, `inactive`, `failed`, `activating`,
            `deactivating`, or a word of a later version.
        sub: SubState: `running`, `exited`, `auto-restart`, `dead`, ...
    """

    active: str
    sub: str


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """What the unit is, beside its state.

    Args:
        load: LoadState: `loaded`, `not-found`, `masked`, `bad-setting`, `error`.
        load_error: Why it could not be loaded; empty when it could.
        file: UnitFileState: `enabled`, `disabled`, `static`, ...; empty when unknown.
        kind: Type= of a service; empty for other units.
        restart: Restart= of a service; empty for other units.
        remains: RemainAfterExit= of a service.
        triggered_by: Units that start this one by themselves (sockets, timers, paths).
        result: Why a service stopped last: `success`, `exit-code`, `signal`, `oom-kill`, ...
        exit_status: Exit status or number of the signal of its main process.
        control_group: Where its processes are, or will be once it starts, as in /proc/PID/cgroup;
            empty for units without processes.
    """

    state: UnitState
    load: str
    load_error: str
    file: str
    kind: str
    restart: str
    remains: bool
    triggered_by: tuple[str, ...]
    result: str
    exit_status: int
    control_group: str = ""


@dataclass(frozen=True, slots=True)
class UnitProcess:
    """One process in the unit's control group."""

    pid: int
    command: str


class Units(Protocol):
    """The service manager of this machine."""

    async def state(self, unit: str) -> UnitState:
        """Its state now; a unit that does not exist is `inactive`, `dead`."""
        ...

    async def facts(self, unit: str) -> UnitFacts:
        """Everything at once."""
        ...

    async def processes(self, unit: str) -> list[UnitProcess]:
        """The processes in its control group now, those left by an earlier run included."""
        ...

    async def disable(self, unit: str) -> None:
        """Let the service manager start it no more by itself, from the next boot on."""
        ...

    async def forget_failures(self, unit: str) -> None:
        """Let the service manager's own limit of starts count from zero."""
        ...

    async def start(self, unit: str) -> str:
        """Ask for a start, before the first `await` that waits, and wait for the job's end.

        Returns:
            How the job ended: `done`, or `failed`, `timeout`, `canceled`, `dependency`,
            `skipped`, ... Cancelling the wait leaves the job in the service manager.
        """
        ...

    async def stop(self, unit: str) -> str:
        """Ask for a stop and wait for the end of the job; as `start`."""
        ...

    async def ask_stop(self, unit: str) -> None:
        """Ask for a stop, which replaces any other job of the unit; do not wait for its end."""
        ...

    async def kill(self, unit: str) -> None:
        """Send SIGKILL to every process of the unit; fine when there is none."""
        ...

    async def follow(self, unit: str, report: Callable[[UnitState], None]) -> None:
        """Report the state now, then every change the moment its signal arrives; never returns.

        A change that a job made is reported before `start` or `stop` returns the job's end.
        Raises `TransientError` when the connection is lost.
        """
        ...
