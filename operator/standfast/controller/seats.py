"""Who sits in a cluster beyond what is declared: members that are leaving, or lost their votes.

A node that a round of maintenance has taken out is in maintenance, as if that were declared.

A node that was taken out of the spec is still a voter until a change of the config has removed it.
Until then a pass treats it as declared and in maintenance: it is listened to, can be fenced, and
hands over if it holds the lease. What was declared of it is kept in the register for that time.
"""

from collections.abc import Mapping, Sequence

import msgspec

from standfast.api.base import LocalRef
from standfast.api.cluster import HACluster, Node
from standfast.api.words import REPLACE
from standfast.controller.authorities import Departed, Register, Seat

DEPARTED_MAX = 16


def effective(cluster: HACluster, register: Register) -> tuple[HACluster, frozenset[str]]:
    """The cluster with members that are leaving, and the names of those.

    A node that is being replaced is declared and leaving at once: it is in maintenance, too.
    """
    spec = cluster.spec
    nodes = {node.name: node for node in spec.nodes}
    witnesses = {ref.name: ref for ref in spec.witnesses}
    leaving: set[str] = set()
    out = rolled_out(cluster)
    for name in out & nodes.keys():
        nodes[name] = nodes[name].model_copy(update={"maintenance": True})
    for name, entry in register.members.items():
        seat = register.seats.get(name)
        if entry.uid in register.lost and name in nodes:
            nodes[name] = nodes[name].model_copy(update={"maintenance": True})
            leaving.add(name)
        elif name not in nodes and name not in witnesses and seat is not None:
            leaving.add(name)
            if seat.node:
                node = Node.model_validate_json(seat.node)
                nodes[name] = node.model_copy(update={"maintenance": True})
            else:
                witnesses[name] = LocalRef(name=name)
    if not leaving and not out:
        return cluster, frozenset()
    wider = spec.model_copy(
        update={"nodes": tuple(nodes.values()), "witnesses": tuple(witnesses.values())}
    )
    return cluster.model_copy(update={"spec": wider}), frozenset(leaving)


def rolled_out(cluster: HACluster) -> frozenset[str]:
    """Nodes that the declared round of maintenance has taken out, as it stands written."""
    spec, status = cluster.spec.rolling, cluster.status.rolling
    is_this = spec is not None and status is not None and spec.name == status.name
    return status.out if is_this and status is not None else frozenset()


def seats_of(cluster: HACluster, register: Register) -> dict[str, Seat]:
    """The seats as they should be remembered: of every registered member."""
    seats = dict(register.seats)
    for node in cluster.spec.nodes:
        if node.name in register.members:
            declared = node.model_copy(update={"maintenance": False})
            seats[node.name] = Seat(node=declared.model_dump_json(by_alias=True))
    for ref in cluster.spec.witnesses:
        if ref.name in register.members:
            seats[ref.name] = Seat()
    return {name: seat for name, seat in seats.items() if name in register.members}


def to_replace(cluster: HACluster, register: Register) -> str:
    """The uid that an annotation asks to replace; "" when none, or when it is done."""
    name, _, uid = cluster.metadata.annotations.get(REPLACE, "").partition("=")
    entry = register.members.get(name)
    is_asked = entry is not None and entry.uid == uid and uid not in register.lost
    return uid if is_asked else ""


def without(
    register: Register, names: Sequence[str], addresses: Mapping[str, tuple[str, ...]]
) -> Register:
    """The register when these members have been removed; they are told to leave until they do."""
    members = dict(register.members)
    departed = dict(register.departed)
    for name in names:
        entry = members.pop(name, None)
        if entry is not None and addresses.get(name):
            departed[entry.uid] = Departed(name=name, addresses=addresses[name])
    gone = {entry.uid for name, entry in register.members.items() if name in names}
    return msgspec.structs.replace(
        register,
        members=members,
        seats={name: seat for name, seat in register.seats.items() if name in members},
        lost=tuple(uid for uid in register.lost if uid not in gone),
        departed=dict(list(departed.items())[-DEPARTED_MAX:]),
    )
