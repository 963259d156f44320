"""Whether the copy on this node may become active, as far as the copy itself tells.

The quorum says who may; this says with which data. A copy belongs to the cluster when it was the
first one, or was made from or followed one that belongs. The first one is that of the node listed
first, and only while that node knows of no other.
"""

from standfast.adapters.postgresql.note import Note
from standfast.adapters.postgresql.places import Places
from standfast.adapters.postgresql.plan import Building
from standfast.errors import UserError
from standfast.ports.replication import Place


def distrust(
    resource: str, places: Places, system: str, note: Note, place: Place
) -> UserError | None:
    """What forbids that this copy becomes active; None when nothing does.

    Args:
        resource: Name of the resource, for sentences.
        places: Where the copy is.
        system: Identity of the data; "" when there are none.
        note: What is remembered of them.
        place: Where this copy stands.
    """
    if not system:
        return UserError(
            f"{resource}: there is no database cluster in {places.data} on this node",
            remedy="let the agent copy one from the active node, or create it on the node that is "
            "listed first",
        )
    if note.building in {Building.BACKUP, Building.REWIND}:
        return UserError(
            f"{resource}: the copy in {places.data} was being repaired ({note.building.value}) "
            f"and is incomplete",
            remedy="wait until another node is active: then it is made anew",
        )
    if note.belongs(place.cluster, system):
        return None
    if note.cluster == place.cluster:
        return UserError(
            f"{resource}: the data in {places.data} are of another database cluster (identifier "
            f"{system}) than those that are protected ({note.system})",
            remedy=f"put the right data back, or remove {places.own} to begin with these",
        )
    if not place.begins:
        return UserError(
            f"{resource}: the data in {places.data} never followed those of this cluster, which "
            f"begins with the data of the node listed first",
            remedy="make the node with the right data the first of spec.nodes, and switch over "
            "to it",
        )
    return None
