"""Calls to members (agents, witnesses) over HTTPS: typed, with time limits, as the operator.

Every call demands the exact name of the member it means and carries the fencing token. A member
has several addresses; a call goes to the one that answered last, then to the others. Urgent calls
go to all of them at once, and the first answer counts. Nothing here retries: errands do.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import AddrInfoType

from standfast.adapters.pki import connection_problem
from standfast.errors import RefusedError, StandfastError, TransientError, UserError
from standfast.wire.api import PORT, TOKEN_HEADER, Problem, Wire

T = TypeVar("T", bound=Wire)

CALL_S_MAX = 5.0
CONNECT_S_MAX = 2.0
_KEEPALIVE = (
    (socket.TCP_KEEPIDLE, 3),
    (socket.TCP_KEEPINTVL, 1),
    (socket.TCP_KEEPCNT, 3),
    (socket.TCP_USER_TIMEOUT, 6_000),
)
"""A peer that vanished without a word ends a long poll within about six seconds."""

_problems = msgspec.json.Decoder(Problem)


class NotReachedError(TransientError):
    """No address of the member answered."""


class LateError(NotReachedError):
    """It is there, and its answer did not come in time: it or we have too much to do."""


@dataclass(frozen=True, slots=True)
class Door:
    """How to reach one identity.

    Attributes:
        name: The name that its certificate must carry.
        addresses: `host:port`, in order of preference.
        context: Makes the TLS context that proves us; asked at every call, because ours is
            renewed daily.
        who: What people call it, for sentences.
    """

    name: str
    addresses: tuple[str, ...]
    context: Callable[[], ssl.SSLContext] = field(compare=False)
    who: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    body: Wire | None = None
    query: dict[str, str] | None = None
    total_s: float = CALL_S_MAX


def with_port(address: str) -> str:
    """`host` or `host:port` as `host:port`, with brackets around an IPv6 address."""
    if address.count(":") > 1 and not address.startswith("["):
        address = f"[{address}]"
    if address.endswith("]") or ":" not in address:
        return f"{address}:{PORT}"
    return address


def _nobody(seen: int) -> None:
    """Nobody does anything about it."""


class Caller:
    """Makes calls.

    Args:
        token: The fencing token, asked at every call.
        outbid: Told when a member has seen a higher one.
    """

    def __init__(self, token: Callable[[], int], outbid: Callable[[int], None] = _nobody) -> None:
        self._token = token
        self._outbid = outbid
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=60, socket_factory=_socket_with_keepalive
            )
        )
        self._last_good: dict[str, str] = {}

    async def close(self) -> None:
        await self._session.close()

    async def get(
        self,
        door: Door,
        path: str,
        answer: type[T],
        *,
        query: dict[str, str] | None = None,
        total_s: float = CALL_S_MAX,
        urgent: bool = False,
    ) -> T:
        """`GET`, from the first address that answers; with `urgent` all are asked at once.

        Raises:
            NotReachedError: None did.
            TransientError, RefusedError, UserError: As the member said.
        """
        call = _Call("GET", path, None, query, total_s)
        data = await (self._all_at_once(door, call) if urgent else self._in_turn(door, call))
        return _decode(door, path, data, answer)

    async def send(
        self, door: Door, method: str, path: str, body: Wire | None, answer: type[T]
    ) -> T:
        """`POST`, `PUT` or `DELETE`, to the first address that answers. Raises as `get`."""
        data = await self._in_turn(door, _Call(method, path, body))
        return _decode(door, path, data, answer)

    async def send_urgently(
        self, door: Door, method: str, path: str, body: Wire, answer: type[T]
    ) -> T:
        """The same over all addresses at once; for what may be done twice. Raises as `get`."""
        data = await self._all_at_once(door, _Call(method, path, body))
        return _decode(door, path, data, answer)

    async def _all_at_once(self, door: Door, call: "_Call") -> bytes:
        tries = [
            asyncio.create_task(self._once(door, address, call)) for address in door.addresses
        ]
        try:
            return await _first(door, tries)
        finally:
            for each in tries:
                each.cancel()
            await asyncio.gather(*tries, return_exceptions=True)

    async def _in_turn(self, door: Door, call: "_Call") -> bytes:
        good = self._last_good.get(door.name)
        order = sorted(door.addresses, key=lambda address: address != good)
        problems: list[NotReachedError] = []
        for address in order:
            try:
                data = await self._once(door, address, call)
            except NotReachedError as error:
                problems.append(error)
                continue
            self._last_good[door.name] = address
            return data
        raise _not_reached(door, problems)

    async def _once(self, door: Door, address: str, call: "_Call") -> bytes:
        where = f"{door.who} at {address}"
        try:
            async with self._session.request(
                call.method,
                f"https://{address}{call.path}",
                params=call.query,
                data=None if call.body is None else msgspec.json.encode(call.body),
                headers={TOKEN_HEADER: str(self._token()), "Content-Type": "application/json"},
                ssl=door.context(),
                server_hostname=door.name,
                timeout=aiohttp.ClientTimeout(total=call.total_s, sock_connect=CONNECT_S_MAX),
            ) as answer:
                data = await answer.read()
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    seen = answer.headers.get(TOKEN_HEADER, "")
                    if seen.isascii() and seen.isdigit():
                        self._outbid(int(seen))
                    raise _said(where, answer.status, data)
                return data
        except aiohttp.ClientConnectorCertificateError as error:
            raise _unwrapped(error.certificate_error, door, where) from error
        except aiohttp.ClientConnectorSSLError as error:
            raise _unwrapped(error.os_error, door, where) from error
        except aiohttp.ServerTimeoutError as error:
            raise NotReachedError(f"{where} does not answer in time") from error
        except TimeoutError as error:
            raise LateError(f"{where} does not answer in time") from error
        except (aiohttp.ClientError, OSError) as error:
            said = _os_words(error)
            raise NotReachedError(f"{where} cannot be reached ({said})") from error


def _socket_with_keepalive(info: AddrInfoType) -> socket.socket:
    family, kind, proto, _, _ = info
    made = socket.socket(family, kind, proto)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE:
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made


async def _first(door: Door, tries: Sequence[asyncio.Task[bytes]]) -> bytes:
    """The first answer; the member's own refusal counts as one."""
    problems: list[NotReachedError] = []
    for next_done in asyncio.as_completed(tries):
        try:
            return await next_done
        except NotReachedError as error:
            problems.append(error)
    raise _not_reached(door, problems)


