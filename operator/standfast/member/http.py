"""The HTTPS API of a member: routes, roles, the operator's token, errors as `Problem`.

One text for agent and witness. Who asks is known from the certificate; which cluster is meant,
from the identity under which the connection was taken (SNI). A handler checks, calls one method
that runs as one act, and answers. Loaded late, see `entrance`.
"""

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from standfast.adapters import pki
from standfast.core.ids import ClusterUid
from standfast.errors import (
    InvariantError,
    OldTokenError,
    RefusedError,
    StandfastError,
    TransientError,
    UserError,
)
from standfast.member.membership import Membership
from standfast.member.status import Usage, status_of
from standfast.wire import api, durable

BODY_BYTES_MAX = 1024 * 1024
T = TypeVar("T")
log = logging.getLogger("standfast")


class Register(Protocol):
    """Which memberships this process has."""

    def membership(self, scope: str) -> Membership | None:
        """The one of this cluster; for the local socket ("") the only one, if there is one."""
        ...

    def enrolling(self, scope: str, cluster: ClusterUid) -> Membership:
        """The one that may be enrolled in `cluster` over a connection taken as `scope`.

        Raises:
            RefusedError: None may.
        """
        ...

    def forget(self, scope: str, cluster: ClusterUid) -> Awaitable[None]:
        """Stop, leave a cluster and drop its votes.

        Raises:
            RefusedError: Not by this identity, or not now.
        """
        ...

    def overview(self, scope: str) -> api.WitnessStatus | None:
        """All clusters of a witness; none when `scope` is not that of a witness process."""
        ...

    def poke(self) -> None:
        """Something happened outside the mailbox: look at the time again."""
        ...

    def fail(self, error: InvariantError) -> None:
        """End the process with this, in its loop."""
        ...


def application(register: Register) -> web.Application:
    """The whole API."""
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_errors(register)])
    routes = Routes(register)
    clusters = "/v1/clusters/{cluster}"
    app.router.add_post(f"{clusters}/csr", routes.enrol_request)
    app.router.add_put(f"{clusters}/certificate", routes.enrol_certificate)
    app.router.add_delete(clusters, routes.forget)
    app.router.add_get(api.WITNESS_PATH, routes.overview)
    app.router.add_post(api.CSR_PATH, routes.renew_request)
    app.router.add_put(api.CERTIFICATE_PATH, routes.renew_certificate)
    app.router.add_put(api.CONFIG_PATH, routes.config)
    app.router.add_get(api.RECORD_PATH, routes.record)
    app.router.add_put(api.JOIN_PATH, routes.join)
    app.router.add_put(api.CHANGE_PATH, routes.change)
    app.router.add_post(api.CHALLENGE_PATH, routes.challenge)
    app.router.add_put(api.CONSENT_PATH, routes.consent)
    app.router.add_post(api.ATTESTED_PATH, routes.attested)
    app.router.add_put(api.RECOVER_PATH, routes.recover)
    app.router.add_put(api.RESOURCES_PATH, routes.resources)
    app.router.add_get(api.STATUS_PATH, routes.status)
    app.router.add_post(api.RELEASE_PATH, routes.release)
    app.router.add_delete(api.RELEASE_PATH, routes.cancel_release)
    app.router.add_post(api.STAND_PATH, routes.stand)
    app.router.add_post(api.QUIESCE_PATH, routes.quiesce)
    app.router.add_delete(api.QUIESCE_PATH, routes.thaw)
    app.router.add_post(api.FENCED_PATH, routes.fenced)
    app.router.add_post(api.BRACE_PATH, routes.brace)
    app.router.add_get(api.LOG_PATH, routes.log)
    return app


async def server(register: Register) -> tuple[Callable[[], asyncio.Protocol], web.AppRunner]:
    """A factory of connection protocols for `Entrance.open_http`, and what to clean up later."""
    runner = web.AppRunner(application(register), access_log=None, keepalive_timeout=75)
    await runner.setup()
    factory = runner.server
    assert factory is not None, "set up"
    return factory, runner


