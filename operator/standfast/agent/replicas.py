"""The replicated resources of a node: told about the cluster, asked how their copies do.

Level-triggered, like the group: each look compares what is known with what was told. Whom a copy
follows is whom the newest record names, by what that node's agent tells over its links. Whom
writes wait for is decided by `core.in_sync`; here it is carried out in the order it demands.
"""

from collections import deque
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from typing import Protocol

from standfast.agent import bounds
from standfast.core import in_sync
from standfast.core.events import Event, InSyncProposed, PositionProposed
from standfast.core.holding import in_sync_required
from standfast.core.ids import MemberUid
from standfast.core.in_sync import NEAR_BYTES, Keeper, Progress, Seen, View
from standfast.core.record import Config, DataMode, Member
from standfast.core.state import State
from standfast.core.voting import may_lead
from standfast.member.chronicle import values
from standfast.member.links import split
from standfast.ports.clock import Clock
from standfast.ports.events import Alert, EventSink
from standfast.ports.replication import Leader, Neighbour, Part, Place, Replica, Replication
from standfast.wire.api import ReplicationStatus
from standfast.wire.frames import Facts

LOOK_MS = 250
"""Between two looks at those that follow, while this node serves."""
POSITION_MS = 1000
"""Asynchronous data: the record's position is never older than this and a commit."""
HEARD_MAX = 8
"""So many of the leader's last positions are remembered: the record is at most one behind."""
MARKED_MS = 60_000
"""Synchronous data: an image older than this is older than the votes of its member too."""
MARKS = 4
"""After an image: its member's start makes one write, so one alone would not show its age."""
BEHIND_MS = 2000
"""So long must nobody follow within the bound before a person is told."""

COPIES = "copies"
Copies = Callable[[], Mapping[str, Replica]]


class Told(Protocol):
    """What other members told: `Links`."""

    def facts(self, uid: MemberUid) -> Facts: ...


class Quorum(Protocol):
    """Who takes proposals: `Voter`."""

    state: State

    def take(self, event: Event) -> object: ...


