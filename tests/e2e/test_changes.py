"""Members and timers of a pair that serves are changed, watched from the client: all unfelt."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from standfast.core.timing import Profile
from standfast.lab.kubectl import until
from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab


def patch(pair: Pair, spec: dict[str, Any]) -> None:
    text = json.dumps({"spec": spec})
    pair.cluster.kubectl.run("patch", "hac", "web", "--type=merge", f"--patch={text}")


def in_force(pair: Pair, claim: Callable[[dict[str, Any]], bool]) -> float:
    """Wait until the change is over, and the status shows what came of it."""

    def look() -> str | None:
        document = cast("dict[str, Any]", pair.cluster.document())
        status = document["status"]
        there = {c["type"]: f"{c['reason']}: {c['message']}" for c in status["conditions"]}
        if status["observedGeneration"] != document["metadata"]["generation"]:
            return "the new spec has not been seen"
        for kind in ("Reconciling", "Stalled"):
            if kind in there:
                return there[kind]
        return None if claim(status) else json.dumps(status)[:500]

    return until("the changed spec in force", look, 60)


def ttl_is(ttl_ms: int) -> Callable[[dict[str, Any]], bool]:
    return lambda status: bool(status["timing"]["ttlMs"] == ttl_ms)


def test_the_profile_changes_under_a_running_service(pair: Pair) -> None:
    with pair.watched() as watch:
        for profile in (Profile.FAST, Profile.TOLERANT, Profile.NORMAL):
            patch(pair, {"timing": {"profile": profile.value}})
            took_s = in_force(pair, ttl_is(profile.timing.ttl_ms))
            print(f"\n{profile.value} in force after {took_s:.1f} s")
    pair.assert_undisturbed(watch)


def test_the_witness_is_removed_and_added_again(pair: Pair) -> None:
    with pair.watched() as watch:
        patch(pair, {"witnesses": []})
        in_force(pair, lambda status: not status.get("witnesses"))
        patch(pair, {"witnesses": [{"name": "third"}]})
        in_force(pair, lambda status: bool(status["witness"] == "1/1"))
    pair.assert_undisturbed(watch)


def test_a_wiped_standby_joins_again_as_another_member(pair: Pair) -> None:
    vm = pair.lab.vm(pair.standby)
    before = dict(pair.cluster.nodes())[pair.standby]["memberUID"]
    with pair.watched() as watch:
        vm.exec(["systemctl", "stop", "standfast-agent"])
        vm.exec(["sh", "-c", "rm -rf /var/lib/standfast/*"])
        vm.exec(["systemctl", "start", "standfast-agent"])
        pair.cluster.kubectl.standfast("replace", "web", pair.standby, "--yes")
        until("its old membership over", lambda: still_enrolled(pair), 60)
        vm.enroll(pair.cluster.kubectl.standfast("enroll", "web", pair.standby).encode())
        in_force(pair, lambda _: uid_of(pair) not in {None, before})
    pair.cluster.wait_settled()
    pair.assert_undisturbed(watch)
    pair.stop_a_stranger()


def uid_of(pair: Pair) -> object:
    return dict(pair.cluster.nodes())[pair.standby].get("memberUID")


def still_enrolled(pair: Pair) -> str | None:
    node = dict(pair.cluster.nodes())[pair.standby]
    return None if node.get("enrolment") != "Enrolled" else json.dumps(node)[:300]