class Routes:
    """One method per route."""

    def __init__(self, register: Register) -> None:
        self._register = register
        self._usage = Usage()

    # ---------------------------------------------------------------- enrolment

    async def enrol_request(self, request: web.Request) -> web.Response:
        membership = self._enrolling(request)
        _check_token(request, membership)
        return _answer(membership.credentials.make_request(membership.process.boot))

    async def enrol_certificate(self, request: web.Request) -> web.Response:
        _check_token(request, self._enrolling(request))
        signed = await _body(request, api.CertificateRequest)
        membership = self._enrolling(request)
        _check_token(request, membership)
        membership.credentials.take_certificate(signed)
        return _answer(api.Done())

    async def forget(self, request: web.Request) -> web.Response:
        scope, cluster = _operator(request), ClusterUid(request.match_info["cluster"])
        mine = self._register.membership(cluster)
        uid = request.query.get("member", "")
        known = "" if mine is None else mine.credentials.member_uid
        if mine is None or uid not in {"", known}:
            return _answer(api.Done())  # it left already
        _check_token(request, mine)
        await self._register.forget(scope, cluster)
        return _answer(api.Done())

    async def overview(self, request: web.Request) -> web.Response:
        scope = _operator(request)
        found = self._register.overview(scope)
        if found is None:
            raise RefusedError(f"{scope} is no witness process", remedy="ask GET /v1/status")
        return _answer(found)

    async def renew_request(self, request: web.Request) -> web.Response:
        membership = self._member(request)
        return _answer(membership.credentials.make_request(membership.process.boot))

    async def renew_certificate(self, request: web.Request) -> web.Response:
        membership, renewed = await self._told(request, api.CertificateRequest)
        membership.credentials.take_certificate(renewed)
        return _answer(api.Done())

    # ---------------------------------------------------------------- what is declared and asked

    async def config(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.ConfigRequest)
        return _answer(membership.take_config(wanted))

    async def record(self, request: web.Request) -> web.Response:
        voter = self._member(request).configured()
        record = base64.b64encode(durable.encode_record(voter.state.record)).decode()
        return _answer(api.RecordAnswer(record=record))

    async def join(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.JoinRequest)
        return _answer(membership.orders.join(wanted))

    async def change(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.ChangeRequest)
        return _answer(membership.orders.change(wanted))

    async def challenge(self, request: web.Request) -> web.Response:
        return _answer(self._member(request).orders.challenge())

    async def consent(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.ConsentRequest)
        return _answer(membership.orders.consent(wanted))

    async def attested(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.AttestedRequest)
        return _answer(membership.orders.attested(wanted))

    async def recover(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.RecoverRequest)
        return _answer(membership.orders.recover(wanted))

    async def resources(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.GroupRequest)
        membership.duties.declare(wanted)
        return _answer(api.Done())

    async def release(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.ReleaseRequest)
        return _answer(membership.duties.release(wanted))

    async def cancel_release(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.StandRequest)
        return _answer(membership.duties.cancel_release(wanted.request_id))

    async def stand(self, request: web.Request) -> web.Response:
        membership, wanted = await self._told(request, api.StandRequest)
        return _answer(membership.duties.stand(wanted))

    async def quiesce(self, request: web.Request) -> web.Response:
        duties = self._reader(request).duties  # root on this machine may, and the operator
        return _answer(await duties.quiesce(await _body(request, api.QuiesceRequest)))

    async def thaw(self, request: web.Request) -> web.Response:
        await self._reader(request).duties.thaw()
        return _answer(api.Done())

    async def fenced(self, request: web.Request) -> web.Response:
        membership, attested = await self._told(request, api.FencedRequest)
        membership.fenced(attested)
        return _answer(api.Done())

    async def brace(self, request: web.Request) -> web.Response:
        membership = self._member(request)
        membership.brace(await _body(request, api.BraceRequest))
        return _answer(api.Done())

    # ---------------------------------------------------------------- reading

    async def status(self, request: web.Request) -> web.Response:
        membership = self._reader(request)
        after, wait_s = _number(request, "after", -1), _number(request, "wait", 0)
        own = membership.process.run
        if wait_s > 0 and request.query.get("run", own) == own:
            await membership.board.wait_past(after, min(wait_s, api.WAIT_S_MAX))
        return _answer(status_of(membership, self._usage))

    async def log(self, request: web.Request) -> web.Response:
        membership = self._reader(request)
        entries = membership.chronicle.after(_number(request, "after", 0))
        return _answer(api.LogAnswer(entries=entries))

    # ---------------------------------------------------------------- who asks, whom is meant

    async def _told(self, request: web.Request, kind: type[T]) -> tuple[Membership, T]:
        """Which membership, and what is asked of it.

        Nothing is awaited between looking at the token and the act: while a body is on its way
        another replica of the operator may have begun to act.
        """
        self._member(request)  # nobody else's body is read
        body = await _body(request, kind)
        return self._member(request), body

    def _member(self, request: web.Request) -> Membership:
        membership = self._of(_operator(request))
        _check_token(request, membership)
        return membership

    def _reader(self, request: web.Request) -> Membership:
        if _is_local(request):
            return self._of(request.query.get("cluster", ""))
        return self._member(request)

    def _of(self, scope: str) -> Membership:
        membership = self._register.membership(scope)
        if membership is None:
            raise RefusedError(
                f"this process is no member of cluster {scope or '(none)'}",
                remedy="enrol it (kubectl standfast enroll)",
            )
        return membership

    def _enrolling(self, request: web.Request) -> Membership:
        cluster = ClusterUid(request.match_info["cluster"])
        return self._register.enrolling(_operator(request), cluster)


