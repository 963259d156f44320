"""Whom a copy follows, and how: what the active invites to, made into settings."""

from dataclasses import dataclass

from standfast.adapters.postgresql.building import Source
from standfast.adapters.postgresql.certificate import has_own_certificate
from standfast.adapters.postgresql.invitation import Invitation, read_invitation
from standfast.adapters.postgresql.kit import Kit
from standfast.adapters.postgresql.settings import (
    Wanted,
    conninfo,
    following,
    slot_name,
)
from standfast.ports.replication import Leader, Place

COPYING = "standfast-copy"
"""Application name of a base backup: its stream confirms what it got, and must not count."""


@dataclass(frozen=True, slots=True)
class Target:
    """The active node, as its standby needs to know it.

    Args:
        name: Of the node.
        invitation: What it says.
        conninfo: How the standby connects.
        slot: Of this standby on it.
        source: For copying from it.
    """

    name: str
    invitation: Invitation
    conninfo: str
    slot: str
    source: Source

    def wanted(self, kit: Kit) -> Wanted:
        """The settings of a standby that follows it."""
        places = kit.instance.places
        own = str(places.own) if has_own_certificate(places) else ""
        return Wanted(
            kit.resource,
            places.version,
            conninfo=self.conninfo,
            slot=self.slot,
            own_certificate=own,
        )

    def is_written(self, kit: Kit) -> bool:
        """Whether the files say so: settings and password."""
        path = kit.instance.places.included
        text = path.read_text() if path.exists() else ""
        return text == self.wanted(kit).text() and kit.passwords.read() == self.invitation.password


def target_of(kit: Kit, place: Place, leader: Leader | None) -> Target | None:
    """Whom to follow; none while the active does not invite."""
    invitation = None if leader is None else read_invitation(leader.invitation)
    if leader is None or invitation is None:
        return None
    node, uid = leader.node, place.me.uid
    fields = following(node.hosts, invitation.port, str(kit.passwords.path), uid)
    source = Source(
        name=node.name,
        fields={**fields, "application_name": COPYING},
        slot=slot_name(uid),
        history=invitation.history,
        size_bytes=invitation.size_bytes,
    )
    return Target(node.name, invitation, conninfo(fields), slot_name(uid), source)
