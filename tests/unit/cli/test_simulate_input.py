"""From files to a case: admitted as the API server would, refused with its sentences."""

from pathlib import Path

import pytest
import yaml
from tests.unit.cli.simulations import EXAMPLE, example

from standfast.cli.simulate_input import Declared, Told, case_of, choose, read, remarks, spans
from standfast.core.proof import Need, enough
from standfast.core.record import DataMode
from standfast.core.view import FencePolicy
from standfast.errors import UserError
from standfast.simulator.scenario import Case, Span


def written(tmp_path: Path, *documents: object) -> str:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    return str(file)


def documents() -> list[dict]:
    return [
        document
        for name in ("cluster.yaml", "resources.yaml", "witness.yaml")
        for document in yaml.safe_load_all((EXAMPLE / name).read_text())
    ]


def case(declared: Declared, told: Told | None = None) -> Case:
    return case_of(declared, choose(declared, None), told or Told({}, {}))


def test_the_example_is_a_pair_with_a_witness_and_its_timers() -> None:
    found = example()
    assert found.node_names() == ("vm-a", "vm-b")
    assert found.want.witnesses == ("third",)
    assert found.want.timing.ttl_ms == 1_500
    assert found.want.fence is FencePolicy.WHEN_NEEDED
    web, vip = found.things
    assert (web.spec.name, web.spec.suffices) == ("web", enough(Need.ADDRESS))
    assert (vip.spec.depends_on, vip.spec.rides_out, vip.is_address) == (("web",), True, True)


def test_a_shared_disk_needs_the_proof_that_the_agents_demand(tmp_path: Path) -> None:
    cluster, *others = documents()
    cluster["spec"]["data"] = "SharedDisk"
    found = case(read([written(tmp_path, cluster, *others)]))
    assert found.want.data is DataMode.SHARED_DISK
    assert found.things[0].spec.suffices == enough(Need.EXCLUSIVE)


def test_objects_of_others_and_lists_are_no_trouble(tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}
    everything = {"apiVersion": "v1", "kind": "List", "items": [secret, *documents()]}
    assert case(read([written(tmp_path, everything)])).want.name == "web"


def test_what_the_api_server_would_refuse_is_refused_with_its_sentence(tmp_path: Path) -> None:
    cluster, *others = documents()
    cluster["spec"]["data"] = "SharedDisk"
    cluster["spec"]["witnesses"] = []
    file = written(tmp_path, cluster, *others)
    with pytest.raises(UserError) as refused:
        read([file])
    assert "data is SharedDisk, but spec.witnesses is empty" in refused.value.problem
    assert refused.value.remedy == f"correct it in {file}"


def test_an_unknown_field_is_refused_by_its_path(tmp_path: Path) -> None:
    cluster, *others = documents()
    cluster["spec"]["tming"] = {}
    with pytest.raises(UserError, match=r"HACluster web: spec\.tming is not a field"):
        read([written(tmp_path, cluster, *others)])


def test_a_file_that_is_no_yaml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("kind: HACluster\nmetadata: {name: [}\n")
    with pytest.raises(UserError, match=r"cluster\.yaml, line 2, column 19"):
        read([str(file)])


def test_a_document_without_a_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no kind"):
        read([written(tmp_path, {"replicas": 2})])


@pytest.mark.parametrize("make", [False, True])
def test_files_that_are_not_there_are_named(tmp_path: Path, *, make: bool) -> None:
    place = tmp_path / "there"
    if make:
        place.mkdir()
    with pytest.raises(UserError, match=str(place)):
        read([str(place)])


def test_a_cluster_without_resources_has_nothing_to_keep_in_service(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no HAResource .* names cluster web"):
        case(read([written(tmp_path, documents()[0])]))


def test_resources_of_another_namespace_are_not_its_own(tmp_path: Path) -> None:
    cluster, *others = documents()
    cluster["metadata"]["namespace"] = "shop"
    with pytest.raises(UserError, match="no HAResource"):
        case(read([written(tmp_path, cluster, *others)]))


def test_several_clusters_need_a_name(tmp_path: Path) -> None:
    cluster, *others = documents()
    second = yaml.safe_load(yaml.safe_dump(cluster))
    second["metadata"]["name"] = "db"
    declared = read([written(tmp_path, cluster, second, *others)])
    with pytest.raises(UserError, match="holds 2 clusters \\(db, web\\)"):
        choose(declared, None)
    assert choose(declared, "web").metadata.name == "web"
    with pytest.raises(UserError, match="no object that is an HACluster mail"):
        choose(declared, "mail")


def test_resources_that_cannot_be_one_group_are_refused(tmp_path: Path) -> None:
    cluster, web, vip, *others = documents()
    web["spec"]["dependsOn"] = [{"name": "web-vip"}]
    with pytest.raises(UserError, match="in a circle"):
        case(read([written(tmp_path, cluster, web, vip, *others)]))


def test_two_resources_that_want_one_thing_are_refused(tmp_path: Path) -> None:
    cluster, web, vip, *others = documents()
    twin = {**vip, "metadata": {"name": "other-vip"}}
    with pytest.raises(UserError, match=r"other-vip and web-vip both want vip 10\.77\.1\.100"):
        case(read([written(tmp_path, cluster, web, vip, twin, *others)]))


def test_lengths_of_starts_are_taken_as_told() -> None:
    declared = read([str(EXAMPLE)])
    told = Told(spans(("web=800ms",), "--start-time"), spans(("web=1s-2s",), "--stop-time"))
    web = case(declared, told).things[0]
    assert (web.start, web.stop) == (Span(800, 800), Span(1_000, 2_000))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web", "is not a duration"),
        ("web=3", "'3' is not a duration"),
        ("=3s", "is not NAME=TIME"),
        ("web=2s-1s", "is not NAME=TIME"),
    ],
)
def test_lengths_that_do_not_read_are_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        spans((text,), "--start-time")


def test_a_length_for_nothing_is_refused_with_the_names_there_are() -> None:
    declared = read([str(EXAMPLE)])
    with pytest.raises(UserError, match="its resources are web, web-vip"):
        case(declared, Told({"db": Span(1, 1)}, {}))


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    cluster, web, vip, _ = documents()
    cluster["spec"]["nodes"][1]["maintenance"] = True
    cluster["spec"]["paused"] = True
    declared = read([written(tmp_path, cluster, web, vip)])
    said = remarks(declared, choose(declared, None))
    assert said[0].startswith("Witness third is not among the files")
    assert "vm-b" in said[1]
    assert "paused" in said[2]
    assert remarks(read([str(EXAMPLE)]), choose(read([str(EXAMPLE)]), None)) == []
