"""What happens to a node's group of resources, and what it wants done: two closed unions.

Driver calls carry a number. Results of a call that was cancelled or overtaken are ignored by it.
The shell runs one call per resource at a time, except that `Kill` begins at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from standfast.core.group_spec import Spec
from standfast.core.record import Proof, Suspect


class Seen(Enum):
    """Is the resource here? UNKNOWN is not a polite STOPPED."""

    STOPPED = "Stopped"
    RUNNING = "Running"
    UNKNOWN = "Unknown"


class Verdict(Enum):
    """What a check says; one that could not be made is UNKNOWN and fails nothing."""

    UP = "Up"
    DOWN = "Down"
    """It does not answer as it should: counts as one failed check."""
    GONE = "Gone"
    """It is not there any more, which no second look would deny: counts at once."""
    UNKNOWN = "Unknown"


class Turned(Enum):
    """What a signal says happened by itself."""

    DIED = "Died"
    APPEARED = "Appeared"
    UNSURE = "Unsure"
    """Signals were or may have been missed: look."""


# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed. Due at `group.wake_at_ms`, harmless at any other time."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The whole group, as the operator declares it.

    Attributes:
        generation: Of the declaration; an older one changes nothing.
        hindrance: Why the operator wants this node not to stand, or "".
    """

    generation: int
    specs: tuple[Spec, ...]
    hindrance: str = ""


@dataclass(frozen=True, slots=True)
class Permitted:
    """The lease is held and its first record committed: everything may run until `until_ms`."""

    term: int
    until_ms: int
    suspects: tuple[Suspect, ...] = ()


@dataclass(frozen=True, slots=True)
class Adopted:
    """An earlier run of this process held a lease that lasts until `until_ms`.

    What runs may go on, nothing may start.
    """

    term: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Extended:
    """The end of the lease moved."""

    until_ms: int


@dataclass(frozen=True, slots=True)
class ProofsChanged:
    """The suspects of the record in force, and the proofs held against them.

    Attributes:
        reserved: By disk: suspects that its storage shuts out.
    """

    suspects: tuple[Suspect, ...]
    proofs: Mapping[Suspect, Proof] = field(default_factory=dict)
    reserved: Mapping[str, frozenset[Suspect]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StopAll:
    """Stop everything and say when that is verified. An emergency kills at once."""

    emergency: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The planned stop is called off: start again what was stopped."""


@dataclass(frozen=True, slots=True)
class OthersChanged:
    """Whether another node would stand if this one handed over."""

    eligible: bool
    somebody_holds: bool = True


@dataclass(frozen=True, slots=True)
class Forgiven:
    """A person or the operator wants this node to stand in spite of its cool-down."""


@dataclass(frozen=True, slots=True)
class HandOverDeclined:
    """The hand-over that was asked for does not take place."""

    message: str


@dataclass(frozen=True, slots=True)
class Looked:
    """A look came back.

    Attributes:
        obstacles: What stands in the way of starting it here; none when that was not asked.
    """

    name: str
    call: int
    seen: Seen
    message: str
    obstacles: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """A check came back."""

    name: str
    call: int
    verdict: Verdict
    message: str


@dataclass(frozen=True, slots=True)
class Started:
    """A start came back: it runs."""

    name: str
    call: int


@dataclass(frozen=True, slots=True)
class StartFailed:
    """A start came back without success; the resource may be half up.

    Attributes:
        lasting: A person must change something first.
    """

    name: str
    call: int
    message: str
    remedy: str = ""
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class StopEnded:
    """A graceful stop or a kill came back; `problem` says why it is not verified stopped."""

    name: str
    call: int
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """Something happened to a resource by itself."""

    name: str
    turned: Turned
    message: str


GroupEvent = (
    Tick
    | Declared
    | Permitted
    | Adopted
    | Extended
    | ProofsChanged
    | StopAll
    | Resumed
    | OthersChanged
    | Forgiven
    | HandOverDeclined
    | Looked
    | Checked
    | Started
    | StartFailed
    | StopEnded
    | Changed
)

# ------------------------------------------------------------------ effects


@dataclass(frozen=True, slots=True)
class Make:
    """Make the driver of this resource, in place of one of the same name; nothing is running."""

    spec: Spec


@dataclass(frozen=True, slots=True)
class Drop:
    """The resource is verified stopped and no longer declared: close its driver."""

    name: str


@dataclass(frozen=True, slots=True)
class Look:
    """Probe it; with `ready` also ask what stands in the way of a start."""

    name: str
    call: int
    ready: bool


@dataclass(frozen=True, slots=True)
class Check:
    """Ask whether it is well."""

    name: str
    call: int


@dataclass(frozen=True, slots=True)
class Start:
    """Start it, or adopt it when it runs."""

    name: str
    call: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop it gracefully."""

    name: str
    call: int
    budget_ms: int


@dataclass(frozen=True, slots=True)
class Kill:
    """Take it away now, without waiting for any other call to unwind."""

    name: str
    call: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """Give a call up; its result no longer matters."""

    name: str
    call: int


@dataclass(frozen=True, slots=True)
class AllStopped:
    """Everything is stopped, and that was verified."""


@dataclass(frozen=True, slots=True)
class HandOver:
    """Release the lease to another node: this one does not get a resource to run."""

    resource: str
    message: str


@dataclass(frozen=True, slots=True)
class Serving:
    """Everything critical runs, for the first time in this term."""

    term: int


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that happened, for the log. `message` is constant, values are in `fields`."""

    kind: str
    message: str
    fields: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Alarm:
    """True from now on until `Calm` of the same resource and reason."""

    resource: str
    reason: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Calm:
    """Over."""

    resource: str
    reason: str


@dataclass(frozen=True, slots=True)
class GroupDeclined:
    """The declaration was not taken, and why; nothing changed."""

    problem: str
    remedy: str


GroupEffect = (
    Make
    | Drop
    | Look
    | Check
    | Start
    | Stop
    | Kill
    | Cancel
    | AllStopped
    | HandOver
    | Serving
    | Note
    | Alarm
    | Calm
    | GroupDeclined
)
