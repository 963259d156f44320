"""Hollow agents: one process that is met as the members of hundreds of clusters.

Each node has a loopback address of its own, the witness one for all clusters. Everything on the
wire is real: TLS with the authority of each cluster, the certificate chosen by the name that the
operator asks for, enrolment by bundle and by the witness's identity, the token, the long poll.
What stands behind it is not (`hollow_cluster`).
"""

import asyncio
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from standfast.adapters import pki
from standfast.adapters.pki import Identity, Member, ServerIdentities
from standfast.errors import RefusedError
from standfast.member.version import product_version
from standfast.wire import api
from tests.bench.hollow_cluster import RUN, HollowCluster, HollowMember

BACKLOG = 1024
HANG_S = 15
T = TypeVar("T")


class HollowAgents:
    """All of them.

    Args:
        witness_host: The address of the witness.
        witness_boot: Of the witness's machine.
    """

    def __init__(self, witness_host: str, witness_boot: str) -> None:
        self.identities = ServerIdentities()
        self.polls: dict[str, float] = {}
        """When each member was first asked for a change, since `forget_polls`: it is heard."""
        self.troubles: dict[str, str] = {}
        """What is wrong with a node, by its address: it is `refusing`, `hanging` or `cut` off."""
        self.unknown = 0
        """Calls that no hollow agent knows: nobody asked for what they would do."""
        self._clusters: dict[str, HollowCluster] = {}
        self._nodes: dict[str, tuple[HollowCluster, HollowMember]] = {}
        self._witness_host = witness_host
        self._witness_boot = witness_boot
        self._witness_uid = ""
        self._token = 0
        self._runner = web.AppRunner(self._application(), access_log=None, keepalive_timeout=75)
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take connections at the addresses of all members that were added."""
        await self._runner.setup()
        factory = self._runner.server
        assert factory is not None, "set up"
        self._server = await asyncio.get_running_loop().create_server(
            factory,
            [self._witness_host, *self._nodes],
            api.PORT,
            ssl=self.identities.context,
            backlog=BACKLOG,
        )

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()

    def add(self, cluster: HollowCluster) -> None:
        """Members of a cluster: they can be met once they have an identity."""
        self._clusters[cluster.uid] = cluster
        for node in cluster.nodes:
            self._nodes[node.host] = (cluster, node)

    def drop(self, cluster: HollowCluster) -> None:
        """A cluster that was deleted: another one may have its nodes."""
        del self._clusters[cluster.uid]
        for member in cluster.members:
            self.identities.remove(pki.dns_name(Member(member.uid, cluster.uid)))
            member.board.change()

    def clusters(self) -> list[HollowCluster]:
        """In the order of their names."""
        return sorted(self._clusters.values(), key=lambda cluster: cluster.name)

    def take_bundle(self, text: bytes) -> None:
        """What a person puts on a node."""
        self.identities.put(pki.parse_bundle(text, datetime.now(UTC)).identity)

    def take_witness_identity(self, uid: str, identity: Identity) -> None:
        """What a person puts on the machine of the witness."""
        self._witness_uid = uid
        self.identities.put(identity)

    def forget_polls(self) -> None:
        self.polls.clear()

    # ---------------------------------------------------------------- the API

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded])
        clusters = "/v1/clusters/{cluster}"
        app.router.add_post(f"{clusters}/csr", self._csr)
        app.router.add_put(f"{clusters}/certificate", self._certificate)
        app.router.add_get(api.WITNESS_PATH, self._overview)
        app.router.add_put(api.CONFIG_PATH, self._config)
        app.router.add_put(api.RESOURCES_PATH, self._resources)
        app.router.add_get(api.STATUS_PATH, self._status)
        app.router.add_get(api.LOG_PATH, self._log)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only the operator, and none that was replaced."""
        await self._disturb(request)
        try:
            self._check(request)
            return await handler(request)
        except RefusedError as error:
            return _answer(api.Problem(problem=error.problem), 409)
        except web.HTTPNotFound:
            self.unknown += 1
            raise

    async def _disturb(self, request: web.Request) -> None:
        assert request.transport is not None, "the connection is there"
        host = request.transport.get_extra_info("sockname")[0]
        match self.troubles.get(host):
            case "refusing":
                raise web.HTTPServiceUnavailable
            case "hanging":
                await asyncio.sleep(HANG_S)
            case "cut":
                request.transport.abort()
                raise web.HTTPServiceUnavailable
            case _:
                return

    def _check(self, request: web.Request) -> None:
        if request.transport is None:
            raise RefusedError("whoever asked has gone")
        if not isinstance(_role(request), pki.Operator):
            raise RefusedError("this API is for the operator only")
        token = int(request.headers[api.TOKEN_HEADER])
        if token < self._token:
            raise RefusedError(f"token {token} is lower than {self._token}")
        self._token = token

    async def _csr(self, request: web.Request) -> web.Response:
        cluster, member = self._met(request, request.match_info["cluster"])
        csr = pki.make_request(member.key, Member(member.uid, cluster.uid))
        return _answer(api.CsrAnswer(member_uid=member.uid, csr=csr, boot_id=member.boot))

    async def _certificate(self, request: web.Request) -> web.Response:
        _, member = self._met(request, request.match_info["cluster"])
        given = await _body(request, api.CertificateRequest)
        self.identities.put(Identity(given.ca, given.certificate, member.key))
        member.not_after = pki.facts(given.certificate).not_after
        return _answer(api.Done())

    async def _overview(self, _request: web.Request) -> web.Response:
        clusters = tuple(
            api.WitnessCluster(
                cluster_uid=each.uid, member_uid=each.witness.uid, configured=each.term > 0
            )
            for each in self._clusters.values()
        )
        status = api.WitnessStatus(
            witness_uid=self._witness_uid,
            boot_id=self._witness_boot,
            run=RUN,
            agent_version=product_version(),
            clusters=clusters,
        )
        return _answer(status)

    async def _config(self, request: web.Request) -> web.Response:
        cluster, member = self._met(request)
        given = await _body(request, api.ConfigRequest)
        config = cluster.take_config(member, given.config.payload)
        return _answer(api.Accepted(accepted=True, config_id=str(config.id)))

    async def _resources(self, request: web.Request) -> web.Response:
        cluster, member = self._met(request)
        cluster.take_group(member, await _body(request, api.GroupRequest))
        return _answer(api.Done())

    async def _status(self, request: web.Request) -> web.Response:
        cluster, member = self._met(request)
        after = request.query.get("after")
        if after is not None:
            self.polls.setdefault(member.uid, asyncio.get_running_loop().time())
            wait_s = float(request.query.get("wait", "0"))
            status = cluster.status(member)
            if request.query.get("run", status.run) == status.run:
                await member.board.wait_past(int(after), min(wait_s, api.WAIT_S_MAX))
        return _answer(cluster.status(member))

    async def _log(self, request: web.Request) -> web.Response:
        _, member = self._met(request)
        after = int(request.query.get("after", "0"))
        return _answer(api.LogAnswer(entries=tuple(e for e in member.log if e.seq > after)))

    def _met(self, request: web.Request, uid: str = "") -> tuple[HollowCluster, HollowMember]:
        """Which member this connection was made to: by its address, the witness by the name."""
        assert request.transport is not None, "the connection is there"
        host = request.transport.get_extra_info("sockname")[0]
        if host == self._witness_host:
            found = self._clusters.get(uid or _role(request).scope)
            if found is None:
                raise RefusedError("this cluster was deleted")
            return found, found.witness
        cluster, node = self._nodes[host]
        if cluster.uid != _role(request).scope:
            raise RefusedError(f"{host} is no member of {_role(request).scope}")
        return cluster, node


def _role(request: web.Request) -> pki.Role:
    assert request.transport is not None, "the connection is there"
    return pki.peer_role(request.transport.get_extra_info("ssl_object"))


async def _body(request: web.Request, kind: type[T]) -> T:
    return msgspec.json.decode(await request.read(), type=kind)


def _answer(body: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type="application/json"
    )