def _not_reached(door: Door, problems: Sequence[NotReachedError]) -> NotReachedError:
    """What to say when no address answered; late when one of them was."""
    said = "; ".join(each.problem for each in problems) or f"{door.who} has no address"
    is_late = any(isinstance(each, LateError) for each in problems)
    return LateError(said) if is_late else NotReachedError(said)


def _decode(door: Door, path: str, data: bytes, answer: type[T]) -> T:
    try:
        return msgspec.json.decode(data or b"{}", type=answer)
    except msgspec.DecodeError as error:
        raise TransientError(
            f"{door.who} answers {path} with what does not read ({error})",
            remedy="let agent and operator be of versions that belong together",
        ) from error


def _said(where: str, status: int, data: bytes) -> StandfastError:
    try:
        said = _problems.decode(data)
    except msgspec.DecodeError:
        said = Problem(problem=data.decode(errors="replace")[:200])
    problem = f"{where} answers: {said.problem}"
    match status:
        case HTTPStatus.CONFLICT:
            return RefusedError(problem, remedy=said.remedy)
        case HTTPStatus.BAD_REQUEST:
            return UserError(problem, remedy=said.remedy)
        case _:
            return TransientError(problem, remedy=said.remedy)


def _unwrapped(error: BaseException, door: Door, where: str) -> StandfastError:
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        found = connection_problem(error, door.who)
        return NotReachedError(f"{where}: {found.problem}", remedy=found.remedy)
    return NotReachedError(f"{where} cannot be reached ({error})")


def _os_words(error: BaseException) -> str:
    inner = getattr(error, "os_error", None) or error
    words = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(words)
