"""What an operator that has just begun shows: what stood there, until it has asked everybody."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from standfast.api.cluster_status import HAClusterStatus
from standfast.api.conditions import ConditionType, with_condition
from standfast.api.kinds import HACLUSTER
from standfast.controller.clusters import (
    FIRST_WORDS_MS,
    FIRST_WORDS_MS_MAX,
    REST_MS,
    Clusters,
    again_ms,
    asking_for_ms,
)
from standfast.controller.gathering import Scenery
from standfast.controller.infrastructures import Connected
from standfast.controller.listening import Line
from standfast.controller.memory import Memory
from standfast.controller.parts import Parts
from standfast.controller.store import Key, Store
from standfast.core.placement import FAILBACK_SETTLED_MS, plan
from standfast.errors import TransientError
from tests.unit.controller.test_groups import cluster
from tests.unit.controller.test_observation import SpokenTo, line, vm
from tests.unit.core import operator_views as views

NOW_MS = 1_000_000
KEY = Key("HACluster", "ns", "orders")


def scenery(*, is_shown_before: bool = True, **changed: Any) -> Scenery:
    declared = cluster()
    if is_shown_before:
        conditions = with_condition(
            (),
            ConditionType.READY,
            True,
            reason="Serving",
            message="it serves",
            generation=1,
            now=datetime(2026, 1, 1, tzinfo=UTC),
        )
        shown = HAClusterStatus(conditions=conditions)
        declared = declared.model_copy(update={"status": shown})
    values: dict[str, Any] = {
        "key": KEY,
        "cluster": declared,
        "declared": declared,
        "leaving": frozenset(),
        "memory": Memory(),
        "office": None,
        "places": (),
        "lines": {"a": line("a"), "b": Line(line("b").door)},
        "infrastructures": {},
        "resources": (),
        "group": None,
        "stalled": None,
    }
    return Scenery(**{**values, **changed})


def test_while_a_member_was_neither_heard_nor_missed_the_status_stays() -> None:
    asked = Line(line("b").door, asked_at_ms=NOW_MS)
    first = scenery(lines={"a": line("a"), "b": asked})
    assert asking_for_ms(first, NOW_MS) == FIRST_WORDS_MS
    assert asking_for_ms(first, NOW_MS + 4_000) == FIRST_WORDS_MS - 4_000
    assert asking_for_ms(first, NOW_MS + FIRST_WORDS_MS) == 0, "it does not answer"


def test_a_member_that_waits_for_its_turn_is_not_missed_before_it_was_asked() -> None:
    """Of a thousand clusters not all are asked at once: that is no silence of theirs."""
    later = Line(line("b").door)
    first = scenery(lines={"a": line("a"), "b": later})
    assert asking_for_ms(first, NOW_MS) == FIRST_WORDS_MS
    assert asking_for_ms(first, NOW_MS + 30_000) == FIRST_WORDS_MS
    later.asked_at_ms = NOW_MS + 30_000
    assert asking_for_ms(first, NOW_MS + 39_000) == FIRST_WORDS_MS - 9_000
    assert asking_for_ms(first, NOW_MS + 40_000) == 0
    later.asked_at_ms = 0
    assert asking_for_ms(first, NOW_MS + FIRST_WORDS_MS_MAX) == 0, "not for ever"


@pytest.mark.parametrize("other", [line("b"), Line(line("b").door, problem="b is not there")])
def test_once_everybody_was_heard_or_missed_it_is_shown(other: Line) -> None:
    assert asking_for_ms(scenery(lines={"a": line("a"), "b": other}), NOW_MS) == 0


def test_an_infrastructure_is_waited_for_until_it_has_told_of_the_vm_or_is_in_trouble() -> None:
    silent = Connected(Key("Infrastructure", "ns", "i"))
    away = Connected(silent.key, problem=TransientError("no Secret"))
    for held, is_waited_for in ((silent, True), (away, False), (SpokenTo(vm(0)), False)):
        found = scenery(lines={}, infrastructures={"a": held})
        assert (asking_for_ms(found, NOW_MS) > 0) is is_waited_for
    found = scenery(lines={}, infrastructures={"b": SpokenTo(vm(0))})
    assert asking_for_ms(found, NOW_MS) > 0, "of this VM nothing was said yet"
    told = SpokenTo(missing={vm(1).uuid: "there is none"})
    assert asking_for_ms(scenery(lines={}, infrastructures={"b": told}), NOW_MS) == 0


def test_nothing_is_kept_of_a_cluster_without_a_status_or_after_the_first() -> None:
    assert asking_for_ms(scenery(is_shown_before=False), NOW_MS) == 0
    assert asking_for_ms(scenery(memory=Memory(is_shown=True)), NOW_MS) == 0


def test_a_node_that_service_may_return_to_soon_is_looked_at_when_it_may() -> None:
    """Nobody has news at that moment."""
    ready_ms = views.NOW_MS - FAILBACK_SETTLED_MS + 400
    picture = views.seen(
        views.node(views.A, ready_since_ms=ready_ms), views.active(views.B), views.witness()
    )
    want = views.wanted(failback=True)
    assert again_ms(want, picture, plan(want, picture), is_moving=False) == 400
    stays = views.wanted()
    assert again_ms(stays, picture, plan(stays, picture), is_moving=False) == REST_MS


async def test_a_cluster_that_was_made_anew_between_two_looks_is_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the members of the old one are listened to for as long as the process lives."""
    told: list[tuple[str, str]] = []
    store = Store()
    clusters = Clusters(parts(store, told))

    async def passes(_judged: object, _scenery: object) -> int:
        return 0

    async def gathers(_key: object, _cluster: object, memory: Memory) -> Memory:
        return memory

    monkeypatch.setattr(clusters, "_pass", passes)
    monkeypatch.setattr(clusters._gatherer, "gather", gathers)
    for uid in ("old", "old", "new"):
        metadata = {"name": "orders", "namespace": "ns", "uid": uid, "resourceVersion": "1"}
        store.put(HACLUSTER, {**cluster().to_object(), "metadata": metadata})
        await clusters.look(KEY)
    assert told == [("disconnect", "old"), ("forget", "old")]


def parts(store: Store, told: list[tuple[str, str]]) -> Parts:
    async def drop(_key: Key) -> None:
        return

    def nothing(*_: object) -> None:
        return

    return cast(
        "Parts",
        SimpleNamespace(
            store=store,
            caller=None,
            executor=None,
            errands=SimpleNamespace(drop=drop),
            infrastructures=SimpleNamespace(unused_by=nothing),
            queue=SimpleNamespace(forget=nothing),
            statuses=SimpleNamespace(forget=nothing),
            switchboard=SimpleNamespace(disconnect=lambda uid: told.append(("disconnect", uid))),
            authorities=SimpleNamespace(forget=lambda uid: told.append(("forget", uid))),
        ),
    )