def _is_local(request: web.Request) -> bool:
    transport = request.transport
    return transport is not None and transport.get_extra_info("ssl_object") is None


def _operator(request: web.Request) -> str:
    """The scope for which an operator asks; nobody else may use what calls this."""
    transport = request.transport
    if transport is None:
        raise TransientError("the connection is gone")
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        raise RefusedError(
            "only status, log and quiesce are served on the local socket",
            remedy="let the operator do it (kubectl standfast)",
        )
    role = pki.peer_role(connection)
    if not isinstance(role, pki.Operator):
        raise RefusedError(
            f"{pki.dns_name(role)} asks, and this API is for the operator only",
            remedy="use kubectl standfast",
        )
    return role.scope


def _check_token(request: web.Request, membership: Membership) -> None:
    text = request.headers.get(api.TOKEN_HEADER, "")
    if not text.isascii() or not text.isdigit():
        raise UserError(
            f"the request carries {api.TOKEN_HEADER} {text!r}, and it must be a number",
            remedy="send the leaseTransitions of the operator's Lease",
        )
    membership.check_token(int(text))


async def _body(request: web.Request, kind: type[T]) -> T:
    data = await request.read()
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise UserError(
            f"the body of {request.method} {request.path} does not read: {error}",
            remedy="let operator and members run versions that belong together",
        ) from error


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise UserError(
            f"{name} is {text!r}, and it must be a whole number", remedy=f"send {name}={default}"
        ) from error


def _answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )


def _errors(register: Register) -> Middleware:
    """The one place where errors become answers; afterwards the loop looks at the time."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except InvariantError as error:
            register.fail(error)
            raise
        except StandfastError as error:
            reason = type(error).__name__.removesuffix("Error")
            problem = api.Problem(problem=error.problem, remedy=error.remedy, reason=reason)
            response = _answer(problem, error.http_status)
            if isinstance(error, OldTokenError):
                response.headers[api.TOKEN_HEADER] = str(error.seen)
            if isinstance(error, TransientError):
                response.headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
            return response
        except web.HTTPException as error:
            said = f"{request.method} {request.path}: {error.reason}"
            problem = api.Problem(problem=said, reason=error.reason.title().replace(" ", ""))
            return _answer(problem, error.status)
        finally:
            register.poke()

    return middleware
