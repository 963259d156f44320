"""What the guard knows, as it answers, keeps and publishes it: JSON both ways.

The same form serves the answer to `Ask`, the state that survives the guard's own restart
(`state_file`) and `guard.json` for people. Standard library only.
"""

from dataclasses import dataclass

from standfast.guard.protocol import (
    MalformedError,
    Outcome,
    Stage,
    Target,
    integer,
    read_targets,
    target_fields,
    text,
    texts,
)


@dataclass(frozen=True, slots=True)
class LeaseStatus:
    """One lease.

    Attributes:
        term: Newest term it was armed for.
        ended_term: No lease of this term or an older one is taken up again.
        until_ms: The deadline, CLOCK_BOOTTIME; counts while armed.
        outcome: What was done the last time, while that was not followed by another term.
    """

    lease: str
    term: int
    ended_term: int
    stage: Stage
    until_ms: int
    targets: tuple[Target, ...] = ()
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class WatchdogStatus:
    """The watchdog device.

    Attributes:
        identity: What its driver calls itself.
        timeout_ms: The machine resets this long after the last feeding.
        armed: It is open and is being fed.
        tested: Moment of the last test on this machine that reset it, RFC 3339; "" for never.
    """

    device: str
    identity: str = ""
    timeout_ms: int = 0
    armed: bool = False
    tested: str = ""


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """The guard.

    Attributes:
        protocol: The version it speaks.
        started_ms: When it started, CLOCK_BOOTTIME.
        locked: Its memory cannot be paged out.
        realtime: It runs before every normal process.
        spared: The kernel does not kill it when memory runs out.
        clock: Name of the hypervisor's clock that it reads beside the kernel's; "" for none.
        leaving: It was told to stop, and takes no extension any more.
        watchdog: As configured; none when it is not.
        troubles: What is the matter, as sentences.
    """

    pid: int
    boot: str
    protocol: int
    started_ms: int
    locked: bool
    realtime: bool
    spared: bool
    clock: str = ""
    leaving: bool = False
    watchdog: WatchdogStatus | None = None
    leases: tuple[LeaseStatus, ...] = ()
    troubles: tuple[str, ...] = ()


def outcome_fields(outcome: Outcome) -> dict[str, object]:
    """An outcome as JSON fields."""
    return {
        "term": outcome.term,
        "dueMs": outcome.due_ms,
        "lateUs": outcome.late_us,
        "addressesUs": outcome.addresses_us,
        "cgroupsUs": outcome.cgroups_us,
        "mountsUs": outcome.mounts_us,
        "verifiedUs": outcome.verified_us,
        "left": list(outcome.left),
        "problems": list(outcome.problems),
        "again": outcome.again,
    }


def read_outcome(row: object) -> Outcome | None:
    """An outcome from JSON, or none; raises MalformedError."""
    if row is None:
        return None
    fields = _object(row)
    verified = fields.get("verifiedUs")
    return Outcome(
        term=integer(fields, "term"),
        due_ms=integer(fields, "dueMs"),
        late_us=integer(fields, "lateUs"),
        addresses_us=integer(fields, "addressesUs"),
        cgroups_us=integer(fields, "cgroupsUs"),
        mounts_us=integer(fields, "mountsUs"),
        verified_us=None if verified is None else integer(fields, "verifiedUs"),
        left=texts(fields.get("left")),
        problems=texts(fields.get("problems")),
        again=integer(fields, "again"),
    )


def lease_fields(lease: LeaseStatus) -> dict[str, object]:
    """A lease as JSON fields."""
    return {
        "lease": lease.lease,
        "term": lease.term,
        "endedTerm": lease.ended_term,
        "stage": lease.stage.value,
        "untilMs": lease.until_ms,
        "targets": [target_fields(target) for target in lease.targets],
        "outcome": None if lease.outcome is None else outcome_fields(lease.outcome),
    }


def read_lease(row: object) -> LeaseStatus:
    """A lease from JSON; raises MalformedError."""
    fields = _object(row)
    try:
        stage = Stage(fields.get("stage"))
    except ValueError as error:
        raise MalformedError(f"{error}") from error
    return LeaseStatus(
        lease=text(fields, "lease"),
        term=integer(fields, "term"),
        ended_term=integer(fields, "endedTerm"),
        stage=stage,
        until_ms=integer(fields, "untilMs"),
        targets=read_targets(fields.get("targets")),
        outcome=read_outcome(fields.get("outcome")),
    )


def status_fields(status: GuardStatus) -> dict[str, object]:
    """The guard's status as JSON fields."""
    watchdog = status.watchdog
    return {
        "pid": status.pid,
        "boot": status.boot,
        "protocol": status.protocol,
        "startedMs": status.started_ms,
        "locked": status.locked,
        "realtime": status.realtime,
        "spared": status.spared,
        "clock": status.clock,
        "leaving": status.leaving,
        "watchdog": None
        if watchdog is None
        else {
            "device": watchdog.device,
            "identity": watchdog.identity,
            "timeoutMs": watchdog.timeout_ms,
            "armed": watchdog.armed,
            "tested": watchdog.tested,
        },
        "leases": [lease_fields(lease) for lease in status.leases],
        "troubles": list(status.troubles),
    }


def read_status(row: object) -> GuardStatus:
    """The guard's status from JSON; raises MalformedError."""
    fields = _object(row)
    leases = fields.get("leases")
    if not isinstance(leases, list):
        raise MalformedError("leases is not a list")
    return GuardStatus(
        pid=integer(fields, "pid"),
        boot=text(fields, "boot"),
        protocol=integer(fields, "protocol"),
        started_ms=integer(fields, "startedMs"),
        locked=fields.get("locked") is True,
        realtime=fields.get("realtime") is True,
        spared=fields.get("spared") is True,
        clock=text(fields, "clock"),
        leaving=fields.get("leaving") is True,
        watchdog=_read_watchdog(fields.get("watchdog")),
        leases=tuple(read_lease(lease) for lease in leases),
        troubles=texts(fields.get("troubles")),
    )


def _read_watchdog(row: object) -> WatchdogStatus | None:
    if row is None:
        return None
    fields = _object(row)
    return WatchdogStatus(
        device=text(fields, "device"),
        identity=text(fields, "identity"),
        timeout_ms=integer(fields, "timeoutMs"),
        armed=fields.get("armed") is True,
        tested=text(fields, "tested"),
    )


def _object(row: object) -> dict[str, object]:
    if not isinstance(row, dict):
        raise MalformedError("an object of the status is not an object")
    return row
