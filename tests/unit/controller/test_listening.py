"""How members are met: first words with the log, then long polls; few at a time."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from standfast.adapters.fakes.clock import FakeClock
from standfast.controller.calling import Caller, Door
from standfast.controller.listening import MET_AT_ONCE, Line, Switchboard
from standfast.errors import TransientError
from standfast.wire.api import LOG_PATH, STATUS_PATH, LogAnswer, MemberStatus

CLUSTER = "c"


def door(name: str) -> Door:
    return Door(name, (f"{name}:7380",), cast("Callable[[], Any]", None), name)


def status(kind: str) -> MemberStatus:
    return MemberStatus(
        seq=1,
        member_uid="m",
        name="a",
        kind=kind,
        boot_id="boot",
        run="run",
        agent_version="1",
        role="Standby",
        term=1,
    )


class Members:
    """Answers for all of them; a long poll never ends."""

    def __init__(self, kind: str = "data", *, is_log_told: bool = True) -> None:
        self.asked: list[str] = []
        self.at_once = self.most = 0
        self.polled: list[dict[str, str]] = []
        self._kind = kind
        self._is_log_told = is_log_told

    async def get(self, _door: Door, path: str, _answer: type, **more: Any) -> object:
        query = more.get("query") or {}
        self.asked.append("poll" if "wait" in query else path)
        if "wait" in query:
            self.polled.append(query)
            await asyncio.Event().wait()
        if path == LOG_PATH:
            if not self._is_log_told:
                raise TransientError("the log cannot be told")
            return LogAnswer(entries=())
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return status(self._kind)


async def heard(members: Members, count: int = 1) -> list[Line]:
    board = Switchboard(cast("Caller", members), FakeClock())
    names = [f"m{number}" for number in range(count)]
    board.connect(CLUSTER, {name: door(name) for name in names}, lambda: None)
    async with asyncio.timeout(5):
        while members.asked.count("poll") < count:  # noqa: ASYNC110
            await asyncio.sleep(0)
    found = [board.line(CLUSTER, name) for name in names]
    await board.close()
    assert board.line(CLUSTER, "m0") is None
    return [line for line in found if line is not None]


async def test_a_log_is_read_with_the_first_words_and_not_by_a_connection_of_its_own() -> None:
    members = Members()
    (line,) = await heard(members)
    assert members.asked == [STATUS_PATH, LOG_PATH, "poll"]
    assert line.log is not None


async def test_a_change_is_asked_for_by_its_number_and_the_run_that_counts_it() -> None:
    members = Members()
    await heard(members)
    (query,) = members.polled
    assert (query["after"], query["run"]) == ("1", "run")


async def test_a_witness_is_not_asked_for_a_log() -> None:
    members = Members("witness")
    (line,) = await heard(members)
    assert members.asked == [STATUS_PATH, "poll"]
    assert line.log is None


async def test_who_cannot_tell_its_log_is_heard_all_the_same() -> None:
    (line,) = await heard(Members(is_log_told=False))
    assert line.heard
    assert line.log is None


async def test_many_members_are_met_a_few_at_a_time() -> None:
    members = Members()
    found = await heard(members, 4 * MET_AT_ONCE)
    assert all(line.heard for line in found)
    assert members.most == MET_AT_ONCE


async def test_first_words_of_one_cluster_are_told_together() -> None:
    """Otherwise a restart makes a pass for each member, of which only the last counts."""
    told: list[str] = []
    board = Switchboard(cast("Caller", Members()), FakeClock())
    names = ["m0", "m1", "m2"]
    doors = {name: door(name) for name in names}
    board.connect(CLUSTER, doors, lambda: told.append("all"), lambda: told.append("some"))
    async with asyncio.timeout(5):
        while len(told) < len(names):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert told == ["some", "some", "all"]
    await board.close()
