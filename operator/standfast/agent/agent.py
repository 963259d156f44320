"""The agent as a process: from a bundle or an identity to a member that serves.

Order of a start: identity, votes and the deadline of the lease are read and the quorum begins
before anything else, because a restarted agent of the active node has a few hundred milliseconds
to win its lease back; the web framework of the API is loaded after that, beside the running loop.
"""

import asyncio
import contextlib
import importlib
import logging
import os
import signal
from collections.abc import Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from standfast.adapters import pki
from standfast.adapters.linux.clock import BootClock, boot_id, machine_id
from standfast.adapters.linux.deadline import DeadlineFile
from standfast.adapters.linux.worker import as_urgent
from standfast.agent.machine import Machine
from standfast.agent.node import Node
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId
from standfast.core.record import MemberKind
from standfast.errors import InvariantError, RefusedError, UserError
from standfast.member.daemon import Daemon, Timed
from standfast.member.entrance import Entrance
from standfast.member.link import Link
from standfast.member.mailbox import Mailbox
from standfast.member.membership import Membership, Process
from standfast.member.process import keep_notifying, notify, settle_memory
from standfast.member.store import Store
from standfast.wire.api import WitnessStatus

BUNDLE_LOOK_S = 0.5
LEAVE_S = 0.05
"""Time for the answers to one last renewal."""
log = logging.getLogger("standfast")


LEASE_FILE = "lease.json"
"""In the run directory: until when a restarted agent may adopt what runs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are."""

    state: Path = Path("/var/lib/standfast")
    run: Path = Path("/run/standfast")
    bundle: Path = Path("/etc/standfast/bundle.json")
    log_level: str = "info"
    real_time: bool = True

    @classmethod
    def from_environment(cls) -> "Settings":
        """`STANDFAST_STATE`, `STANDFAST_RUN`, `STANDFAST_BUNDLE`, `STANDFAST_LOG`, ..."""
        seen = os.environ.get
        usual = cls()
        return cls(
            state=Path(seen("STANDFAST_STATE", usual.state)),
            run=Path(seen("STANDFAST_RUN", usual.run)),
            bundle=Path(seen("STANDFAST_BUNDLE", usual.bundle)),
            log_level=seen("STANDFAST_LOG", usual.log_level),
            real_time=seen("STANDFAST_REAL_TIME", "yes") == "yes",
        )

    @property
    def socket(self) -> Path:
        return self.run / "agent.sock"


