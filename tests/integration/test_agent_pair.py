"""Two agents and a witness as processes: enrolment, election, failover, in real time.

Each test has its own subnet of 127/8. Times are printed (`-s`), not asserted: the machine that
runs tests is busy, and `make bench` measures.
"""

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from standfast.core.timing import Profile
from standfast.wire import api
from tests.integration.member_bed import (
    PORT,
    VIP,
    WEB,
    ApiError,
    Bed,
    Party,
    another_version,
    boottime_ms,
    serving_pair,
)

pytestmark = pytest.mark.timeout(90)


def started_at_ms(node: Party, resource: str, after_ms: int) -> int:
    """When a resource was first started on a node after a moment."""
    return next(
        int(line["at_ms"])
        for line in node.history()
        if line["resource"] == resource
        and line["what"] in {"started", "adopted"}
        and line["at_ms"] >= after_ms
    )


def last_until_ms(node: Party, resource: str) -> int:
    """Until when a killed node's resource was let live."""
    lines = [line for line in node.history() if line["resource"] == resource]
    return int(lines[-1]["until_ms"])


async def test_a_port_that_is_in_use_is_taken_once_it_is_free(tmp_path: Path) -> None:
    bed = Bed(tmp_path, 20)
    node = bed.parties["a"]
    try:
        with socket.create_server((node.address, PORT)):
            enrolling = asyncio.create_task(bed.enrol(node))
            async with asyncio.timeout(20):
                while "Address already in use" not in said(node):  # noqa: ASYNC110 its log
                    await asyncio.sleep(0.1)
        await asyncio.wait_for(enrolling, 20)
        assert (await bed.status(node)).role == "Unconfigured"
    finally:
        await bed.close()


def said(party: Party) -> str:
    log = party.directory / "log"
    return log.read_text() if log.exists() else ""


async def test_kill_of_the_holder_lets_the_other_serve(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 11) as bed:
        old = await bed.active()
        new = bed.other(old)
        began_ms = boottime_ms()
        old.signal(signal.SIGKILL)
        status = await bed.until(new, lambda s: s.role == "Active")
        took_ms = started_at_ms(new, "vip", began_ms) - began_ms
        assert status.last_takeover is not None
        print(
            f"\nkill -9 of the holder: vip on the other after {took_ms} ms; {status.last_takeover}"
        )
        for resource in ("web", "vip"):
            assert started_at_ms(new, resource, began_ms) >= last_until_ms(old, resource)
        old.start()
        await bed.until(old, lambda s: s.role == "Standby" and s.eligible)
        assert (await bed.status(new)).term == status.term


def changes_since(node: Party, since_ms: int) -> list[tuple[str, int]]:
    return [
        (str(line["what"]), int(line["at_ms"]) - since_ms)
        for line in node.history()
        if line["at_ms"] >= since_ms and line["what"] != "extended"
    ]


async def test_a_crash_of_the_agent_interrupts_nothing(tmp_path: Path) -> None:
    """The spare adopts, and the service that comes back adopts from it.

    With timers that outlast the start of a process on a busy machine: these agents have no
    real-time priority.
    """
    async with serving_pair(tmp_path, 12, timing=Profile.TOLERANT.timing) as bed:
        node = await bed.active()
        run = (await bed.status(node)).run
        began_ms = boottime_ms()
        node.signal_main(signal.SIGKILL)
        spare = await bed.until(node, lambda s: s.role == "Active" and s.run != run)
        node.start()
        back = await bed.until(
            node, lambda s: s.role == "Active" and s.run not in {run, spare.run}
        )
        print(f"\ncrash of the agent: {changes_since(node, began_ms)}")
        assert {what for what, _ in changes_since(node, began_ms)} == {"adopted"}
        assert back.term == 3
        assert (await bed.status(bed.other(node))).role == "Standby"


async def test_f90_an_agent_of_another_version_adopts_what_the_one_before_serves(
    tmp_path: Path,
) -> None:
    """An upgrade where it serves, and the way back: the agent is restarted, and nothing else is.

    The newer one keeps more on disk, and says more, than the older one knows.
    """
    newer = await asyncio.to_thread(another_version, tmp_path, "99.1.0")
    async with serving_pair(tmp_path, 21, timing=Profile.TOLERANT.timing) as bed:
        node = await bed.active()
        before = await bed.status(node)
        for version, packages in (("99.1.0", (newer,)), (before.agent_version, ())):
            began_ms = boottime_ms()
            await asyncio.to_thread(node.signal_main, signal.SIGTERM)
            node.packages = packages
            node.start()
            now = await bed.until(
                node,
                lambda s, v=version: s.role == "Active" and s.agent_version == v,  # type: ignore[misc]  # mypy cannot infer a lambda's default
            )
            print(f"\nto version {version}: {changes_since(node, began_ms)}")
            assert {what for what, _ in changes_since(node, began_ms)} == {"adopted"}
            assert now.incarnation == before.incarnation
            await bed.until(
                bed.other(node),
                lambda s: s.role == "Standby" and s.eligible and all(p.reachable for p in s.peers),
            )
        assert now.record_version > before.record_version
        assert changes_since(bed.other(node), 0) == [], "it has not served"


async def test_a_stop_of_the_service_takes_the_spare_along(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 19) as bed:
        node = await bed.active()
        node.signal_main(signal.SIGTERM)
        await bed.until(bed.other(node), lambda s: s.role == "Active")
        assert node.living() == []
        assert changes_since(node, 0)[-1][0] == "started", "it leaves what runs to the lease"


