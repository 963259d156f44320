"""The agent's end of the guard's socket: asks, keeps what it asked for, notices the guard's death.

The client remembers the plan and the last extension and says both again to a guard that comes
back. What an earlier run of the agent had planned is taken over from the guard and stays planned
until the lease is disarmed, so that a restart leaves no gap. A guard that is alive and does not
answer counts as dead: a stopped process guards nothing. A node belongs to one cluster: leases of
other names are those of its earlier identities, and are disarmed.
"""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from standfast.errors import TransientError, UserError
from standfast.guard import protocol
from standfast.guard.protocol import (
    BYTES_MAX,
    Ask,
    Disarm,
    Extend,
    MalformedError,
    Plan,
    Request,
    Stage,
    Strike,
    Target,
)
from standfast.guard.status import GuardStatus, read_outcome, read_status
from standfast.ports.guard import GuardChange, GuardEvent

ANSWER_S = 0.5
AGAIN_S = 0.02
GRACE_S = 1.0
"""A guard that died is back within a few hundred milliseconds."""

_REMEDY = "systemctl status standfast-guard.service"
Answer = dict[str, object]


@dataclass
class _Wanted:
    """What the guard is to know of our lease."""

    term: int = 0
    their_term: int = 0
    until_ms: int = 0
    is_armed: bool = False
    struck_term: int = -1
    disarmed_term: int = 0
    inherited: tuple[Target, ...] = ()
    planned: dict[str, tuple[Target, ...]] = field(default_factory=dict)

    def targets(self) -> tuple[Target, ...]:
        mine = itertools.chain(self.inherited, *self.planned.values())
        return tuple(dict.fromkeys(mine))


