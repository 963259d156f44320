"""The next step of a copy that is to follow: pure, from what is there and whom it follows.

Looked at from scratch each time, so that a crash within any step leads to the same end. Nothing of
the active is trusted before its identity and history were compared with the copy's. What the copy
has and the active has not is never merged and never thrown away: it is saved, then cut off.
"""

from dataclasses import dataclass
from enum import Enum

from standfast.adapters.postgresql.control import Control
from standfast.adapters.postgresql.invitation import Invitation
from standfast.adapters.postgresql.wal import History, Kin, kin, show_lsn

STALLED_MS = 10_000
"""A standby that gets nothing for so long, and whose log the active has dropped, is built anew."""
STUCK_MS = 120_000
"""A standby that does not get to take connections, and gets on with nothing, is built anew."""
APART_MS = 3000
"""So long must nothing have come to a running standby before it is believed to have gone another
way: one that is cut off for a moment, or whose active is just stopping, is left alone."""


class Running(Enum):
    """The server on this node."""

    NO = "No"
    STANDBY = "Standby"
    PRIMARY = "Primary"
    UNKNOWN = "Unknown"
    """It is there, and does not say what it is (starting, hanging)."""


class Building(Enum):
    """What was begun on the data directory and not completed."""

    NOTHING = ""
    BACKUP = "backup"
    REWIND = "rewind"
    REPLAYED = "replayed"
    """Its own log was replayed for a rewind. That ends with a checkpoint which the active has not:
    what looks like a clean stop is none, and a log of the active does not fit behind it."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What is on this node.

    Args:
        running: The server.
        version: Major version of its programs and data.
        control: None when there is no data directory, or nothing in it.
        history: Of the timeline it is on; none without data.
        position: How far it reaches for certain.
        is_starting: The server does not answer yet, and can only follow.
        is_made: It was just copied or rewound, and not started since: it carries a backup label.
        is_fresh: It has no database besides those that initdb made.
        building: An unfinished build.
        is_configured: The settings in force are those for following this active.
        is_streaming: Changes come in.
        stalled_ms: For how long none have come.
        beyond: A history of the active that this copy was seen to reach beyond, in this run.
        behind: A history of the active whose beginning was seen to be gone, in this run.
    """

    running: Running
    version: int
    control: Control | None
    history: History | None
    position: int = 0
    is_starting: bool = False
    is_made: bool = False
    is_fresh: bool = False
    building: Building = Building.NOTHING
    is_configured: bool = False
    is_streaming: bool = False
    stalled_ms: int = 0
    beyond: History | None = None
    behind: History | None = None


# ------------------------------------------------------------------ steps


@dataclass(frozen=True, slots=True)
class Stay:
    """Nothing to do; `message` says how things are."""

    message: str


@dataclass(frozen=True, slots=True)
class Configure:
    """Write the settings for following, and have the running server read them."""

    message: str


@dataclass(frozen=True, slots=True)
class StartStandby:
    """Start the server as a standby."""

    message: str


class Why(Enum):
    """What must be remembered once the server is stopped, because its files do not say it."""

    NOTHING = "Nothing"
    BEYOND = "Beyond"
    BEHIND = "Behind"


@dataclass(frozen=True, slots=True)
class StopServer:
    """Stop the standby: the next step needs its files at rest."""

    message: str
    why: Why = Why.NOTHING


@dataclass(frozen=True, slots=True)
class Rewind:
    """Save what the copy has of its own, then cut it back to where both were one."""

    message: str


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """Set aside what is there, and copy everything."""

    message: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """A person must decide."""

    message: str
    remedy: str


Step = Stay | Configure | StartStandby | StopServer | Rewind | BaseBackup | Refuse


def next_step(
    copy: Copy, active: str, invitation: Invitation | None, *, is_counted: bool = False
) -> Step:
    """What to do now.

    Args:
        copy: What is there.
        active: Name of the active node, for sentences.
        invitation: What it says; none when nothing was heard of it.
        is_counted: The record calls this copy in sync. It is not taken apart before it does not:
            until then it may be the only one left of what was acknowledged.
    """
    step = _wanted(copy, active, invitation)
    if is_counted and isinstance(step, Rewind | BaseBackup):
        return Stay(f"to be made anew once {active} no longer counts on it: {step.message}")
    return step


def _wanted(copy: Copy, active: str, invitation: Invitation | None) -> Step:
    if copy.running is Running.PRIMARY:
        return Stay("it accepts writes here without permission, and is stopped first")
    if copy.running is Running.UNKNOWN and not copy.is_starting:
        return Stay("the server is there and does not answer yet")
    if invitation is None:
        return Stay(_waiting(copy, active))
    if copy.is_starting:
        return _starting(copy, active)
    if copy.version != invitation.version:
        return Refuse(
            f"PostgreSQL {copy.version} here cannot follow PostgreSQL {invitation.version} on "
            f"{active}: a standby needs the same major version",
            f"install PostgreSQL {invitation.version} on this node",
        )
    if copy.building in {Building.BACKUP, Building.REWIND}:
        return _with_files(copy, BaseBackup(f"an unfinished {copy.building.value} is replaced"))
    if copy.control is None or copy.history is None:
        return _with_files(copy, BaseBackup(f"there are no data yet: copying those of {active}"))
    if copy.control.system != invitation.system:
        return _foreign(copy, copy.control, active, invitation)
    return _related(copy, copy.control, copy.history, active, invitation)


