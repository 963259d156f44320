"""A model database that counts: which writes were acknowledged, and which node has them.

Every write is a number, a log is a list of them. The standby's log follows whom its agent told it
to follow; a log that went another way is cut back to what both have (as `pg_rewind` does). The
primary acknowledges a write when every node of its synchronous set has it (`Replicated`) or at
once (`ReplicatedAsync`). Whom writes wait for and who is in sync is decided by `core.in_sync`, as
in the agent.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from standfast.core.events import InSyncProposed, PositionProposed
from standfast.core.holding import in_sync_required
from standfast.core.ids import MemberUid, RunId
from standfast.core.in_sync import Keeper, Progress, Seen, View, keep
from standfast.core.record import DataMode

if TYPE_CHECKING:
    from standfast.simulator.machine import Machine

LOOP_US = 100_000
"""How often a primary tells the others how far it is, and looks who is silent."""

SILENT_US = 600_000
"""A standby that was not heard of for so long is not connected."""

POSITION_US = 1_000_000
"""How often a primary states its position."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """One tenure of one primary: what a standby follows."""

    name: str
    boot: str
    term: int
    incarnation: int

    @property
    def order(self) -> tuple[int, int]:
        """Of two tenures the later one has the higher."""
        return self.incarnation, self.term


@dataclass(slots=True)
class Stream:
    """The first `length` writes of a primary's log. The list only ever grows at its end."""

    line: Promotion
    log: list[int]
    length: int


@dataclass(slots=True)
class Flushed:
    """A standby has so much on its disk."""

    line: Promotion
    uid: MemberUid
    length: int


