"""The store: the newest object, and whether anything but its status changed."""

from typing import Any

from standfast.api.kinds import HARESOURCE, WITNESS
from standfast.api.resource import HAResource
from standfast.api.witness import Witness
from standfast.controller.store import Key, Store, read_held
from standfast.errors import UserError

KEY = Key("Witness", "ns", "w")


def witness(version: str = "1", uid: str = "u1", **changed: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "apiVersion": "standfast.dev/v1alpha1",
        "kind": "Witness",
        "metadata": {
            "name": "w",
            "namespace": "ns",
            "uid": uid,
            "resourceVersion": version,
            "generation": 1,
        },
        "spec": {"agent": {"addresses": ["192.0.2.1:7380"]}},
    }
    document.update(changed)
    return document


def test_a_new_object_is_news_and_the_same_again_is_not() -> None:
    store = Store()
    assert store.put(WITNESS, witness()) == (KEY, True)
    assert store.put(WITNESS, witness()) == (KEY, False)


def test_a_status_that_we_wrote_ourselves_is_no_news() -> None:
    store = Store()
    store.put(WITNESS, witness())
    _, is_news = store.put(WITNESS, witness("2", status={"version": "1"}))
    assert not is_news
    held = store.held(KEY)
    assert held is not None
    assert held.version == "2"


def test_the_same_version_by_another_schema_is_news() -> None:
    """As after a CRD was changed: its defaults are put in when an object is read."""
    store = Store()
    store.put(WITNESS, witness(spec={"managed": {}, "novelty": 7}))
    assert store.put(WITNESS, witness(spec={"managed": {}})) == (KEY, True)
    assert store.get(Witness, "ns", "w") is not None


def test_an_older_version_that_comes_late_changes_nothing() -> None:
    store = Store()
    store.put(WITNESS, witness("10"))
    store.put(WITNESS, witness("9", spec={"managed": {}}))
    held = store.held(KEY)
    assert held is not None
    assert held.version == "10"


def test_an_object_of_the_same_name_made_anew_is_news_whatever_its_version() -> None:
    store = Store()
    store.put(WITNESS, witness("10"))
    assert store.put(WITNESS, witness("3", uid="u2"))[1]


def test_only_the_very_object_that_was_deleted_is_dropped() -> None:
    store = Store()
    store.put(WITNESS, witness("10", uid="u2"))
    assert not store.drop_if(KEY, "u1")
    assert store.drop_if(KEY, "u2")
    assert store.held(KEY) is None


def test_an_object_that_came_after_a_list_was_made_is_not_dropped_by_it() -> None:
    store = Store()
    store.put(WITNESS, witness("10"))
    assert not store.drop_older(KEY, "9")
    assert store.drop_older(KEY, "10")
    assert not store.drop_older(KEY, "10")


def test_an_object_that_does_not_read_is_kept_with_the_sentence() -> None:
    store = Store()
    store.put(WITNESS, witness(spec={"nonsense": 1}))
    held = store.held(KEY)
    assert held is not None
    found = read_held(Witness, held)
    assert isinstance(found, UserError)
    assert "nonsense" in found.problem
    assert store.get(Witness, "ns", "w") is None
    assert list(store.all(Witness)) == []


def test_objects_come_by_kind_and_namespace_in_the_order_of_names() -> None:
    store = Store()
    for name in ("b", "a"):
        document = witness()
        document["metadata"] = {**document["metadata"], "name": name, "uid": name}
        store.put(WITNESS, document)
    assert [each.metadata.name for each in store.all(Witness, "ns")] == ["a", "b"]
    assert store.keys("Witness", "other") == []


def test_names_that_come_and_go_are_seen_by_who_asks_again() -> None:
    store = Store()
    for name in ("c", "a", "b"):
        document = witness()
        document["metadata"] = {**document["metadata"], "name": name, "uid": name}
        key, _ = store.put(WITNESS, document)
        store.keys("Witness", "ns").append(KEY)  # the answer is the asker's own
        assert key in store.keys("Witness", "ns")
    store.drop(Key("Witness", "ns", "a"))
    assert [key.name for key in store.keys("Witness", "ns")] == ["b", "c"]
    store.drop(Key("Witness", "ns", "b"))
    store.drop(Key("Witness", "ns", "c"))
    assert store.keys("Witness", "ns") == []


def test_what_names_a_cluster_is_found_there_and_nowhere_else() -> None:
    store = Store()

    def put(name: str, cluster: str, version: int) -> None:
        metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": str(version)}
        spec = {"clusterRef": {"name": cluster}, "systemd": {"unit": "web.service"}}
        store.put(HARESOURCE, {"metadata": metadata, "spec": spec})

    def of(cluster: str) -> list[str]:
        found = store.of_cluster(HAResource, "ns", cluster)
        return [each.metadata.name for each in found]

    put("web", "orders", 1)
    put("vip", "orders", 2)
    put("db", "billing", 3)
    assert (of("orders"), of("billing"), of("other")) == (["vip", "web"], ["db"], [])
    put("web", "billing", 4)
    assert (of("orders"), of("billing")) == (["vip"], ["db", "web"])
    for name in ("web", "vip", "db"):
        store.drop(Key("HAResource", "ns", name))
    assert (of("orders"), of("billing")) == ([], [])
    assert not store._of_cluster


def test_what_does_not_read_is_not_found_under_the_cluster_that_it_names() -> None:
    store = Store()
    for name, spec in (("a", {"clusterRef": {"name": "orders"}}), ("b", {"clusterRef": 7})):
        metadata = {"name": name, "namespace": "ns", "uid": name, "resourceVersion": "1"}
        store.put(HARESOURCE, {"metadata": metadata, "spec": spec})
    assert list(store.of_cluster(HAResource, "ns", "orders")) == []
