"""A person's own cluster and the faults declared for it: what a directed run is made of.

`plan` and `draw` make bad days by chance; here somebody says what the cluster is and what happens
to it. Called by `kubectl standfast simulate` through `directed.play`. Whatever the manifests do
not say (how long a start takes, how soon vCenter notices) stands in `Assumed`, so that it can be
shown and replaced.
"""

from dataclasses import dataclass, field
from enum import Enum
from random import Random

from typing_extensions import override

from standfast.core.group_spec import Spec
from standfast.core.reasons import Reason
from standfast.core.view import Wanted
from standfast.simulator.checkers import Violation
from standfast.simulator.plan import NetworkPlan
from standfast.simulator.world import Note

ACTIVE, STANDBY = "active", "standby"
"""Instead of a node's name: whoever that is when the fault happens."""

VCENTER, OPERATOR = "vcenter", "operator"
"""What can be lost besides a witness."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time that differs from run to run, evenly between two ends."""

    low_ms: int
    high_ms: int

    def draw_us(self, chance: Random) -> int:
        return int(1000 * (self.low_ms + chance.random() * (self.high_ms - self.low_ms)))


@dataclass(frozen=True, slots=True)
class Thing:
    """One protected resource, and how long it takes.

    Attributes:
        spec: As the agent's group knows it.
        start: From the order to start until it runs.
        stop: From the order to stop until it is verified stopped.
    """

    spec: Spec
    start: Span
    stop: Span

    @property
    def is_address(self) -> bool:
        return self.spec.kind == "vip"


@dataclass(frozen=True, slots=True)
class Assumed:
    """What the manifests do not say.

    Attributes:
        network: Between members.
        boot: From power to a running agent.
        agent: From the death of an agent to the next one.
        noticed: From the death of a process to the agent's knowing.
        vcenter: From a change of power to the operator's knowing.
        fence: From the operator's order to a proven power-off.
        operator: From a change at a member to the operator's next decision.
        silence: From the end of a member's network to the operator's knowing.
    """

    network: NetworkPlan = field(default_factory=lambda: NetworkPlan(200, 300))
    boot: Span = Span(20_000, 40_000)
    agent: Span = Span(50, 300)
    noticed: Span = Span(5, 30)
    vcenter: Span = Span(100, 1_000)
    fence: Span = Span(1_000, 3_000)
    operator: Span = Span(20, 100)
    silence: Span = Span(5_000, 6_000)


@dataclass(frozen=True, slots=True)
class Case:
    """A cluster as declared, with everything that its simulation needs.

    Attributes:
        want: What the operator's decisions are made by.
        things: The group of resources.
    """

    want: Wanted
    things: tuple[Thing, ...]
    assumed: Assumed = Assumed()

    def node_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.want.nodes)

    def member_names(self) -> tuple[str, ...]:
        return (*self.node_names(), *self.want.witnesses)

    @property
    def start_ms_max(self) -> int:
        """The longest that all starts of one node may take, one after the other."""
        return sum(thing.start.high_ms for thing in self.things)


class Verb(Enum):
    """What may be declared; a comment says what `who` and `other` are."""

    CRASH = "crash"  # a node's guest dies; vCenter shows it powered on
    HOST_DOWN = "host-down"  # a node's host dies; vCenter loses contact with it
    POWER_OFF = "power-off"  # somebody powers a node's VM off; vCenter tells
    REBOOT = "reboot"  # a node
    KILL = "kill"  # a resource dies where it runs
    KILL_AGENT = "kill-agent"  # a node's agent dies, and is restarted
    ISOLATE = "isolate"  # a member hears nobody, and nobody hears it, clients included
    CUT = "cut"  # two members do not hear each other
    STUN = "stun"  # a node's hypervisor stops it
    LOSE = "lose"  # a witness, vCenter or the operator
    SWITCHOVER = "switchover"  # other is where to, or nobody named
    HEAL = "heal"  # everything that lasts ends