class Database:
    """The copy on one node.

    `log` and `line` are on the disk; `line` is the tenure that the log belongs to. `up` once the
    agent has started it in this boot; a member that takes no part any more stops it.
    """

    __slots__ = (
        "_growing",
        "_heard_us",
        "_keeper",
        "_kept_by",
        "_loops",
        "_stated_us",
        "acked",
        "cut_off",
        "flushed",
        "line",
        "log",
        "machine",
        "primary",
        "required",
        "up",
    )

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.log: list[int] = []
        self.line: Promotion | None = None
        self.primary = False
        self.up = False
        self.required: frozenset[MemberUid] = frozenset()
        self.flushed: dict[MemberUid, int] = {}
        self.acked = 0
        self.cut_off = False
        self._heard_us: dict[MemberUid, int] = {}
        self._loops = 0
        self._stated_us = 0
        self._keeper: Keeper = {}
        self._growing: frozenset[MemberUid] = frozenset()
        self._kept_by = RunId("")

    # --- the primary ---------------------------------------------------------------------------

    def promote(self, term: int) -> None:
        """Take writes from here on, in a line of its own."""
        machine = self.machine
        state = machine.process.state
        self._loops += 1
        self.primary = self.up = True
        assert machine.journal is not None, "an agent had it started"
        incarnation = machine.journal.record.config.incarnation  # its agent may just be gone
        self.line = Promotion(machine.name, machine.boot, term, incarnation)
        self.log = list(self.log)
        self.flushed = {}
        self._heard_us = {}
        self.acked = len(self.log)
        if state is not None:
            self.required = in_sync_required(state) - {state.me}
        machine.world.checkers.promoted(machine, term)
        machine.world.timeline.after(LOOP_US, self._loop, self._loops)

    def demote(self) -> None:
        """The application is down: a standby again."""
        self.primary = False

    def write(self, number: int) -> None:
        """A client writes; the answer comes when the set has it."""
        self.log.append(number)
        self._send_all()
        self.acknowledge()

    def committed(self) -> None:
        """A record is committed: from now on writes need to wait for no more than it demands."""
        state = self.machine.process.state
        if self.primary and state is not None and state.holding is not None:
            self.require()

    def require(self) -> None:
        """Bring the set to what the records demand, and to what is about to be proposed."""
        state = self.machine.process.state
        if state is not None:
            self.required = (in_sync_required(state) | self._growing) - {state.me}
            self.acknowledge()

    def acknowledge(self) -> None:
        """Answer the clients whose writes every node of the set has."""
        line = self.line
        if not self.primary or line is None or not self.machine.runs:
            return
        have = len(self.log)
        if self.machine.world.plan.data is DataMode.REPLICATED:
            for uid in self.required:
                have = min(have, self.flushed.get(uid, 0))
        while self.acked < have:
            number = self.log[self.acked]
            self.acked += 1
            self.machine.world.checkers.acknowledged(self.machine, number, line.term)

    def _loop(self, number: int) -> None:
        if number != self._loops or not self.primary:
            return
        world = self.machine.world
        world.timeline.after(LOOP_US, self._loop, number)
        if not self.machine.runs:
            return
        self._send_all()
        if world.plan.data is DataMode.REPLICATED:
            self._mind_the_set()
        elif world.timeline.now_us - self._stated_us >= POSITION_US:
            self._stated_us = world.timeline.now_us
            self.machine.process.deliver(PositionProposed(len(self.log)))

    def _send_all(self) -> None:
        line = self.line
        assert line is not None
        world = self.machine.world
        me = self.machine.name
        for other in world.machines.values():
            if other.database is not None and other.name != me:
                message = Stream(line, self.log, len(self.log))
                world.network.carry((me, other.name), other.database.receive, message)

    def _mind_the_set(self) -> None:
        """Who is in sync, as the agent decides it; the core commits it."""
        process = self.machine.process
        state = process.state
        if state is None or process.stalled or not process.alive:
            return
        if self._kept_by != process.run:
            self._kept_by = process.run
            self._keeper, self._growing = {}, frozenset()
        now_ms = self.machine.now_ms()
        lease = state.holding
        if lease is None or not state.serves(now_ms):
            self._keeper, self._growing = {}, frozenset()
            return
        if lease.releasing or not lease.renews:
            return
        others = frozenset(state.record.config.data_nodes()) - {state.me}
        view = View(state.me, others, state.record.in_sync, in_sync_required(state))
        self._keeper, plan = keep(self._keeper, view, {"copy": self._seen()}, now_ms)
        self._growing = plan.require - view.required
        self.require()
        if plan.propose is not None:
            self.machine.world.faults.spring("proposes", self.machine)
            process.deliver(InSyncProposed(plan.propose))

    def _seen(self) -> Seen:
        """What the primary knows of those that follow it."""
        now_us = self.machine.world.timeline.now_us
        followers = {
            uid: Progress(
                position=self.flushed[uid],
                near=now_us - heard_us <= SILENT_US,
                holds_all=uid in self.required and self.flushed[uid] >= self.acked,
            )
            for uid, heard_us in self._heard_us.items()
        }
        return Seen(len(self.log), followers)

    # --- the standby ---------------------------------------------------------------------------

    def receive(self, message: Stream | Flushed) -> None:
        """A message of the replication arrives."""
        if not self.machine.runs or self.cut_off or not self.up:
            return
        if isinstance(message, Flushed):
            self._on_flushed(message)
        elif not self.primary:
            self._on_stream(message)

    def _on_flushed(self, message: Flushed) -> None:
        if not self.primary or message.line != self.line:
            return
        self._heard_us[message.uid] = self.machine.world.timeline.now_us
        if message.length > self.flushed.setdefault(message.uid, 0):
            self.flushed[message.uid] = message.length
            self.acknowledge()

    def _on_stream(self, message: Stream) -> None:
        line = message.line
        if (line.name, line.boot) != self.machine.process.upstream:
            return
        if self.line is not None and line.order < self.line.order:
            return
        theirs = message.log
        if self.line != line:
            self._rewind(theirs)
            self.line = line
        if message.length > len(self.log):
            self.log.extend(theirs[len(self.log) : message.length])
        world = self.machine.world
        primary = world.machines.get(line.name)
        if primary is not None and primary.database is not None:
            answer = Flushed(line, self.machine.process.uid, len(self.log))
            link = (self.machine.name, line.name)
            world.network.carry(link, primary.database.receive, answer)

    def _rewind(self, theirs: list[int]) -> None:
        """Cut the own log back to what both have."""
        same = 0
        for mine, other in zip(self.log, theirs, strict=False):
            if mine != other:
                break
            same += 1
        self.log = self.log[:same]

    def position(self) -> int | None:
        """How far this copy reaches in the present holder's line; none if it is of another."""
        line = self.line
        if line is None or (line.name, line.boot) != self.machine.process.upstream:
            return None
        return len(self.log)
