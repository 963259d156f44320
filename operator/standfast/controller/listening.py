"""What every member says of itself, followed by one long poll each.

A `Line` holds the newest status of one member and whether the member is heard *now*: a long poll
is open, and its connection is alive. A member that vanishes without a word is noticed by TCP
keepalive within seconds, and by its peers, which are listened to as well, within their own ttl.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from standfast.controller.calling import Caller, Door, LateError
from standfast.controller.gate import Gate
from standfast.errors import StandfastError
from standfast.ports.clock import Clock
from standfast.wire.api import LOG_PATH, STATUS_PATH, LogAnswer, MemberStatus

WAIT_S = 30
ANSWER_S = 10.0
"""On top of the wait: an answer that is this late will not come."""
LOG_S = 2.0
"""A log that comes later than this is read beside the listening."""
DOUBT_MS_MIN = 1_000
DOUBTED_S = 1.5
"""A member that others have lost must answer within this time to count as heard."""
RETRY_S_MIN, RETRY_S_MAX = 0.2, 2.0
MET_AT_ONCE, HELD_S = 32, 0.25
"""Whoever has just begun, or was cut off, meets everybody: so many handshakes at once, and who
does not answer holds up the others for so long. All at once all would be late, and begin anew."""


@dataclass(slots=True)
class Line:
    """One member as heard.

    Attributes:
        status: Newest; kept when the member falls silent, to say what it was.
        heard: Whether it is heard now.
        asked_at_ms: When it was first asked; 0 while it waits for its turn.
        heard_at_ms: When it last answered.
        problem: Why it is not heard.
        boots: Boots it was seen in, to the moment each was first known.
        log: What a node had logged when it was first heard, until somebody takes it: read over
            the connection that is there anyway, before the long poll occupies it.
        doubt: Set when others have lost it: a process that stalls keeps its connections.
    """

    door: Door
    status: MemberStatus | None = None
    heard: bool = False
    asked_at_ms: int = 0
    heard_at_ms: int = 0
    problem: str = ""
    boots: dict[str, int] = field(default_factory=dict)
    log: LogAnswer | None = None
    doubt: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def now(self) -> MemberStatus | None:
        """Its status, unless it is not heard."""
        return self.status if self.heard else None

    @property
    def is_new(self) -> bool:
        """It was asked and has neither answered nor failed to: nothing is known of it yet."""
        return self.status is None and not self.problem


class Switchboard:
    """All lines of all clusters.

    Args:
        caller: Makes the calls.
        clock: Stamps what is heard.
    """

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self._caller = caller
        self._clock = clock
        self._lines: dict[str, dict[str, Line]] = {}
        """By cluster, so that a pass over one does not look through all."""
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._gate = Gate(MET_AT_ONCE, HELD_S, LateError)

    def line(self, cluster_uid: str, member_uid: str) -> Line | None:
        return self._lines.get(cluster_uid, {}).get(member_uid)

    def said(self, cluster_uid: str) -> list[MemberStatus]:
        """What each member of a cluster that is heard says now."""
        lines = self._lines.get(cluster_uid, {}).values()
        return [line.now for line in lines if line.now is not None]

    def counts(self) -> tuple[int, int]:
        """How many members are heard now, and how many are listened to."""
        lines = [line for of in self._lines.values() for line in of.values()]
        return sum(line.heard for line in lines), len(lines)

    def doubt(self, cluster_uid: str, member_uid: str) -> None:
        """Others do not hear this member: ask it now whether it is there."""
        line = self.line(cluster_uid, member_uid)
        if line is not None and self._clock.now_ms() - line.heard_at_ms >= DOUBT_MS_MIN:
            line.doubt.set()

    def connect(
        self,
        cluster_uid: str,
        doors: dict[str, Door],
        on_change: Callable[[], None],
        on_some: Callable[[], None] | None = None,
    ) -> None:
        """Listen to exactly these members of a cluster.

        Args:
            cluster_uid: Which cluster.
            doors: By member uid.
            on_change: Called when a member says something new, falls silent or is back.
            on_some: Called instead while others have yet to say their first word.
        """
        lines = self._lines.setdefault(cluster_uid, {})
        for member_uid, line in list(lines.items()):
            if doors.get(member_uid) != line.door:
                self._hang_up(cluster_uid, member_uid)
        for member_uid, door in doors.items():
            if member_uid not in lines:
                line = lines[member_uid] = Line(door)
                self._tasks[cluster_uid, member_uid] = asyncio.create_task(
                    self._listen(
                        line, partial(self._tell, lines, on_change, on_some or on_change)
                    ),
                    name=f"listen {door.who}",
                )

    def disconnect(self, cluster_uid: str) -> None:
        """Listen to nobody of this cluster any more."""
        for member_uid in list(self._lines.get(cluster_uid, ())):
            self._hang_up(cluster_uid, member_uid)
        self._lines.pop(cluster_uid, None)

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for cluster_uid in list(self._lines):
            self.disconnect(cluster_uid)
        await asyncio.gather(*tasks, return_exceptions=True)

    def _hang_up(self, cluster_uid: str, member_uid: str) -> None:
        del self._lines[cluster_uid][member_uid]
        self._tasks.pop((cluster_uid, member_uid)).cancel()

    @staticmethod
    def _tell(
        lines: Mapping[str, Line], on_change: Callable[[], None], on_some: Callable[[], None]
    ) -> None:
        is_more_to_come = any(line.is_new for line in lines.values())
        (on_some if is_more_to_come else on_change)()

    async def _listen(self, line: Line, on_change: Callable[[], None]) -> None:
        retry_s = RETRY_S_MIN
        while True:
            try:
                status = await self._ask(line)
            except StandfastError as error:
                if line.heard or line.problem != error.problem:
                    line.heard, line.problem = False, error.problem
                    on_change()
                await asyncio.sleep(retry_s)
                retry_s = min(2 * retry_s, RETRY_S_MAX)
                continue
            retry_s = RETRY_S_MIN
            if self._take(line, status):
                on_change()

    async def _ask(self, line: Line) -> MemberStatus:
        """The next change; the present state when it was not heard before, or is doubted."""
        if line.status is None:
            return await self._gate.through(self._first(line))
        if not line.heard:
            return await self._gate.through(self._present(line))
        known = line.status
        query = {"after": str(known.seq), "run": known.run, "wait": str(WAIT_S)}
        line.doubt.clear()
        change = asyncio.create_task(
            self._caller.get(
                line.door, STATUS_PATH, MemberStatus, query=query, total_s=ANSWER_S + WAIT_S
            )
        )
        doubted = asyncio.create_task(line.doubt.wait())
        try:
            await asyncio.wait((change, doubted), return_when=asyncio.FIRST_COMPLETED)
            if change.done():
                return change.result()
        finally:
            change.cancel()
            doubted.cancel()
            await asyncio.gather(change, doubted, return_exceptions=True)
        return await self._caller.get(line.door, STATUS_PATH, MemberStatus, total_s=DOUBTED_S)

    async def _first(self, line: Line) -> MemberStatus:
        """Its first words, and what a node has logged so far."""
        line.asked_at_ms = line.asked_at_ms or self._clock.now_ms()
        status = await self._present(line)
        with suppress(StandfastError):  # who cannot tell its log is heard all the same
            if status.kind == "data":
                line.log = await self._caller.get(
                    line.door, LOG_PATH, LogAnswer, query={"after": "0"}, total_s=LOG_S
                )
        return status

    async def _present(self, line: Line) -> MemberStatus:
        return await self._caller.get(line.door, STATUS_PATH, MemberStatus, total_s=ANSWER_S)

    def _take(self, line: Line, status: MemberStatus) -> bool:
        before = line.now
        now_ms = self._clock.now_ms()
        line.status, line.heard, line.heard_at_ms, line.problem = status, True, now_ms, ""
        line.boots.setdefault(status.boot_id, now_ms)
        return before is None or (before.run, before.seq) != (status.run, status.seq)
