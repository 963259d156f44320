"""The state of a node's group of resources between two events.

A cell says what is physically so (`phase`), which call to the driver is under way, and what policy
remembers (failures, when to try again). What *should* be so is never stored in a cell: the rules
derive it from `want` each time, so that nothing has to be undone when the wish changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from standfast.core.group_spec import Spec
from standfast.core.record import Proof, Suspect

LOOK_MS = 2000
"""Budget of a look."""
LOOK_AGAIN_MS = 500
"""Pause after a look that could not see."""
KILL_MS = 2000
"""Budget of one kill; then it is called again, and that is reported."""
KILL_AGAIN_MS = 100
"""Pause between two kills."""
STANDBY_LOOK_MS = 5000
"""Between two looks at what must not run here (F12: a stranger is found within ten seconds)."""
RETRY_MS = 250
"""Pause before the second start in a row; it doubles with each further failure."""
RETRY_MS_MAX = 10_000
"""Longest pause between two starts of a resource that keeps failing."""
COOL_DOWN_MS = 60_000
"""How long, at least, a node that handed over does not stand while another would (F02)."""
HAND_OVER_AGAIN_MS = 10_000
"""Pause after a hand-over that was declined."""
STOP_SLACK_MS = 250
"""A driver ends its stop at its budget by itself; this much later it counts as hung."""


class Want(Enum):
    """What is wanted of the group as a whole."""

    IDLE = "Idle"
    """Not a member of a cluster yet: look, and touch nothing."""
    DOWN = "Down"
    """No permission: nothing may run."""
    KEEP = "Keep"
    """A lease of an earlier run lasts: what runs may go on, nothing may start."""
    UP = "Up"
    """Everything should run."""
    RELEASE = "Release"
    """Stop everything gracefully, then say so."""
    EMERGENCY = "Emergency"
    """Kill everything now, then say so."""


class Phase(Enum):
    """What is physically so."""

    UNKNOWN = "Unknown"
    STOPPED = "Stopped"
    FOUND = "Found"
    """Runs, but no call of this run started it."""
    STARTING = "Starting"
    RUNNING = "Running"
    STOPPING = "Stopping"
    KILLING = "Killing"


class Doing(Enum):
    """The call to the driver that is under way."""

    NOTHING = "Nothing"
    LOOK = "Look"
    CHECK = "Check"
    START = "Start"
    STOP = "Stop"
    KILL = "Kill"
    VERIFY = "Verify"
    """The look after a kill."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why it does not run although it should."""

    reason: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """One resource on this node.

    Attributes:
        spec: What the driver in place was made from, with the newest policy.
        fresh: What it is to be made from once it is stopped.
        removed: No longer declared: stop it and forget it.
        since_ms: Since when `phase` is so.
        call: Number of the call under way.
        began_ms: When that call began.
        due_ms: When it counts as hung.
        restart: Stop it, then start it again.
        checks: The newest checks since it was started, true for a failed one.
        failures: Moments of failures within the window.
        retry_at_ms: Not started before.
        fault: Newest failure, until it runs again.
        spent: Restarts in place are used up.
        abandoned: Policy says leave it failed; a change of the declaration clears it.
        kills: Kills of the ladder under way.
        ran_term: Newest term in which it ran here.
        look_at_ms: When the next look or check is due.
        obstacles: What stands in the way of starting it here; none when not known.
        message: Newest word of the driver about it.
        alarms: Reasons alarmed about and not calmed.
    """

    spec: Spec
    fresh: Spec | None = None
    removed: bool = False
    phase: Phase = Phase.UNKNOWN
    since_ms: int = 0
    doing: Doing = Doing.NOTHING
    call: int = 0
    began_ms: int = 0
    due_ms: int = 0
    restart: bool = False
    checks: tuple[bool, ...] = ()
    failures: tuple[int, ...] = ()
    retry_at_ms: int = 0
    fault: Fault | None = None
    spent: bool = False
    abandoned: bool = False
    kills: int = 0
    ran_term: int = 0
    look_at_ms: int = 0
    obstacles: tuple[str, ...] | None = None
    message: str = ""
    alarms: frozenset[str] = frozenset()

    @property
    def is_busy(self) -> bool:
        return self.doing is not Doing.NOTHING

    @property
    def failed_checks(self) -> int:
        return sum(self.checks)

    @property
    def is_here(self) -> bool:
        """Whether something of it runs, may run, or is on its way."""
        return self.phase is not Phase.STOPPED


@dataclass(frozen=True, slots=True)
class Group:
    """All resources of one cluster on this node.

    Attributes:
        generation: Of the declaration in force; none declared yet: -1.
        term: Of the permission.
        until_ms: End of the lease; nothing starts from then on.
        report_owed: `AllStopped` is to be said.
        others_eligible: Another node would stand if this one handed over.
        somebody_holds: A lease is held by somebody as far as this node knows.
        cool_until_ms: This node does not stand before, while another would.
        handing_over: A hand-over was asked for and not yet answered.
        hand_over_at_ms: Not asked for again before.
        serving_term: Newest term in which everything critical ran at once.
        calls: Numbers given out.
    """

    cells: Mapping[str, Cell] = field(default_factory=dict)
    generation: int = -1
    hindrance: str = ""
    want: Want = Want.IDLE
    term: int = 0
    until_ms: int = 0
    report_owed: bool = False
    suspects: tuple[Suspect, ...] = ()
    proofs: Mapping[Suspect, Proof] = field(default_factory=dict)
    reserved: Mapping[str, frozenset[Suspect]] = field(default_factory=dict)
    others_eligible: bool = False
    somebody_holds: bool = True
    cool_until_ms: int = 0
    cool_why: str = ""
    handing_over: bool = False
    hand_over_at_ms: int = 0
    serving_term: int = 0
    calls: int = 0