def is_part(copy: Copy, invitation: Invitation) -> bool:
    """Whether everything that a copy has is part of what the active has."""
    if copy.control is None or copy.history is None or copy.building is not Building.NOTHING:
        return False
    if copy.control.system != invitation.system or copy.beyond == invitation.history:
        return False
    if not copy.control.was_standby and not copy.control.is_clean:
        return False  # an active that crashed: its log goes on behind what its files tell
    return kin(copy.history, copy.position, invitation.history) in {Kin.SAME, Kin.ANCESTOR}


def _starting(copy: Copy, active: str) -> Step:
    """It replays until its data are consistent, for which it may need what the active has."""
    if not copy.is_configured:
        return Configure(f"following {active}")
    if copy.stalled_ms >= STUCK_MS:
        message = (
            f"it has replayed nothing for {copy.stalled_ms // 1000} s and takes no connections"
        )
        return StopServer(message, Why.BEHIND)
    return Stay(f"starting, to follow {active}")


def _waiting(copy: Copy, active: str) -> str:
    runs = copy.running is Running.STANDBY or copy.is_starting
    role = "a standby runs here" if runs else "nothing runs here"
    whom = f"{active} says how to follow it" if active else "another node is active"
    return f"{role}, until {whom}"


def _foreign(copy: Copy, control: Control, active: str, invitation: Invitation) -> Step:
    said = (
        f"the data here are of another database cluster (identifier {control.system}; {active} "
        f"has {invitation.system})"
    )
    if copy.is_fresh:
        step = BaseBackup(f"{said}, and hold no database: setting them aside")
        return _with_files(copy, step)
    return Refuse(
        f"{said}, and hold databases: they are not replaced without being asked",
        "move that data directory away on this node, and the agent copies the active one's",
    )


def _related(
    copy: Copy, control: Control, mine: History, active: str, invitation: Invitation
) -> Step:
    theirs = invitation.history
    relation = kin(mine, copy.position, theirs)
    if copy.behind == theirs:
        why = f"{active} no longer has the log that this copy needs"
        return _with_files(copy, BaseBackup(why))
    seems_apart = copy.running is Running.STANDBY and relation in {Kin.DIVERGED, Kin.TWIN}
    if seems_apart and (copy.is_streaming or copy.stalled_ms < APART_MS):
        return Stay(f"waiting for a connection to {active}")
    if relation is Kin.TWIN:
        return _with_files(copy, BaseBackup(f"two histories call themselves {mine.timeline}"))
    if copy.running is Running.STANDBY:
        return _running(copy, relation, active, invitation)
    if copy.is_made:
        if relation is Kin.DIVERGED:
            return BaseBackup(f"the copy was made from another history than that of {active}")
        return StartStandby(f"following {active}")
    if control.was_standby:
        if relation is Kin.DIVERGED or copy.beyond == theirs:
            return _back(control, mine, active, invitation)
        return StartStandby(f"following {active}")
    if relation is Kin.SAME:
        why = f"both this node and {active} were active on timeline {mine.timeline}"
        return BaseBackup(why)
    end = theirs.end_of(mine.timeline)
    # The log of a clean stop ends with its checkpoint: the active went on behind that, or did not.
    is_clean = control.is_clean and copy.building is not Building.REPLAYED
    has_nothing_more = is_clean and end is not None and control.checkpoint < end
    if relation is Kin.ANCESTOR and has_nothing_more:
        return StartStandby(f"following {active}, which took over all that was here")
    return _back(control, mine, active, invitation)


def _running(copy: Copy, relation: Kin, active: str, invitation: Invitation) -> Step:
    if relation is Kin.DIVERGED:
        return StopServer(
            f"this copy reaches {show_lsn(copy.position)}, beyond where {active} went its own way",
            Why.BEYOND,
        )
    if not copy.is_configured:
        return Configure(f"following {active}")
    if copy.is_streaming:
        return Stay(f"following {active}")
    if copy.stalled_ms >= STALLED_MS and copy.position < invitation.oldest:
        message = f"{active} no longer has the log that this copy needs"
        return StopServer(message, Why.BEHIND)
    return Stay(f"waiting for a connection to {active}")


def _back(control: Control, mine: History, active: str, invitation: Invitation) -> Step:
    if control.was_standby and not control.is_clean:
        return StartStandby("it is started once more, to be stopped in order")
    if not control.can_rewind:
        why = "neither checksums nor hints in the log: pg_rewind cannot repair this copy"
        return BaseBackup(why)
    if not invitation.is_rewindable:
        return Stay(f"waiting for the first checkpoint of {active}")
    return Rewind(f"what this node has of its own on timeline {mine.timeline} is cut off")


def _with_files(copy: Copy, step: BaseBackup) -> Step:
    """The files must be at rest."""
    return step if copy.running is Running.NO else StopServer(step.message)
