"""What a `Witness` shows of itself, whomever and how many it serves."""

from types import SimpleNamespace
from typing import cast

from standfast.api.kinds import HACLUSTER
from standfast.api.parse import parse
from standfast.api.witness import Witness
from standfast.controller.parts import Parts
from standfast.controller.places import SHOWN_MAX, _witness_status
from standfast.controller.statuses import Judged
from standfast.controller.store import Held, Key, Store
from standfast.controller.witnesses import Found
from tests.unit.controller.test_groups import NODES, document

KEY = Key("Witness", "ns", "third")
CLUSTERS = SHOWN_MAX + 44


def test_a_witness_of_more_clusters_than_it_can_show_is_reported_all_the_same() -> None:
    store = Store()
    for number in range(CLUSTERS):
        spec = {
            "infrastructureRef": {"name": "i"},
            "nodes": NODES,
            "witnesses": [{"name": "third"}],
        }
        store.put(HACLUSTER, document("HACluster", f"c{number:03}", spec))
    made = document("Witness", "third", {"agent": {"addresses": ["10.0.0.9"]}})
    found = Found(KEY, addresses=("10.0.0.9:7380",), answers=True)
    status = _witness_status(
        cast("Parts", SimpleNamespace(store=store)),
        Judged(KEY, Held(made)),
        parse(Witness, made),
        found,
    )
    assert [each.name for each in status.clusters][-1] == f"c{SHOWN_MAX - 1:03}"
    assert status.conditions[0].reason == "Answering"
