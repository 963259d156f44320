"""The witness as a process: one identity of its own, one membership per cluster it serves.

The operator enrols it in a cluster over the witness's own identity; from then on that cluster
reaches it under the name of a member. Each cluster has its directory with its own journal below
the state directory.
"""

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path

from standfast.adapters import pki
from standfast.adapters.linux.clock import BootClock, boot_id
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId
from standfast.core.record import MemberKind
from standfast.errors import InvariantError, RefusedError, UserError
from standfast.member import http
from standfast.member.daemon import Daemon, Timed
from standfast.member.duties import NoDuties
from standfast.member.entrance import Entrance
from standfast.member.link import Link
from standfast.member.mailbox import Mailbox
from standfast.member.membership import Membership, Process
from standfast.member.process import keep_notifying, notify, settle_memory
from standfast.member.status import Usage
from standfast.member.store import Store
from standfast.member.version import product_version
from standfast.wire.api import WitnessCluster, WitnessStatus
from standfast.witness.health import Health

IDENTITY_LOOK_S = 30.0
CLUSTERS_MAX = 1000
log = logging.getLogger("standfast")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are.

    Attributes:
        listen: `host:port` for clusters and operator.
        health: `host:port` for probes, or "" for none.
    """

    state: Path
    identity: Path
    listen: tuple[str, ...]
    health: str = ""


class Witness:
    """One process, many clusters."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._mailbox = Mailbox()
        self._process = Process(
            kind=MemberKind.WITNESS,
            clock=BootClock(),
            mailbox=self._mailbox,
            boot=BootId(boot_id()),
            run=RunId(os.urandom(8).hex()),
            identities=pki.ServerIdentities(),
        )
        self._memberships: dict[ClusterUid, Membership] = {}
        self._unread: dict[ClusterUid, str] = {}
        self._daemon = Daemon(self._mailbox, self._process.clock, self._timed)
        self._entrance = Entrance(self, self._process.identities.context)
        self._usage = Usage()
        self._identity: pki.Identity | None = None
        self._uid = ""
        self._not_ready = "starting"

    async def run(self) -> None:
        """Vote until SIGTERM."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._daemon.stop)
        if self._settings.health:
            host, _, port = self._settings.health.rpartition(":")
            health = await Health(lambda: self._not_ready).serve(host.strip("[]"), int(port))
            self._mailbox.start(health.serve_forever(), "health")
        self._take_identity()
        self._open_all()
        await self._entrance.listen(self._settings.listen)
        factory, runner = await http.server(self)
        self._entrance.open_http(factory)
        self._mailbox.start(self._keep_identity(), "identity")
        self._mailbox.start(keep_notifying(), "watchdog")
        settle_memory()
        self._not_ready = ""
        notify("READY=1")
        log.info("Serving", extra={"fields": {"clusters": len(self._memberships)}})
        try:
            await self._daemon.run()
        finally:
            notify("STOPPING=1")
            self._entrance.close()
            await self._mailbox.close()
            await runner.cleanup()
            for membership in self._memberships.values():
                await membership.close()

    # ---------------------------------------------------------------- identity

    def _take_identity(self) -> None:
        identity = pki.load_identity(self._settings.identity)
        if identity is None:
            raise UserError(
                f"there is no identity in {self._settings.identity}, and a witness needs one to "
                "be enrolled in clusters",
                remedy="put ca.crt, tls.crt and tls.key of the Secret <witness>-identity there",
            )
        role = pki.role_named(pki.facts(identity.certificate).name)
        if not isinstance(role, pki.WitnessProcess):
            raise UserError(
                f"the identity in {self._settings.identity} is that of {pki.dns_name(role)}, and "
                "a witness needs that of a witness",
                remedy="use the Secret <witness>-identity of this Witness",
            )
        self._process.identities.put(identity)
        self._identity, self._uid = identity, role.scope

    async def _keep_identity(self) -> None:
        """Serve under a renewed certificate once it is there; keep the old if it is bad."""
        while True:
            await asyncio.sleep(IDENTITY_LOOK_S)
            try:
                identity = pki.load_identity(self._settings.identity)
                if identity is not None and identity != self._identity:
                    self._take_identity()
                    log.info("IdentityRenewed")
            except UserError as error:
                log.warning("IdentityRefused", extra={"fields": {"error": error.problem}})

    # ---------------------------------------------------------------- clusters

    def _open_all(self) -> None:
        """Vote in every cluster whose votes read: what is broken of one is not all others' loss.

        Raises:
            UserError: None reads; most likely another process of this witness has them.
        """
        root = self._settings.state / "clusters"
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        first: UserError | None = None
        for directory in sorted(root.iterdir()):
            if directory.is_dir() and not directory.name.endswith(".gone"):
                cluster = ClusterUid(directory.name)
                try:
                    self._open(cluster)
                except UserError as error:
                    first = first or error
                    self._unread[cluster] = error.problem
                    fields = {"cluster": cluster, "error": error.problem, "remedy": error.remedy}
                    log.warning("ClusterNotRead", extra={"fields": fields})
        if first is not None and not self._memberships:
            raise first

    def _open(self, cluster: ClusterUid) -> Membership:
        store = Store(self._settings.state / "clusters" / cluster)
        membership = Membership(self._process, cluster, store)
        membership.open(lambda _: NoDuties())
        self._memberships[cluster] = membership
        self._unread.pop(cluster, None)
        return membership

    def _timed(self) -> Iterable[Timed]:
        return self._memberships.values()

    # ---------------------------------------------------------------- Register and Door

    def membership(self, scope: str) -> Membership | None:
        return self._memberships.get(ClusterUid(scope))

    def enrolling(self, scope: str, cluster: ClusterUid) -> Membership:
        if scope != self._uid:
            raise RefusedError(
                f"enrolment in cluster {cluster} was asked for as {scope}",
                remedy=f"ask over the identity of witness {self._uid}",
            )
        pki.dns_name(pki.Operator(cluster))  # refuses what cannot be a uid, before a path is made
        found = self._memberships.get(cluster)
        if found is not None:
            return found
        if len(self._memberships) >= CLUSTERS_MAX:
            raise RefusedError(
                f"this witness serves {CLUSTERS_MAX} clusters already",
                remedy="add another Witness",
            )
        return self._open(cluster)

    def forget(self, scope: str, cluster: ClusterUid) -> Awaitable[None]:
        if scope not in {self._uid, cluster}:
            raise RefusedError(
                f"leaving cluster {cluster} was asked for as {scope}",
                remedy=f"ask over the identity of witness {self._uid} or of the cluster",
            )
        return self._forget(cluster)

    async def _forget(self, cluster: ClusterUid) -> None:
        membership = self._memberships[cluster]
        await membership.leave()
        self._memberships.pop(cluster, None)
        directory = membership.store.directory
        gone = directory.with_name(f"{cluster}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        directory.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        log.info("ClusterForgotten", extra={"fields": {"cluster": cluster}})

    def overview(self, scope: str) -> WitnessStatus | None:
        if scope != self._uid or self._identity is None:
            return None
        cpu_percent, rss_bytes = self._usage.read()
        return WitnessStatus(
            witness_uid=self._uid,
            boot_id=self._process.boot,
            run=self._process.run,
            agent_version=product_version(),
            clusters=tuple(
                WitnessCluster(
                    cluster_uid=cluster,
                    member_uid=found.credentials.member_uid,
                    configured=found.voter is not None,
                    halted=found.voter.state.durable.halted if found.voter else "",
                )
                for cluster, found in sorted(self._memberships.items())
            )
            + tuple(
                WitnessCluster(
                    cluster_uid=cluster, member_uid="", configured=False, halted=problem
                )
                for cluster, problem in sorted(self._unread.items())
            ),
            certificate_not_after=pki.facts(self._identity.certificate).not_after,
            cpu_percent=cpu_percent,
            rss_bytes=rss_bytes,
        )

    def poke(self) -> None:
        self._mailbox.put(_nothing)

    def fail(self, error: InvariantError) -> None:
        self._mailbox.fail(error)

    def accept_link(self, scope: str, uid: MemberUid, host: str) -> Link | None:
        membership = self.membership(scope)
        links = None if membership is None else membership.links
        return None if links is None else links.accept(uid, host)


def _nothing() -> None:
    """An act that only lets the loop look at the time."""
