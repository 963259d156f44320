"""What a container is to be, from its manifest."""

from pathlib import Path

import pytest

from standfast.lab.kube_client import Json
from standfast.lab.pods_spec import (
    CAPABILITY_NUMBERS,
    NotStartableError,
    Place,
    command,
    environment,
    expand,
    field,
    hostname,
    rights,
    sources,
)

PLACE = Place("node-1", "10.77.0.1", "10.77.0.10", "10.77.0.1", 6443, Path("/venv/bin"))


def pod(**spec: object) -> Json:
    return {
        "metadata": {"name": "web-0", "namespace": "shop", "uid": "u1", "labels": {"a/b": "c"}},
        "spec": {"serviceAccountName": "sa", **spec},
    }


def container(**rest: object) -> Json:
    return {"name": "main", "image": "any", "command": ["true"], **rest}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-2"),
        ("$$(A)", "$(A)"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A $", "$A $"),
        ("$$$(A)", "$1"),
    ],
)
def test_names_in_round_brackets_are_replaced(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expanded


def test_later_variables_see_earlier_ones_and_win_over_whole_sources() -> None:
    manifest = container(
        envFrom=[{"configMapRef": {"name": "c"}, "prefix": "P_"}],
        env=[
            {"name": "P_A", "value": "own"},
            {"name": "B", "value": "$(P_A)$(P_C)$(LATER)"},
            {"name": "LATER", "value": "x"},
        ],
    )
    env = environment(pod(), manifest, {("configMap", "c"): {"A": "1", "C": "3"}}, PLACE)
    assert (env["P_A"], env["P_C"], env["B"]) == ("own", "3", "own3$(LATER)")


def test_nothing_of_this_machines_environment_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THIS_MACHINE", "1")
    assert set(environment(pod(), container(), {}, PLACE)) == {
        "PATH",
        "HOME",
        "HOSTNAME",
        "KUBERNETES_SERVICE_HOST",
        "KUBERNETES_SERVICE_PORT",
        "KUBERNETES_SERVICE_PORT_HTTPS",
    }


def test_a_missing_key_stops_a_container_unless_it_is_optional() -> None:
    reference = {"name": "s", "key": "k"}
    manifest = container(env=[{"name": "X", "valueFrom": {"secretKeyRef": reference}}])
    with pytest.raises(NotStartableError, match="key k in secret s"):
        environment(pod(), manifest, {("secret", "s"): {}}, PLACE)
    reference["optional"] = True  # type: ignore[assignment]  # plain JSON
    assert "X" not in environment(pod(), manifest, {}, PLACE)


def test_sources_are_what_the_environment_needs() -> None:
    manifest = container(
        envFrom=[{"secretRef": {"name": "all", "optional": True}}],
        env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}}],
    )
    assert sources(manifest) == {("secret", "all"): True, ("configMap", "one"): False}


def test_fields_are_those_of_the_downward_api() -> None:
    assert field(pod(), "metadata.labels['a/b']", PLACE) == "c"
    assert field(pod(), "metadata.annotations['none']", PLACE) == ""
    assert field(pod(), "spec.serviceAccountName", PLACE) == "sa"
    with pytest.raises(NotStartableError, match=r"spec\.containers"):
        field(pod(), "spec.containers", PLACE)


def test_the_products_images_need_no_command_and_find_their_programs() -> None:
    manifest = {"name": "main", "image": "ghcr.io/x/standfast-operator@sha256:1", "args": ["$(A)"]}
    env = environment(pod(), manifest, {}, PLACE)
    assert env["PATH"].startswith("/venv/bin:")
    assert command(manifest, {"A": "1"}) == ("standfast-operator", "1")
    assert "/venv" not in environment(pod(), container(), {}, PLACE)["PATH"]


def test_a_strangers_image_without_a_command_is_refused() -> None:
    with pytest.raises(NotStartableError, match="my-standfast-operator-fork") as caught:
        command({"name": "main", "image": "my-standfast-operator-fork"}, {})
    assert caught.value.reason == "ErrImageNeverPull"


def test_the_containers_security_context_wins_over_the_pods() -> None:
    outer = {"runAsUser": 1, "fsGroup": 5, "supplementalGroups": [7], "runAsNonRoot": True}
    inner = {"runAsUser": 2, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False}
    found = rights(pod(securityContext=outer), container(securityContext=inner))
    assert (found.uid, found.gid, found.groups) == (2, 0, (5, 7))
    assert found.root_read_only
    assert not found.gains_privileges


def test_who_must_not_be_root_has_to_say_who_he_is() -> None:
    with pytest.raises(NotStartableError, match="runAsUser must say"):
        rights(pod(), container(securityContext={"runAsNonRoot": True}))


def test_capabilities_are_dropped_and_added() -> None:
    def of(**context: object) -> frozenset[int]:
        return rights(pod(), container(securityContext=context)).capabilities

    none_but_one = of(capabilities={"drop": ["ALL"], "add": ["NET_RAW"]})
    assert none_but_one == {CAPABILITY_NUMBERS["NET_RAW"]}
    assert CAPABILITY_NUMBERS["SYS_ADMIN"] not in of()
    assert CAPABILITY_NUMBERS["SYS_ADMIN"] in of(privileged=True)
    assert CAPABILITY_NUMBERS["KILL"] not in of(capabilities={"drop": ["KILL"]})
    with pytest.raises(NotStartableError, match="NO_SUCH"):
        of(capabilities={"add": ["NO_SUCH"]})


def test_a_hostname_is_the_pods_name_unless_it_has_its_own() -> None:
    assert hostname(pod()) == "web-0"
    assert hostname(pod(hostname="db")) == "db"