class Replicas:
    """All copies on this node.

    Args:
        copies: Those that there are now, by resource.
        clock: This node's.
        sink: Where changes are noted.
    """

    def __init__(self, copies: Copies, clock: Clock, sink: EventSink) -> None:
        self._copies = copies
        self._clock = clock
        self._sink = sink
        self._keeper: Keeper = {}
        self._looked_ms = 0
        self._positioned_ms = 0
        self._marks = 0
        self._within_ms = clock.now_ms()
        self._bound: Alert | None = None
        self._own: dict[str, int] = {}
        self._leaders: tuple[object, deque[Mapping[str, int]]] = (None, deque(maxlen=HEARD_MAX))
        self._growing: frozenset[MemberUid] = frozenset()
        self._config: Config | None = None
        self._place: Place | None = None
        self._settled: dict[int, Place] = {}
        self._shown: object = None

    # ---------------------------------------------------------------- whom to follow

    def tell(self, state: State, links: Told) -> None:
        """Let the copies know of the nodes and of who leads. Cheap; call it at every change."""
        copies = self._copies()
        if not copies:
            return
        if state.record.config is not self._config:
            self._config = state.record.config
            self._place = place_of(state)
        place = self._place
        if place is None:
            return
        self._hear_positions(state, links)
        leading = self._leading(state, links)
        for name, copy in copies.items():
            if self._settled.get(id(copy)) is not place:
                copy.settle(place)
            copy.follow(leading(name))
        self._settled = {id(copy): place for copy in copies.values()}

    def _leading(self, state: State, links: Told) -> Callable[[str], Leader | None]:
        holder = state.record.holder
        member = None if holder is None else state.record.config.member(holder.member)
        if holder is None or member is None or holder.member == state.me:
            return lambda _: None
        node = neighbour(member)
        invitations = links.facts(holder.member).invitations
        term, is_counted = state.record.version.term, state.me in state.record.in_sync
        return lambda name: Leader(node, invitations.get(name, b""), term, is_counted)

    def _hear_positions(self, state: State, links: Told) -> None:
        """What the leader of this term told of each resource, the newest last."""
        holder = state.record.holder
        whose = None if holder is None else (holder.member, state.record.version.term)
        if whose != self._leaders[0]:
            self._leaders = (whose, deque(maxlen=HEARD_MAX))
        heard = self._leaders[1]
        told = {} if holder is None else links.facts(holder.member).positions
        if told and (not heard or heard[-1] != told):
            heard.append(told)

    def positions(self) -> dict[str, int]:
        """How far each resource reached when this node last proposed their sum."""
        return self._own

    def invitations(self) -> dict[str, bytes]:
        """What other nodes need to follow this one."""
        told = {name: copy.invitation() for name, copy in self._copies().items()}
        return {name: invitation for name, invitation in told.items() if invitation}

    # ---------------------------------------------------------------- whom writes wait for

    def require(self, state: State) -> None:
        """Bring the copies to what the records demand. Only while this node serves."""
        members = (in_sync_required(state) | self._growing) - {state.me}
        for copy in self._copies().values():
            copy.require(frozenset(members))

    def next_ms(self, state: State) -> int | None:
        """When `keep` is due."""
        serves = state.holding is not None and state.holding.committed is not None
        return self._looked_ms + LOOK_MS if serves and _keeps_copies(state) else None

    def is_due(self, state: State) -> bool:
        at_ms = self.next_ms(state)
        return at_ms is not None and at_ms <= self._clock.now_ms()

    def keep(self, voter: Quorum) -> None:
        """Look at those that follow, and propose who is in sync. Not within a step."""
        state = voter.state
        now_ms = self._clock.now_ms()
        self._looked_ms = now_ms
        lease = state.holding
        if not _keeps_copies(state) or not state.serves(now_ms) or lease is None:
            self._keeper, self._growing, self._within_ms = {}, frozenset(), now_ms
            self._own = {}
            return
        if lease.releasing or not lease.renews:
            return
        if state.record.config.data is DataMode.REPLICATED_ASYNC:
            self._keep_position(voter, now_ms)
            return
        view = View(state.me, others_of(state), state.record.in_sync, in_sync_required(state))
        seen = {name: _seen(copy.replication()) for name, copy in self._copies().items()}
        self._keeper, plan = in_sync.keep(self._keeper, view, seen, now_ms)
        self._growing = plan.require - view.required
        self.require(state)
        if plan.propose is not None:
            self._say(state, plan.propose)
            voter.take(InSyncProposed(plan.propose))
        since_ms = now_ms - self._positioned_ms
        if since_ms >= MARKED_MS or (self._marks > 0 and since_ms >= POSITION_MS):
            self._marks = max(0, self._marks - 1)
            self._keep_position(voter, now_ms)

    def mark(self) -> None:
        """An image of this VM has been taken: let the members write something newer soon."""
        self._marks = MARKS

    # ---------------------------------------------------------------- how much may be lost

    def position(self, state: State) -> int | None:
        """How far this node reaches, where that may be compared with the record's position.

        The data of all resources together. What one of them has beyond what was recorded of it
        makes up for nothing that another lacks, so it does not count (ADR-0033).
        """
        found = {name: copy.replication() for name, copy in self._copies().items()}
        reached = {
            name: one.position
            for name, one in found.items()
            if one.is_of_leader and one.position is not None
        }
        if not found or len(reached) < len(found):
            return None
        if len(found) == 1:
            return sum(reached.values())
        recorded = self._recorded(state.record.position, found.keys())
        if recorded is None:
            return None
        return sum(min(reached[name], recorded[name]) for name in found)

    def _recorded(self, position: int | None, names: AbstractSet[str]) -> Mapping[str, int] | None:
        """The newest parts of a record's position, or of an earlier one, that were heard."""
        for told in reversed(self._leaders[1]):
            if position is not None and told.keys() == names and sum(told.values()) <= position:
                return told
        return None

    def lacks(self, state: State) -> int | None:
        """How many bytes of what is recorded this node lacks; none where nothing may be lost."""
        config, holder = state.record.config, state.record.holder
        if config.data is not DataMode.REPLICATED_ASYNC or holder is None:
            return None
        if holder.member == state.me:
            return 0
        return bounds.Distance(holder.member, state.record.position, self.position(state)).bytes

    def _keep_position(self, voter: Quorum, now_ms: int) -> None:
        """Let the record say how far the data reach: what may be lost counts from there.

        Synchronous data need no position to be led by. It is recorded now and then, so that votes
        do not stand still while data move on: whose image is restored is found out by his votes.
        """
        copies = {name: copy.replication() for name, copy in self._copies().items()}
        found = list(copies.values())
        reached = {
            name: one.position
            for name, one in copies.items()
            if one.part is Part.ACTIVE and one.position is not None
        }
        if not found or len(reached) < len(found):
            return
        if now_ms - self._positioned_ms >= POSITION_MS:
            self._positioned_ms = now_ms
            self._own = reached if len(reached) > 1 else {}
            voter.take(PositionProposed(sum(reached.values())))
        config = voter.state.record.config
        if not others_of(voter.state) or bounds.follows_within(found, config.loss_max):
            self._within_ms = now_ms

    def warn(self, state: State, *, somebody_holds: bool) -> None:
        """Say when more than the declared loss stands between this node and a takeover."""
        alert = self._beyond(state, somebody_holds=somebody_holds)
        if alert == self._bound:
            return
        if alert is None:
            self._sink.clear_alert(COPIES, bounds.BEYOND)
        else:
            self._sink.raise_alert(COPIES, alert)
        self._bound = alert

    def _beyond(self, state: State, *, somebody_holds: bool) -> Alert | None:
        config = state.record.config
        if config.data is not DataMode.REPLICATED_ASYNC or not self._copies():
            return None
        now_ms = self._clock.now_ms()
        if state.serves(now_ms):
            if now_ms - self._within_ms < BEHIND_MS:
                return None
            found = [copy.replication() for copy in self._copies().values()]
            return bounds.unfollowed_alert(found, config.loss_max)
        holder = state.record.holder
        if somebody_holds or holder is None:
            return None
        position = self.position(state)
        if may_lead(state.record, state.me, position) is None:
            return None
        names = {member.uid: member.name for member in config.everyone()}
        held_by = names.get(holder.member, holder.member)
        distance = bounds.Distance(held_by, state.record.position, position)
        return bounds.withheld_alert(distance, config, names.get(state.me, state.me))

    def _say(self, state: State, proposal: frozenset[MemberUid]) -> None:
        for uid in sorted(proposal ^ state.record.in_sync):
            is_new = uid in proposal
            kind, message = (
                ("InSync", "A node has every acknowledged write")
                if is_new
                else ("OutOfSync", "A node does not keep up: writes stop waiting for it")
            )
            self._sink.note(kind, message, values(peer=uid))

    # ---------------------------------------------------------------- status

    def has_news(self) -> bool:
        """Whether something changed since the last call that people should see at once."""
        shown = tuple(_shown(name, copy.replication()) for name, copy in self._copies().items())
        is_new, self._shown = shown != self._shown, shown
        return is_new

    def status(self, name: str) -> ReplicationStatus | None:
        """How a copy does; none for what keeps none."""
        copy = self._copies().get(name)
        if copy is None:
            return None
        found = copy.replication()
        return ReplicationStatus(
            role=found.part.value,
            message=found.message,
            position=found.position,
            lag_bytes=found.lag_bytes,
            lag_ms=found.lag_ms,
            percent=found.percent,
            following=tuple(sorted(f.uid for f in found.followers if f.is_connected)),
            lacks=dict(found.absent),
        )


