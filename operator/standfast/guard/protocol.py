"""What agent and guard say to each other over the socket: requests, answers, one push.

A local SEQPACKET socket: one message is one datagram of JSON, the connection's end is the other
side's death. Every request carries a number and gets one answer with that number; `problem` is
empty when the request was taken. When a lease's resources are taken away, every connection is told
with a message of number 0. Moments are milliseconds of CLOCK_BOOTTIME.

An agent and a guard may be one version apart: unknown fields are ignored, an unknown request is
refused with a sentence. Standard library only, because the guard loads it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final

VERSION: Final = 1
DIRECTORY: Final = "/run/standfast"
SOCKET: Final = f"{DIRECTORY}/guard.sock"
REPORT: Final = f"{DIRECTORY}/guard.json"
BYTES_MAX: Final = 48_000
LEASES_MAX: Final = 16
TARGETS_MAX: Final = 64
TEXT_MAX: Final = 400
AHEAD_MS_MAX: Final = 3_600_000
"""A deadline further ahead is a mistake of somebody's clock or unit."""


class MalformedError(ValueError):
    """A message that does not read; the sentence says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class AddressTarget:
    """An address of this machine.

    Attributes:
        address: As text, without prefix.
        prefix: Prefix length it was added with.
        interface: Index of the interface to look at first; 0 when unknown. It is taken from every
            interface that has it.
    """

    address: str
    prefix: int
    interface: int = 0


@dataclass(frozen=True, slots=True)
class CgroupTarget:
    """All processes of a control group and those below.

    Attributes:
        path: As in /proc/PID/cgroup: `/system.slice/web.service`.
        unit: The systemd unit that owns it, which is told to stop so that `Restart=` does not
            bring it back; "" for none.
    """

    path: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class MountTarget:
    """A file system that only one node may have mounted, by its mount point."""

    path: str


Target = AddressTarget | CgroupTarget | MountTarget


@dataclass(frozen=True, slots=True)
class Ask:
    """What does the guard know? Answered with its status."""


@dataclass(frozen=True, slots=True)
class Extend:
    """The lease of `term` runs until this moment; the first one arms the guard."""

    lease: str
    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What must be gone when the lease ends, instead of what was named before."""

    lease: str
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Strike:
    """The lease of `term`, or of an older one, ends now."""

    lease: str
    term: int


@dataclass(frozen=True, slots=True)
class Disarm:
    """The lease of `term` is over, and everything of the plan was verified stopped.

    Refused while the guard still sees any of it.
    """

    lease: str
    term: int


Request = Ask | Extend | Plan | Strike | Disarm


class Stage(Enum):
    """Where a lease stands."""

    IDLE = "Idle"
    ARMED = "Armed"
    FIRED = "Fired"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done at the end of a lease. Moments count from the deadline, in microseconds.

    Attributes:
        due_ms: The deadline.
        late_us: When the guard began.
        addresses_us: When the kernel had taken the addresses away.
        cgroups_us: When all processes had been sent their end.
        mounts_us: When the unmounts had been begun.
        verified_us: When nothing was left; none as long as something is.
        left: What is left, as sentences.
        problems: What the kernel refused, as sentences.
        again: How often something had to be taken away once more.
    """

    term: int
    due_ms: int
    late_us: int
    addresses_us: int
    cgroups_us: int
    mounts_us: int
    verified_us: int | None = None
    left: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    again: int = 0


def encode(number: int, request: Request) -> bytes:
    """A request as a datagram."""
    fields: dict[str, object] = {"v": VERSION, "n": number, "do": type(request).__name__}
    match request:
        case Ask():
            pass
        case Extend(lease, term, until_ms):
            fields |= {"lease": lease, "term": term, "untilMs": until_ms}
        case Plan(lease, targets):
            fields |= {"lease": lease, "targets": [target_fields(target) for target in targets]}
        case Strike(lease, term) | Disarm(lease, term):
            fields |= {"lease": lease, "term": term}
    return dump(fields)


def decode(data: bytes) -> tuple[int, Request]:
    """A datagram as number and request.

    Raises:
        MalformedError: It does not read; `number_of` may still find its number.
    """
    fields = load(data)
    number = integer(fields, "n")
    kind = text(fields, "do")
    if kind == "Ask":
        return number, Ask()
    lease = text(fields, "lease")
    if not lease:
        raise MalformedError("lease is empty, but every lease has a name")
    match kind:
        case "Extend":
            return number, Extend(lease, integer(fields, "term"), integer(fields, "untilMs"))
        case "Plan":
            return number, Plan(lease, read_targets(fields.get("targets")))
        case "Strike":
            return number, Strike(lease, integer(fields, "term"))
        case "Disarm":
            return number, Disarm(lease, integer(fields, "term"))
        case _:
            raise MalformedError(f"this guard (protocol {VERSION}) knows no request {kind!r}")


def number_of(data: bytes) -> int:
    """The number of a request that does not read otherwise; 0 when it has none."""
    try:
        return integer(load(data), "n")
    except MalformedError:
        return 0


def target_fields(target: Target) -> dict[str, object]:
    """A target as JSON fields."""
    match target:
        case AddressTarget(address, prefix, interface):
            return {"address": address, "prefix": prefix, "interface": interface}
        case CgroupTarget(path, unit):
            return {"cgroup": path, "unit": unit}
        case MountTarget(path):
            return {"mount": path}


def read_targets(rows: object) -> tuple[Target, ...]:
    """Targets from JSON; raises MalformedError."""
    if not isinstance(rows, list):
        raise MalformedError("targets is not a list")
    if len(rows) > TARGETS_MAX:
        raise MalformedError(f"{len(rows)} targets in one plan, and {TARGETS_MAX} is the most")
    return tuple(_target(row) for row in rows)


def _target(row: object) -> Target:
    if not isinstance(row, dict):
        raise MalformedError("a target is not an object")
    if "address" in row:
        return AddressTarget(
            text(row, "address"), integer(row, "prefix"), integer(row, "interface")
        )
    if "cgroup" in row:
        return CgroupTarget(text(row, "cgroup"), text(row, "unit"))
    if "mount" in row:
        return MountTarget(text(row, "mount"))
    raise MalformedError(f"a target is one of address, cgroup, mount, and not {sorted(row)}")


def dump(fields: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(fields, separators=(",", ":")).encode()


def load(data: bytes) -> dict[str, object]:
    """A JSON object; raises MalformedError."""
    try:
        fields: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"a message that is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise MalformedError("a message that is not a JSON object")
    return fields


def integer(fields: dict[str, object], key: str) -> int:
    """A whole number from 0 to 2^62; raises MalformedError."""
    value = fields.get(key)
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise MalformedError(f"{key} is {value!r}, but must be a whole number, 0 or more")
    return value


def text(fields: dict[str, object], key: str) -> str:
    """A text of at most `TEXT_MAX` characters; raises MalformedError."""
    value = fields.get(key)
    if not isinstance(value, str) or len(value) > TEXT_MAX or not value.isprintable():
        raise MalformedError(f"{key} is not a text of at most {TEXT_MAX} printable characters")
    return value


def texts(rows: object) -> tuple[str, ...]:
    """A list of texts; raises MalformedError."""
    if not isinstance(rows, Iterable):
        raise MalformedError("a list of texts is not a list")
    return tuple(str(row) for row in rows)