class Agent:
    """One process, one cluster."""

    def __init__(self, settings: Settings, machine: Machine) -> None:
        self._settings = settings
        self._machine = machine
        self._mailbox = Mailbox()
        self._process = Process(
            kind=MemberKind.DATA,
            clock=BootClock(),
            mailbox=self._mailbox,
            boot=BootId(boot_id()),
            run=RunId(os.urandom(8).hex()),
            identities=pki.ServerIdentities(),
            machine=machine_id(),
        )
        self._daemon = Daemon(self._mailbox, self._process.clock, self._timed)
        self._entrance = Entrance(self, self._process.identities.context)
        self._store = Store(settings.state)
        self._deadline = DeadlineFile(settings.run / LEASE_FILE)
        self._membership: Membership | None = None
        self._bootstrap = ""

    async def run(self) -> None:
        """Serve until SIGTERM; what runs goes on running, within the lease."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(
            ThreadPoolExecutor(thread_name_prefix="agent", initializer=as_urgent)
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        enrolment = self._store.enrolment()
        if enrolment is not None and self._store.identity() is not None:
            membership = self._open(enrolment.cluster_uid)
            await self._entrance.listen(_listen(membership))
        self._mailbox.start(self._enrol(), "enrol")
        self._mailbox.start(self._serve_api(), "api")
        self._mailbox.start(keep_notifying(), "watchdog")
        try:
            await self._daemon.run()
        except InvariantError:
            if self._membership is not None:
                await self._membership.duties.abandon()
            raise
        notify("STOPPING=1")

    def _leave(self) -> None:
        """Go, and leave as much of the lease as there can be to whoever adopts what runs."""
        membership = self._membership
        if membership is not None:
            self._mailbox.put(membership.renew)
        asyncio.get_running_loop().call_later(LEAVE_S, self._daemon.stop)

    def _open(self, cluster: ClusterUid) -> Membership:
        membership = Membership(self._process, cluster, self._store)
        self._membership = membership
        membership.open(lambda opened: Node(opened, self._deadline, self._machine))
        return membership

    def _timed(self) -> Iterable[Timed]:
        return () if self._membership is None else (self._membership,)

    # ---------------------------------------------------------------- the API

    async def _serve_api(self) -> None:
        """Load the web framework beside the running loop, then let the API's callers in."""
        http = await asyncio.to_thread(importlib.import_module, "standfast.member.http")
        factory, runner = await http.server(self)
        self._entrance.open_http(factory)
        path = self._settings.socket
        path.unlink(missing_ok=True)
        local = await asyncio.get_running_loop().create_unix_server(factory, str(path))
        path.chmod(0o600)
        settle_memory()
        notify("READY=1")
        try:
            await local.serve_forever()
        finally:
            path.unlink(missing_ok=True)
            await runner.cleanup()

    def membership(self, scope: str) -> Membership | None:
        mine = self._membership
        return mine if mine is not None and scope in {"", mine.cluster} else None

    def enrolling(self, scope: str, cluster: ClusterUid) -> Membership:
        mine = self._membership
        if mine is None or scope != cluster or mine.cluster != cluster:
            raise RefusedError(
                f"this node has no bundle of cluster {cluster}",
                remedy="kubectl standfast enroll CLUSTER NODE",
            )
        if mine.credentials.identity is not None:
            raise RefusedError(
                f"this node is enrolled in cluster {cluster} already: its bundle is spent",
                remedy="renew its certificate instead (POST /v1/csr)",
            )
        return mine

    def forget(self, scope: str, cluster: ClusterUid) -> Awaitable[None]:
        mine = self._membership
        if mine is None or scope != cluster or mine.cluster != cluster:
            raise RefusedError(
                f"leaving cluster {cluster} was asked for as {scope}",
                remedy=f"ask over the identity of cluster {cluster}",
            )
        return self._forget(mine)

    async def _forget(self, membership: Membership) -> None:
        """Let go, and begin anew: the service is started again and waits for a bundle."""
        await membership.leave()
        self._deadline.remove()
        self._membership = None
        log.info("ClusterForgotten", extra={"fields": {"cluster": membership.cluster}})
        asyncio.get_running_loop().call_later(LEAVE_S, self._daemon.stop)

    def overview(self, scope: str) -> WitnessStatus | None:
        del scope
        return None

    def poke(self) -> None:
        self._mailbox.put(_nothing)

    def fail(self, error: InvariantError) -> None:
        self._mailbox.fail(error)

    def accept_link(self, scope: str, uid: MemberUid, host: str) -> Link | None:
        membership = self.membership(scope)
        links = None if membership is None else membership.links
        return None if links is None else links.accept(uid, host)

    # ---------------------------------------------------------------- enrolment by bundle

    async def _enrol(self) -> None:
        """Wait for a bundle and be reachable under it until it is spent."""
        told = ""
        while True:
            try:
                await self._look_at_bundle()
                problem = ""
            except UserError as error:
                problem = error.problem
                if problem != told:
                    fields = {"error": problem, "remedy": error.remedy}
                    log.warning("BundleRefused", extra={"fields": fields})
            told = problem
            await asyncio.sleep(BUNDLE_LOOK_S)

    async def _look_at_bundle(self) -> None:
        path = self._settings.bundle
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return
        bundle = pki.parse_bundle(text, datetime.now(UTC))
        name = pki.dns_name(pki.Bootstrap(bundle.cluster_uid))
        mine = self._membership
        if mine is not None and mine.credentials.identity is not None:
            if mine.cluster != bundle.cluster_uid:
                raise UserError(
                    f"{path} is for cluster {bundle.cluster_uid}, and this node is enrolled in "
                    f"{mine.cluster}: a node belongs to one cluster",
                    remedy=f"remove {path}; or leave the old cluster first: standfast-agent "
                    f"enroll --anew --bundle FILE",
                )
            path.unlink(missing_ok=True)
            return
        if mine is None or mine.cluster != bundle.cluster_uid:
            mine = self._open_for(bundle)
        if self._bootstrap != text.hex():
            self._process.identities.put(bundle.identity)
            await self._entrance.listen(bundle.listen)
            self._bootstrap = text.hex()  # not before: a port that is in use is tried again
            log.info("AwaitingEnrolment", extra={"fields": {"cluster": bundle.cluster}})
        mine.credentials.introduction = (bundle.node, bundle.cluster, bundle.listen)
        mine.credentials.on_enrolled = lambda: self._spend(name)

    def _open_for(self, bundle: pki.Bundle) -> Membership:
        """Begin anew for this cluster; an enrolment that was never completed is dropped."""
        cluster = ClusterUid(bundle.cluster_uid)
        begun = self._store.enrolment()
        if begun is not None and begun.cluster_uid != cluster:
            for name in ("member.json", "pending.key"):
                (self._settings.state / name).unlink(missing_ok=True)
        return self._open(cluster)

    def _spend(self, name: str) -> None:
        """The bundle did its work: nobody can use it again."""
        self._process.identities.remove(name)
        with contextlib.suppress(OSError):
            self._settings.bundle.unlink(missing_ok=True)


def _listen(membership: Membership) -> tuple[str, ...]:
    """The addresses that the others know, or those of the bundle before any config."""
    enrolment = membership.credentials.enrolment
    assert enrolment is not None, "enrolled"
    if membership.voter is not None:
        me = membership.voter.state.record.config.member(enrolment.member_uid)
        if me is not None and me.addresses:
            return me.addresses
    return enrolment.listen


def _nothing() -> None:
    """An act that only lets the loop look at the time."""