async def test_a_planned_switchover(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 13) as bed:
        old = await bed.active()
        new = bed.other(old)
        began_ms = boottime_ms()
        request = api.ReleaseRequest(successor=new.uid, reason="test", request_id="r1")
        accepted = await bed.ask(old, "POST", api.RELEASE_PATH, api.Accepted, request)
        assert accepted.accepted
        again = await bed.ask(old, "POST", api.RELEASE_PATH, api.Accepted, request)
        assert again.accepted
        status = await bed.until(new, lambda s: s.role == "Active")
        took_ms = started_at_ms(new, "vip", began_ms) - began_ms
        print(f"\nswitchover: vip on the other after {took_ms} ms")
        assert [proof.proof for proof in status.proofs] == ["Released"]
        stopped = [line for line in old.history() if line["what"] == "stopped"]
        assert [line["resource"] for line in stopped] == ["vip", "web"]
        await bed.until(old, lambda s: s.role == "Standby")


async def test_a_stalled_holder_has_lost_everything_when_it_wakes(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 14) as bed:
        old = await bed.active()
        new = bed.other(old)
        old.signal(signal.SIGSTOP)
        await bed.until(new, lambda s: s.role == "Active")
        old.signal(signal.SIGCONT)
        await bed.until(old, lambda s: s.role == "Standby" and not s.suspects)
        assert (await bed.status(new)).role == "Active"
        assert not [line for line in old.history() if line["at_ms"] > boottime_ms()]


async def test_a_failing_resource_moves_the_service(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 15) as bed:
        old = await bed.active()
        new = bed.other(old)
        things = old.directory / "things"
        (things / "web.json").unlink()
        await bed.until(old, lambda s: s.resources[0].restarts == 1)
        assert (await bed.active()) is old
        (things / "web.broken").touch()
        (things / "web.json").unlink()
        status = await bed.until(new, lambda s: s.role == "Active")
        assert status.proofs[0].proof == "Released"
        after = await bed.until(old, lambda s: s.role == "Standby")
        assert any("cools down" in reason for reason in after.ineligible_reasons)


async def test_the_witness_comes_and_goes(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 16) as bed:
        active = await bed.active()
        term = (await bed.status(active)).term
        witness = bed.parties["w"]
        witness.signal(signal.SIGKILL)
        lost = await bed.until(active, lambda s: not all(peer.reachable for peer in s.peers))
        assert lost.role == "Active"
        witness.start()
        back = await bed.until(active, lambda s: all(peer.reachable for peer in s.peers))
        assert (back.role, back.term) == ("Active", term)


async def test_what_the_api_refuses(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 17) as bed:
        active = await bed.active()
        await refused_requests(bed, active)


async def refused_requests(bed: Bed, active: Party) -> None:
    async def refused(*request: object, **options: object) -> ApiError:
        with pytest.raises(ApiError) as raised:
            await bed.ask(active, *request, **options)
        return raised.value

    bed.token = 5
    await bed.status(active)
    old = await refused("GET", api.STATUS_PATH, api.MemberStatus, token=4)
    assert (old.status, old.problem.reason) == (409, "OldToken")
    assert "token is 4" in old.problem.problem

    other = await refused(
        "PUT",
        api.CONFIG_PATH,
        api.Accepted,
        bed.signed(bed.config().__class__(bed.cluster, bed.config().members[:1], bed.timing)),
    )
    assert other.status in {400, 409}
    same = await bed.ask(active, "PUT", api.CONFIG_PATH, api.Accepted, bed.signed(bed.config()))
    assert same.accepted

    stale = api.GroupRequest(generation=0)
    assert (await refused("PUT", api.RESOURCES_PATH, api.Done, stale)).status == 409

    circle = api.GroupRequest(
        generation=9,
        resources=(WEB.__class__(name="web", unit="x", depends_on=("vip",)), VIP),
    )
    looped = await refused("PUT", api.RESOURCES_PATH, api.Done, circle)
    assert looped.status == 400
    assert "circle" in looped.problem.problem

    nobody = api.FencedRequest(member="nobody", boot="b", evidence="none")
    assert (await refused("POST", api.FENCED_PATH, api.Done, nobody)).status == 400

    itself = api.ReleaseRequest(successor=active.uid, request_id="r9")
    held = await refused("POST", api.RELEASE_PATH, api.Accepted, itself)
    assert "holds the lease already" in held.problem.problem

    missing = await refused("GET", "/v1/nothing", api.Done)
    assert missing.status == 404


async def test_at_rest_it_costs_little(tmp_path: Path) -> None:
    async with serving_pair(tmp_path, 18) as bed:
        await asyncio.sleep(2)
        before = {name: _ticks(party) for name, party in bed.parties.items()}
        await asyncio.sleep(5)
        for name, party in bed.parties.items():
            percent = (_ticks(party) - before[name]) / 5
            rss_mb = _rss_mb(party)
            print(f"\n{name}: {percent:.1f} % of a core, {rss_mb:.1f} MB")
            assert percent < 6
            assert rss_mb < 80


def _ticks(party: Party) -> int:
    assert party.process is not None
    text = Path(f"/proc/{party.process.pid}/stat").read_text()
    fields = text.rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def _rss_mb(party: Party) -> float:
    assert party.process is not None
    text = Path(f"/proc/{party.process.pid}/status").read_text()
    line = next(row for row in text.splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