@dataclass(frozen=True, slots=True)
class DeclaredFault:
    """One fault: when, what, whom, for how long.

    Attributes:
        at_ms: On the scenario's clock; the first fault's moment is where a run begins.
        lasts_ms: None: until a `heal`, or the end of the run.
    """

    at_ms: int
    verb: Verb
    who: str = ""
    other: str = ""
    lasts_ms: int | None = None

    @override
    def __str__(self) -> str:
        parts = [self.verb.value, self.who]
        if self.verb is Verb.SWITCHOVER and self.other:
            parts.append("to")
        parts.append(self.other)
        if self.lasts_ms is not None:
            parts.append(f"for {spoken(self.lasts_ms)}")
        return " ".join(part for part in parts if part)


def spoken(ms: int) -> str:
    """A length of time as a person types it: `1500ms`, `3s`."""
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


@dataclass(frozen=True, slots=True)
class Band:
    """Something that was so from one moment to another, for pictures.

    Attributes:
        lane: Name of a member, or `CLIENTS`.
        word: What was so: `Down`, `Isolated`, `Stunned`, `Holds`, `Partly` (something runs),
            `Serves`; on the lane of the clients the node that serves them, or "".
    """

    lane: str
    word: str
    from_ms: int
    to_ms: int


CLIENTS = "clients"


@dataclass(frozen=True, slots=True)
class Why:
    """Why nobody serves, or why a switchover is refused."""

    reason: Reason
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run.

    Attributes:
        seed: Replays it.
        before: Who served when the first fault happened; none: nobody ever did.
        after: Who serves in the end.
        outage_ms: All the time without service, from the first fault on; none when it did not
            come back.
        proof: What the last takeover rested on; "" when nobody took over or nothing was needed.
        nobody: Why nobody serves in the end.
        refused: Why a declared switchover was refused.
        afterwards: What the operator would claim of its protection in the end.
        both_ms: For how long two nodes answered at once.
        lost_writes: Acknowledged writes that the new active node does not have.
        violation: A promise of `docs/protocol.md` that was broken.
        notes: The story, if it was traced; its moments are on the scenario's clock.
        bands: The picture, if it was traced.
    """

    seed: str
    before: str | None
    after: str | None
    outage_ms: int | None
    proof: str = ""
    nobody: Why | None = None
    refused: Why | None = None
    afterwards: str = ""
    both_ms: int = 0
    lost_writes: int = 0
    violation: Violation | None = None
    end_ms: int = 0
    notes: tuple[Note, ...] = ()
    bands: tuple[Band, ...] = ()


def standard(case: Case) -> tuple[DeclaredFault, ...]:
    """One of each fault that every cluster should know its answer to."""
    first = case.node_names()[0]
    second = case.node_names()[-1]
    app = next((t for t in case.things if not t.is_address), None)
    at_ms = 1_000
    stun_ms = 2 * case.want.timing.ttl_ms
    faults = [
        DeclaredFault(at_ms, Verb.CRASH, ACTIVE),
        DeclaredFault(at_ms, Verb.POWER_OFF, ACTIVE),
        DeclaredFault(at_ms, Verb.HOST_DOWN, ACTIVE),
        DeclaredFault(at_ms, Verb.ISOLATE, ACTIVE),
        DeclaredFault(at_ms, Verb.STUN, ACTIVE, lasts_ms=stun_ms),
        DeclaredFault(at_ms, Verb.REBOOT, ACTIVE),
        DeclaredFault(at_ms, Verb.KILL_AGENT, ACTIVE),
    ]
    if app is not None:
        faults.append(DeclaredFault(at_ms, Verb.KILL, app.spec.name))
    if first != second:
        faults.append(DeclaredFault(at_ms, Verb.SWITCHOVER))
        faults.append(DeclaredFault(at_ms, Verb.CUT, ACTIVE, STANDBY))
        faults.append(DeclaredFault(at_ms, Verb.CRASH, STANDBY))
    faults += [DeclaredFault(at_ms, Verb.LOSE, name) for name in case.want.witnesses]
    faults.append(DeclaredFault(at_ms, Verb.LOSE, VCENTER))
    faults.append(DeclaredFault(at_ms, Verb.LOSE, OPERATOR))
    return tuple(faults)