def _shown(name: str, found: Replication) -> tuple[object, ...]:
    """What is news when it changes; that positions move on is none."""
    lag = found.lag_bytes or 0
    following = frozenset(f.uid for f in found.followers if f.is_connected)
    far = lag.bit_length() if lag > NEAR_BYTES else 0
    absent = frozenset((uid, lacking.bit_length()) for uid, lacking in found.absent)
    return (name, found.part, found.message, found.percent, following, far, absent)


def _keeps_copies(state: State) -> bool:
    return state.record.config.data in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}


def others_of(state: State) -> frozenset[MemberUid]:
    """The other data nodes of the config."""
    return frozenset(state.record.config.data_nodes()) - {state.me}


def _seen(found: Replication) -> Seen | None:
    if found.part is not Part.ACTIVE or found.position is None:
        return None
    followers = {
        MemberUid(follower.uid): Progress(
            position=follower.position,
            near=follower.is_connected and follower.lag_bytes <= NEAR_BYTES,
            holds_all=follower.holds_all,
            lost=follower.is_lost,
        )
        for follower in found.followers
    }
    return Seen(found.position, followers)


def place_of(state: State) -> Place | None:
    """Where this node stands among the others; none when the config does not name it."""
    config = state.record.config
    uids = config.data_nodes()
    members = {uid: config.member(uid) for uid in uids}
    mine = members.get(state.me)
    if mine is None:
        return None
    others = tuple(
        neighbour(member)
        for uid, member in members.items()
        if uid != state.me and member is not None
    )
    return Place(config.cluster, neighbour(mine), others, begins=uids[0] == state.me)


def neighbour(member: Member) -> Neighbour:
    """A member as copies see it: its addresses without the agents' port."""
    hosts = tuple(split(address)[0] for address in member.addresses)
    return Neighbour(member.uid, member.name, hosts)