class GuardClient:
    """The `Guard` port.

    Args:
        lease: Names the lease: the member's uid.
        added_ms: By how much the agent's clock is ahead of CLOCK_BOOTTIME now.
        path: The guard's socket.
    """

    def __init__(
        self,
        lease: str,
        added_ms: Callable[[], int] = lambda: 0,
        path: str = protocol.SOCKET,
    ) -> None:
        self._lease = lease
        self._added_ms = added_ms
        self._path = path
        self._numbers = itertools.count(1)
        self._wanted = _Wanted()
        self._socket: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unanswered: dict[int, float] = {}
        self._connected = asyncio.Event()
        self._ended = asyncio.Event()
        self._report: Callable[[GuardEvent], None] = _nobody
        self._heard_s = 0.0
        self._is_back = False
        self._has_inherited = False

    # ---------------------------------------------------------------- the Guard port

    def extend(self, term: int, until_ms: int) -> None:
        wanted = self._wanted
        if term <= wanted.disarmed_term:
            return
        wanted.term, wanted.until_ms, wanted.is_armed = term, until_ms, True
        wanted.struck_term = -1
        if self._socket is not None:
            self._send_extension()

    async def plan(self, resource: str, targets: Sequence[Target]) -> None:
        wanted = self._wanted
        before = wanted.planned.pop(resource, ())
        wanted.inherited = tuple(
            target for target in wanted.inherited if target not in {*before, *targets}
        )
        if not targets:  # a stop does not wait for the guard
            if self._socket is not None:
                self._send(next(self._numbers), Plan(self._lease, wanted.targets()))
            return
        wanted.planned[resource] = tuple(targets)
        problem = _problem(await self._ask(Plan(self._lease, wanted.targets())))
        if not await self._is_armed():
            raise TransientError(
                f"the guard is not armed, so {resource} may not start", remedy=_REMEDY
            )
        if problem:
            wanted.planned.pop(resource, None)
            raise UserError(
                f"the guard does not take {resource} under its care: {problem}",
                remedy=f"correct HAResource {resource}",
            )

    def strike(self, term: int) -> None:
        wanted = self._wanted
        if wanted.is_armed and wanted.term > term:
            return
        wanted.is_armed = False
        wanted.struck_term = max(term, wanted.term, wanted.their_term)
        if self._socket is not None:
            self._send(next(self._numbers), Strike(self._lease, wanted.struck_term))

    async def disarm(self, term: int) -> None:
        wanted = self._wanted
        if wanted.is_armed and wanted.term > term:
            return
        wanted.is_armed = False
        wanted.disarmed_term = max(wanted.disarmed_term, wanted.term, wanted.their_term, term)
        problem = _problem(await self._ask(Disarm(self._lease, wanted.disarmed_term)))
        if problem:
            raise TransientError(f"the guard does not disarm: {problem}", remedy=_REMEDY)
        if wanted.is_armed:
            return  # a newer term was extended while the guard answered: what is planned is its
        wanted.inherited = ()
        wanted.planned.clear()

    async def status(self) -> GuardStatus:
        return _status(await self._ask(Ask()))

    async def watch(self, report: Callable[[GuardEvent], None]) -> None:
        self._report = report
        loop = asyncio.get_running_loop()
        gone_at = loop.time()
        is_told, is_lost = False, False
        while True:
            try:
                why = await self._stay_connected()
            except (OSError, TransientError) as error:
                why = str(error)
            if self._is_back:
                self._is_back = is_told = is_lost = False
                gone_at = loop.time()
            if not is_told:
                is_told = True
                report(GuardEvent(GuardChange.GONE, f"the guard is gone: {why}"))
            if not is_lost and loop.time() - gone_at >= GRACE_S:
                is_lost = True
                gone_s = f"{GRACE_S:g} s"
                report(GuardEvent(GuardChange.LOST, f"no guard for more than {gone_s}: {why}"))
            await asyncio.sleep(AGAIN_S)

    # ---------------------------------------------------------------- one connection

    async def _stay_connected(self) -> str:
        """Connect, say what is to be known, and stay until it ends.

        Returns:
            Why it ended.
        """
        loop = asyncio.get_running_loop()
        connection = socket.socket(
            socket.AF_UNIX,
            socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
        )
        self._ended = asyncio.Event()
        try:
            connection.connect(self._path)
            self._socket = connection
            self._connected.set()
            loop.add_reader(connection, self._hear)
            await self._introduce()
            self._is_back = True
            self._report(GuardEvent(GuardChange.BACK, "the guard answers"))
            return await self._until_ended()
        finally:
            loop.remove_reader(connection)
            self._socket = None
            self._connected.clear()
            connection.close()
            self._unanswered.clear()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(_gone())
            self._waiting.clear()

    async def _introduce(self) -> None:
        wanted = self._wanted
        status = _status(await self._ask(Ask()))
        theirs = next((it for it in status.leases if it.lease == self._lease), None)
        await self._forget_others(status)
        if theirs is not None:
            if not self._has_inherited:
                wanted.inherited, wanted.their_term = theirs.targets, theirs.term
            if wanted.disarmed_term >= max(theirs.term, 1):
                await self._ask(Disarm(self._lease, wanted.disarmed_term))
            elif wanted.struck_term >= 0:
                self.strike(max(wanted.struck_term, theirs.term))
            elif theirs.stage is Stage.FIRED:
                self._fired(f"the lease of term {theirs.term} ended while nobody listened")
        self._has_inherited = True
        await self._ask(Plan(self._lease, wanted.targets()))
        if wanted.is_armed:
            self._send_extension()

    async def _until_ended(self) -> str:
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ANSWER_S / 4):
                    await self._ended.wait()
                return "its end of the connection closed"
            oldest = min(self._unanswered.values(), default=None)
            if oldest is None:
                if loop.time() - self._heard_s >= ANSWER_S / 2:  # a renewal's answer is one too
                    self._send_ping()
            elif loop.time() - oldest > ANSWER_S:
                return f"it has not answered for {ANSWER_S:g} s"

    def _hear(self) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(BYTES_MAX * 2)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                asyncio.get_running_loop().remove_reader(self._socket)
                self._ended.set()
                return
            self._heard_s = asyncio.get_running_loop().time()
            with contextlib.suppress(MalformedError):
                self._take(protocol.load(data))

    def _take(self, answer: Answer) -> None:
        number = protocol.integer(answer, "n")
        if number == 0:
            self._take_news(answer)
        elif number in self._waiting:
            future = self._waiting.pop(number)
            if not future.done():
                future.set_result(answer)
        elif self._unanswered.pop(number, None) is not None and _problem(answer):
            self._report(GuardEvent(GuardChange.REFUSED, _problem(answer)))

    def _take_news(self, news: Answer) -> None:
        if news.get("leaving") is True:
            self._report(GuardEvent(GuardChange.LEAVING, "the guard was told to stop"))
        if news.get("lease") != self._lease:
            return
        outcome = read_outcome(news.get("outcome"))
        if outcome is not None and outcome.verified_us is None and not outcome.left:
            late_ms = outcome.late_us / 1000
            self._fired(f"the lease of term {outcome.term} ended {late_ms:.1f} ms ago")

    def _fired(self, why: str) -> None:
        self._wanted.is_armed = False
        message = f"{why}, and the guard took everything away"
        self._report(GuardEvent(GuardChange.FIRED, message))

    # ---------------------------------------------------------------- sending

    def _send_extension(self) -> None:
        wanted = self._wanted
        until_ms = max(0, wanted.until_ms - self._added_ms())
        number = next(self._numbers)
        self._unanswered[number] = asyncio.get_running_loop().time()
        self._send(number, Extend(self._lease, wanted.term, until_ms))

    def _send_ping(self) -> None:
        """Ask something, so that a guard that stands still is noticed on a standby too."""
        number = next(self._numbers)
        self._unanswered[number] = asyncio.get_running_loop().time()
        self._send(number, Ask())

    def _send(self, number: int, request: Request) -> None:
        assert self._socket is not None, "connected"
        with contextlib.suppress(OSError):  # no answer will come, and that is noticed
            self._socket.send(protocol.encode(number, request))

    async def _ask(self, request: Request) -> Answer:
        number = next(self._numbers)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._connected.wait()
                self._waiting[number] = future
                self._send(number, request)
                return await future
        except TimeoutError as error:
            raise _gone() from error
        finally:
            self._waiting.pop(number, None)

    async def _is_armed(self) -> bool:
        status = await self.status()
        await self._forget_others(status)
        mine = next((it for it in status.leases if it.lease == self._lease), None)
        return mine is not None and mine.stage is Stage.ARMED

    async def _forget_others(self, status: GuardStatus) -> None:
        """What an earlier identity of this node protected is not kept down any more."""
        for it in status.leases:
            if it.lease != self._lease and it.stage is not Stage.IDLE:
                await self._ask(Disarm(it.lease, it.term))


def _problem(answer: Answer) -> str:
    return str(answer.get("problem", ""))


def _status(answer: Answer) -> GuardStatus:
    try:
        return read_status(answer.get("status"))
    except MalformedError as error:
        raise TransientError(
            f"the guard's status does not read: {error}", remedy=_REMEDY
        ) from error


def _gone() -> TransientError:
    return TransientError("the guard does not answer", remedy=_REMEDY, retry_after_ms=100)


def _nobody(event: GuardEvent) -> None:
    """Nobody watches yet."""
