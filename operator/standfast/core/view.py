"""The operator's view of one cluster: what is declared and what was seen, as plain values.

`placement.plan` and `explain` read these and nothing else; the controller makes them afresh for
every pass. `None` means unknown and is never rounded to no. Moments are the operator's own clock.
"""

from dataclasses import dataclass, field
from enum import Enum

from standfast.core.fencing import Contact, Power
from standfast.core.proof import default_need, enough
from standfast.core.record import DataMode, MemberKind, Proof
from standfast.core.timing import Timing


class FencePolicy(Enum):
    """When a failed VM is switched off."""

    WHEN_NEEDED = "WhenNeeded"
    ALWAYS = "Always"
    NEVER = "Never"


class Role(Enum):
    """What a member says it is."""

    ACTIVE = "Active"
    HOLDING = "Holding"
    CANDIDATE = "Candidate"
    STANDBY = "Standby"
    UNCONFIGURED = "Unconfigured"


@dataclass(frozen=True, slots=True)
class WantedNode:
    """A node as declared.

    Attributes:
        rolling: The round of maintenance that has taken it out; "" when none has.
    """

    name: str
    maintenance: bool = False
    rolling: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is declared, as far as decisions need it.

    Attributes:
        name: Of the cluster, for sentences.
        nodes: In order of preference.
        witnesses: Names.
        loss_max: How many bytes of data a failover may lose: asynchronous data only.
        failback: Whether service returns to the preferred node by itself.
        failback_closed: It does, but not now: the window is closed.
        power_on: Whether a fenced node is powered on again.
    """

    name: str
    nodes: tuple[WantedNode, ...]
    witnesses: tuple[str, ...]
    data: DataMode
    timing: Timing
    fence: FencePolicy = FencePolicy.WHEN_NEEDED
    loss_max: int = 0
    failback: bool = False
    failback_closed: bool = False
    power_on: bool = True
    paused: bool = False

    @property
    def majority(self) -> int:
        """Voters needed of all that are declared."""
        return (len(self.nodes) + len(self.witnesses)) // 2 + 1

    @property
    def needs_power_off(self) -> bool:
        """Whether the end of a lease is not proof enough for this data."""
        need = default_need(self.data, exclusive=False)
        return Proof.LEASE_EXPIRED not in enough(need)

    def back_from_maintenance(self, name: str) -> str:
        """What to type when the work on a node in maintenance is done."""
        rounds = [node.rolling for node in self.nodes if node.name == name and node.rolling]
        if rounds:
            return f"kubectl standfast rolling {self.name} done {name}, when the work is done"
        return f"kubectl standfast maintenance {self.name} {name} off, when the work is done"

    def in_maintenance(self, name: str) -> bool:
        return any(node.name == name and node.maintenance for node in self.nodes)


@dataclass(frozen=True, slots=True)
class BootOf:
    """One boot of one node, that once held the lease; the term is for sentences."""

    node: str
    boot: str
    term: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class VmSeen:
    """What the infrastructure says of a node's VM now.

    Attributes:
        contact: Of VM and host together: connected only when both are.
        host: Its identity; "" when unknown.
        unknown: The infrastructure answers, and shows no such VM or more than one.
        problem: Why nothing is known, as a sentence.
        fence_problem: Why it could not be powered off although it is seen, as a sentence.
    """

    name: str = ""
    power: Power = Power.UNKNOWN
    contact: Contact = Contact.UNKNOWN
    host: str = ""
    host_name: str = ""
    tasks: tuple[str, ...] = ()
    unknown: bool = False
    problem: str = ""
    fence_problem: str = ""


@dataclass(frozen=True, slots=True)
class ResourceSeen:
    """A resource on one node, as its agent says.

    Attributes:
        lacks: Of a replicated one on the active node: name of each node that does not follow,
            and how many bytes it lacks.
    """

    name: str
    type: str
    state: str
    critical: bool = True
    message: str = ""
    reason: str = ""
    lacks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class PathSeen:
    """A communication path as one member sees it."""

    peer: str
    address: str
    up: bool


@dataclass(frozen=True, slots=True)
class MemberSeen:
    """One voter.

    Attributes:
        heard: Whether the operator hears it now.
        heard_by: Names of members that hear it, as they say now.
        role: As it says itself; none unless heard.
        boot: The newest known, by itself or by others.
        ready_since_ms: Since when it has been heard as an eligible standby; none when it is not.
        holding_since_ms: Since when it has been holding the lease without serving.
    """

    name: str
    kind: MemberKind
    enrolled: bool = False
    heard: bool = False
    heard_by: tuple[str, ...] = ()
    role: Role | None = None
    term: int = 0
    boot: str = ""
    eligible: bool | None = None
    ineligible_reasons: tuple[str, ...] = ()
    in_sync: bool | None = None
    ready_since_ms: int | None = None
    holding_since_ms: int | None = None
    releasing: bool = False
    halted: str = ""
    suspects: tuple[BootOf, ...] = ()
    resources: tuple[ResourceSeen, ...] = ()
    paths: tuple[PathSeen, ...] = ()
    alerts: tuple[tuple[str, str, str], ...] = ()
    start_ms: int | None = None
    vm: VmSeen = VmSeen()
    fence: "FenceSeen | None" = None

    @property
    def present(self) -> bool:
        """Somebody hears it."""
        return self.heard or bool(self.heard_by)


@dataclass(frozen=True, slots=True)
class FenceSeen:
    """A fence that was ordered and is remembered in the cluster's status.

    Attributes:
        task: Of the infrastructure; "" when not yet known.
        proven: Whether the power-off was proven and told.
        term: Of the member for whose sake it was done.
    """

    boot: str
    task: str = ""
    proven: bool = False
    term: int = 0


@dataclass(frozen=True, slots=True)
class Observed:
    """One snapshot.

    Attributes:
        configured: Whether the members have their first configuration.
        holder: The node that holds the lease by the newest record anybody showed, with its boot.
        over: Boots of which it can be said that they ended (`core.fencing`), not yet verified.
        told: Boots whose end every member that is heard was told.
        fence_error: Why the last power-off that was tried was not proven; "" when none failed.
        moving: A planned move is under way: "switchover orders-x1".
        chosen: The node that a person moved service to and that has served since; "" when none.
        now_ms: When.
    """

    now_ms: int
    members: tuple[MemberSeen, ...]
    configured: bool = True
    holder: BootOf | None = None
    over: frozenset[BootOf] = frozenset()
    told: frozenset[BootOf] = frozenset()
    fence_error: str = ""
    moving: str = ""
    chosen: str = ""

    def member(self, name: str) -> MemberSeen | None:
        return next((member for member in self.members if member.name == name), None)

    @property
    def active(self) -> MemberSeen | None:
        """The node that serves: it says so, and nobody has won a newer term.

        A node that stalls goes on saying what it said last.
        """
        winner = self.winner
        return winner if winner is not None and winner.role is Role.ACTIVE else None

    @property
    def winner(self) -> MemberSeen | None:
        """The node that says it holds the lease, serving or not yet, by the newest term."""
        roles = {Role.ACTIVE, Role.HOLDING}
        claims = [m for m in self.members if m.heard and m.role in roles]
        return max(claims, key=lambda m: m.term, default=None)

    @property
    def present(self) -> int:
        """How many voters somebody hears."""
        return sum(member.present for member in self.members)
