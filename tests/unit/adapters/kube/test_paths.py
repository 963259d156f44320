"""Paths of the API server."""

from standfast.adapters.kube.paths import EVENTS, SECRETS, Owner


def test_the_core_group_and_the_others_have_different_roots() -> None:
    assert SECRETS.path("ns", "n") == "/api/v1/namespaces/ns/secrets/n"
    assert EVENTS.path("ns") == "/apis/events.k8s.io/v1/namespaces/ns/events"
    assert SECRETS.path() == "/api/v1/secrets"
    assert SECRETS.path("ns", "n", "status").endswith("/n/status")


def test_an_owner_knows_its_own_by_uid() -> None:
    owner = Owner("standfast.dev/v1alpha1", "HACluster", "orders", "u1")
    mine = {"metadata": {"ownerReferences": [owner.reference()]}}
    assert owner.owns(mine)
    assert not owner.owns({"metadata": {}})
    assert not Owner("v", "HACluster", "orders", "u2").owns(mine)
