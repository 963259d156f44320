"""Everything that is declared, as last heard from the API server: a dictionary, no cache logic.

Handlers put objects in, passes read them. An object is kept as it came and read into its model
when a pass asks; one that does not read is kept too, with the sentence that says why.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from typing_extensions import override

from standfast.api.base import KubeObject
from standfast.api.kinds import Kind
from standfast.api.parse import parse
from standfast.errors import UserError

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One object.

    Attributes:
        kind: Its kind's name.
    """

    kind: str
    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


@dataclass(slots=True)
class Held:
    """One object as it came.

    Attributes:
        document: Plain JSON.
        parsed: Its model once somebody asked; or why it does not read.
    """

    document: Mapping[str, Any]
    parsed: KubeObject | UserError | None = None

    @property
    def metadata(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.document.get("metadata") or {}
        return found

    @property
    def uid(self) -> str:
        return str(self.metadata.get("uid", ""))

    @property
    def version(self) -> str:
        return str(self.metadata.get("resourceVersion", ""))


class Store:
    """All objects of all kinds, each kind and namespace in a drawer of its own.

    What belongs to one cluster (`spec.clusterRef`) is in a drawer of that cluster as well: a pass
    must not cost more the more clusters there are.
    """

    def __init__(self) -> None:
        self._held: dict[Key, Held] = {}
        self._of_cluster: dict[tuple[str, str, str], set[Key]] = {}
        self._drawers: dict[tuple[str, str], set[Key]] = {}
        self._sorted: dict[tuple[str, str], list[Key]] = {}

    def put(self, kind: Kind, document: Mapping[str, Any]) -> tuple[Key, bool]:
        """Take an object.

        Returns:
            Its key, and whether anything but its status changed: what we wrote ourselves comes
            back as a change and deserves no pass.
        """
        metadata = document.get("metadata") or {}
        key = Key(kind.name, str(metadata.get("namespace") or ""), str(metadata["name"]))
        before = self._held.get(key)
        if before is not None and before.uid == metadata.get("uid"):
            if _older(str(metadata.get("resourceVersion", "")), before.version):
                return key, False
            if before.version == metadata.get("resourceVersion") and before.document == document:
                return key, False  # else the same object by another schema: its CRD was changed
        self._held[key] = Held(document)
        self._file(key, before, self._held[key])
        if before is None:
            self._drawers.setdefault((key.kind, key.namespace), set()).add(key)
            self._sorted.pop((key.kind, key.namespace), None)
        return key, before is None or _declared(before.document) != _declared(document)

    def drop(self, key: Key) -> bool:
        """Forget an object; False when it was not there."""
        before = self._held.pop(key, None)
        if before is None:
            return False
        self._file(key, before, None)
        drawer = self._drawers[key.kind, key.namespace]
        drawer.discard(key)
        self._sorted.pop((key.kind, key.namespace), None)
        if not drawer:
            del self._drawers[key.kind, key.namespace]
        return True

    def drop_if(self, key: Key, uid: str) -> bool:
        """Forget this very object; False when another of that name is there, or none."""
        held = self._held.get(key)
        return held is not None and held.uid == uid and self.drop(key)

    def drop_older(self, key: Key, version: str) -> bool:
        """Forget an object that a list of this moment does not hold.

        Returns:
            False for one that came after the list was made, or was not there.
        """
        held = self._held.get(key)
        return held is not None and not _older(version, held.version) and self.drop(key)

    def held(self, key: Key) -> Held | None:
        return self._held.get(key)

    def get(self, model: type[T], namespace: str, name: str) -> T | None:
        """The object as its model; none when it is not there or does not read."""
        held = self._held.get(Key(model.__name__, namespace, name))
        if held is None:
            return None
        found = read_held(model, held)
        return found if isinstance(found, model) else None

    def all(self, model: type[T], namespace: str | None = None) -> Iterator[T]:
        """All objects of a kind that read, in the order of their names."""
        for key in self.keys(model.__name__, namespace):
            held = self._held.get(key)
            found = read_held(model, held) if held is not None else None
            if isinstance(found, model):
                yield found

    def of_cluster(self, model: type[T], namespace: str, cluster: str) -> Iterator[T]:
        """All objects of a kind that read and name this cluster, in the order of their names."""
        for key in sorted(self._of_cluster.get((model.__name__, namespace, cluster), ())):
            held = self._held.get(key)
            found = read_held(model, held) if held is not None else None
            if isinstance(found, model):
                yield found

    def unread_of_cluster(
        self, model: type[T], namespace: str, cluster: str
    ) -> Iterator[tuple[Key, UserError]]:
        """What names this cluster and does not read, with why, in the order of names."""
        for key in sorted(self._of_cluster.get((model.__name__, namespace, cluster), ())):
            held = self._held.get(key)
            if held is None or "deletionTimestamp" in held.metadata:
                continue
            found = read_held(model, held)
            if isinstance(found, UserError):
                yield key, found

    def _file(self, key: Key, before: Held | None, now: Held | None) -> None:
        """Put an object into the drawer of the cluster that it names now."""
        was = _cluster_named(before)
        names = _cluster_named(now)
        if was and was != names:
            place = (key.kind, key.namespace, was)
            self._of_cluster[place].discard(key)
            if not self._of_cluster[place]:
                del self._of_cluster[place]
        if names and was != names:
            self._of_cluster.setdefault((key.kind, key.namespace, names), set()).add(key)

    def keys(self, kind: str, namespace: str | None = None) -> list[Key]:
        """Keys of a kind, sorted."""
        if namespace is not None:
            return list(self._in_order(kind, namespace))
        return sorted(
            key for (of, _), drawer in self._drawers.items() if of == kind for key in drawer
        )

    def _in_order(self, kind: str, namespace: str) -> list[Key]:
        """Sorted once: passes ask again and again, and names seldom come or go."""
        found = self._sorted.get((kind, namespace))
        if found is None:
            found = sorted(self._drawers.get((kind, namespace), ()))
            self._sorted[kind, namespace] = found
        return found


def read_held(model: type[T], held: Held) -> T | UserError:
    """The object as its model, or why it does not read."""
    if held.parsed is None:
        try:
            held.parsed = parse(model, held.document)
        except UserError as error:
            held.parsed = error
    assert isinstance(held.parsed, model | UserError), "a key names one kind"
    return held.parsed


def _cluster_named(held: Held | None) -> str:
    spec = held.document.get("spec") if held is not None else None
    ref = spec.get("clusterRef") if isinstance(spec, Mapping) else None
    return str(ref.get("name") or "") if isinstance(ref, Mapping) else ""


def _declared(document: Mapping[str, Any]) -> tuple[object, ...]:
    metadata = document.get("metadata") or {}
    return (
        document.get("spec"),
        metadata.get("uid"),
        metadata.get("generation"),
        metadata.get("labels"),
        metadata.get("annotations"),
        metadata.get("deletionTimestamp"),
    )


def _older(version: str, than: str) -> bool:
    """Resource versions of one API server are numbers that grow."""
    return version.isdigit() and than.isdigit() and int(version) < int(than)
