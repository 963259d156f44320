"""The API: an operator whose time is over changes nothing, however late its words arrive."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest
from aiohttp import web

from standfast.adapters import pki
from standfast.errors import OldTokenError
from standfast.member import http
from standfast.member.membership import Membership
from standfast.wire import api


@dataclass
class Slow:
    """A request whose body arrives late; the connection is an operator's."""

    membership: Membership
    headers: dict[str, str] = field(default_factory=lambda: {api.TOKEN_HEADER: "4"})
    method: str = "POST"
    path: str = api.RELEASE_PATH
    query: dict[str, str] = field(default_factory=dict)

    @property
    def transport(self) -> "Slow":
        return self

    def get_extra_info(self, name: str) -> str:
        return name

    async def read(self) -> bytes:
        self.membership.check_token(5)  # another replica acts in between
        return b'{"requestId": "r"}'


class Duties:
    """Takes note of what is asked."""

    def __init__(self) -> None:
        self.released = 0

    def release(self, request: api.ReleaseRequest) -> api.Accepted:
        self.released += 1
        return api.Accepted(accepted=True)


class Board:
    """Nothing changes; who waits for it is noted."""

    def __init__(self) -> None:
        self.waits: list[int] = []

    async def wait_past(self, seq: int, _timeout_s: float) -> None:
        self.waits.append(seq)


class Register:
    """One membership whose token is kept in memory."""

    def __init__(self) -> None:
        self.token = 0
        self.duties = Duties()
        self.board = Board()
        self.process = SimpleNamespace(run="r2")

    def check_token(self, token: int) -> None:
        Membership.check_token(cast("Membership", self), token)

    @property
    def store(self) -> "Register":
        return self

    def save_token(self, token: int) -> None:
        self.token = token

    def membership(self, scope: str) -> Membership:
        return cast("Membership", self)


async def test_a_body_that_arrives_after_another_operator_acted_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its token was good when the request began."""
    monkeypatch.setattr(pki, "peer_role", lambda _: pki.Operator("c1"))
    register = Register()
    routes = http.Routes(cast("http.Register", register))
    request = cast("web.Request", Slow(register.membership("c1")))
    with pytest.raises(OldTokenError, match="another replica acts now") as refused:
        await routes.release(request)
    assert refused.value.seen == 5
    assert register.duties.released == 0


@pytest.mark.parametrize(
    ("query", "waits"),
    [({"run": "r2"}, [7]), ({}, [7]), ({"run": "r1"}, [])],
    ids=["this run", "an operator of an older version", "an earlier run"],
)
async def test_f29_who_was_started_meanwhile_answers_at_once(
    query: dict[str, str], waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers begin anew: a question after one of the earlier run would wait for nothing."""
    monkeypatch.setattr(pki, "peer_role", lambda _: pki.Operator("c1"))
    monkeypatch.setattr(http, "status_of", lambda _, __: api.Done())
    register = Register()
    asked = {"after": "7", "wait": "30", **query}
    request = Slow(register.membership("c1"), method="GET", path=api.STATUS_PATH, query=asked)
    await http.Routes(cast("http.Register", register)).status(cast("web.Request", request))
    assert register.board.waits == waits
