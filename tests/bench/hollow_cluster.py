"""A hollow cluster: what two nodes and a witness would say if they had agreed; without quorum.

It answers as a converged pair as soon as all three have the first config, and moves when told.
What it says is made of the real structures of `wire.api`, with everything in it that the operator
reads: config, record, peers, paths, resources, log.
"""

import base64
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standfast.adapters.pki import new_key
from standfast.core.record import Config
from standfast.member.board import Board
from standfast.member.version import product_version
from standfast.wire import durable
from standfast.wire.api import (
    PORT,
    GroupRequest,
    HolderStatus,
    LogEntry,
    MemberStatus,
    PathStatus,
    PeerStatus,
    ResourceStatus,
    State,
    TakeoverStatus,
)

RUN = str(uuid.uuid4())
_WON_MS, _RECORD_MS, _SERVING_MS = 12, 19, 240


@dataclass
class HollowMember:
    """One member of one cluster.

    Args:
        name: As declared.
        kind: `data` or `witness`.
        host: The address at which it is met.
        boot: Of its machine.
    """

    name: str
    kind: str
    host: str
    boot: str
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))
    key: str = field(default_factory=new_key)
    board: Board = field(default_factory=Board)
    config: Config | None = None
    group: GroupRequest | None = None
    log: list[LogEntry] = field(default_factory=list)
    not_after: datetime | None = None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def address(self) -> str:
        return f"{self.host}:{PORT}"

    def note(self, kind: str, message: str, **fields: str | int) -> None:
        """Log something, as the chronicle of a member would."""
        entry = LogEntry(
            seq=len(self.log) + 1,
            at=datetime.now(UTC),
            kind=kind,
            message=message,
            fields=fields,
        )
        self.log.append(entry)


@dataclass
class HollowCluster:
    """Members that agree because one object speaks for all of them.

    Args:
        uid: Of the `HACluster`.
        name: Of the `HACluster`.
        nodes: The data nodes; the first one serves to begin with.
        witness: The third vote.
    """

    uid: str
    name: str
    nodes: tuple[HollowMember, ...]
    witness: HollowMember
    active: HollowMember | None = None
    term: int = 0
    takeover: TakeoverStatus | None = None

    @property
    def members(self) -> tuple[HollowMember, ...]:
        return (*self.nodes, self.witness)

    def take_config(self, member: HollowMember, payload: str) -> Config:
        """A member has the first config; with the last one the cluster begins to serve."""
        member.config = durable.decode_config(base64.b64decode(payload))
        member.board.change()
        if self.active is None and all(each.config is not None for each in self.members):
            self._serve(self.nodes[0], None)
        return member.config

    def take_group(self, member: HollowMember, group: GroupRequest) -> None:
        """A node has the declared resources."""
        member.group = group
        member.board.change()

    def move(self) -> HollowMember:
        """An application fails for good, and the other node takes over; answers which."""
        before = self.active
        assert before is not None, "it serves"
        to = next(node for node in self.nodes if node is not before)
        before.note("Failed", "A resource failed", resource="web", reason="bench")
        before.note("HandingOver", "Handing over", reason="bench")
        before.note("Released", "Released the lease", term=self.term)
        self._serve(to, before)
        return to

    def _serve(self, node: HollowMember, before: HollowMember | None) -> None:
        now = datetime.now(UTC)
        self.term += 1
        self.active = node
        node.note("LeaseWon", "Won the lease", term=self.term)
        peer = {"peer": before.uid} if before is not None else {}
        node.note("RecordCommitted", "The record is committed", term=self.term, **peer)
        node.note("Serving", "Serving", term=self.term)
        self.takeover = TakeoverStatus(
            term=self.term,
            started_at=now,
            won_ms=_WON_MS,
            record_ms=_RECORD_MS,
            serving_ms=_SERVING_MS,
            proof="Released" if before is not None else "",
        )
        for member in self.members:
            member.since = now
            member.board.change()

    def status(self, me: HollowMember) -> MemberStatus:
        """What this member says now."""
        holder = self.active
        held = None if holder is None else HolderStatus(member=holder.uid, boot=holder.boot)
        is_data = me.kind == "data"
        config = me.config if holder is not None else None
        return MemberStatus(
            seq=me.board.seq,
            member_uid=me.uid,
            name=me.name,
            kind="data" if is_data else "witness",
            boot_id=me.boot,
            run=RUN,
            agent_version=product_version(),
            role="Unconfigured" if me.config is None else "Active" if me is holder else "Standby",
            term=self.term,
            holder=held,
            record_holder=held,
            record_version=(self.term, 1) if holder is not None else (0, 0),
            in_sync=tuple(sorted(node.uid for node in self.nodes)),
            config_id=str(me.config.id) if me.config is not None else "",
            config_digest=me.config.digest if me.config is not None else "",
            config=base64.b64encode(durable.encode_config(config)).decode() if config else "",
            config_committed=me is holder,
            lease_remaining_ms=2_000 if me is holder else None,
            eligible=is_data,
            peers=tuple(_peer(each) for each in self.members if each is not me),
            resources=_resources(me, "Running" if me is holder else "Stopped"),
            resources_generation=me.group.generation if me.group is not None else 0,
            last_takeover=self.takeover if me is holder else None,
            certificate_not_after=me.not_after,
            log_seq=len(me.log),
        )


def _peer(member: HollowMember) -> PeerStatus:
    path = PathStatus(address=member.address, up=True, rtt_ms=0.3)
    return PeerStatus(
        member=member.uid,
        name=member.name,
        reachable=True,
        boot=member.boot,
        paths=(path,),
        last_heard_ms=100,
    )


def _resources(member: HollowMember, state: State) -> tuple[ResourceStatus, ...]:
    if member.group is None:
        return ()
    return tuple(
        ResourceStatus(
            name=spec.name,
            type=str(type(spec).__struct_config__.tag),
            state=state,
            since=member.since,
        )
        for spec in member.group.resources
    )
