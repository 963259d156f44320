"""This process as a member of one cluster: from enrolment over the first config to votes.

Everything here happens in the one loop. Requests of the operator are methods that change durable
files first and answer then; what is refused changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

from standfast.adapters.linux.journal import SlotJournal
from standfast.adapters.pki import ServerIdentities
from standfast.core import quorum
from standfast.core.events import (
    Connected,
    Effect,
    Event,
    FencedReported,
    LeaseExtended,
    Received,
    TtlRequested,
)
from standfast.core.ids import BootId, ClusterUid, MemberUid, RunId
from standfast.core.messages import Envelope, Fenced
from standfast.core.record import Config, MemberKind
from standfast.core.state import Durable
from standfast.errors import OldTokenError, RefusedError, TransientError, UserError
from standfast.member.board import Board
from standfast.member.chronicle import Chronicle, values
from standfast.member.credentials import Credentials
from standfast.member.duties import Duties
from standfast.member.links import Links, Wiring, split
from standfast.member.mailbox import Mailbox
from standfast.member.orders import Orders
from standfast.member.store import Store
from standfast.member.voter import Tools, Voter
from standfast.ports.clock import Clock
from standfast.ports.events import Alert
from standfast.ports.journal import Journal
from standfast.wire import durable as durables
from standfast.wire.api import Accepted, BraceRequest, ConfigRequest, FencedRequest

BRACE_MS_MAX = 60_000
"""An operator that is gone leaves no lease long for longer: whoever wants more asks again."""
_INFRASTRUCTURE = "infrastructure"


@dataclass(frozen=True)
class Process:
    """What all memberships of one process share."""

    kind: MemberKind
    clock: Clock
    mailbox: Mailbox
    boot: BootId
    run: RunId
    identities: ServerIdentities
    machine: str = ""
    """What this machine calls itself; "" where the disk may move (a witness's volume)."""


class Membership:
    """One cluster of this process."""

    def __init__(self, process: Process, cluster: ClusterUid, store: Store) -> None:
        self.process = process
        self.cluster = cluster
        self.store = store
        self.board = Board()
        self.chronicle = Chronicle(store.log, self.board.change, cluster)
        self.credentials = Credentials(cluster, store, self.chronicle, process.identities)
        self.token = store.token()
        self.voter: Voter | None = None
        self.links: Links | None = None
        self.duties: Duties
        self.orders = Orders(self)
        self._config_id = ""
        self._shown: object = None
        self._journal: Journal | None = None
        self._promise_look_ms: int | None = None
        self._braced_until_ms: int | None = None
        self._wishes: dict[str, int] = {}

    def open(self, make_duties: "Callable[[Membership], Duties]") -> None:
        """Take up what an earlier run left: identity, votes, resources."""
        self.duties = make_duties(self)
        self.credentials.open()
        enrolment = self.credentials.enrolment
        is_enrolled = enrolment is not None and self.credentials.identity is not None
        if enrolment is not None and is_enrolled and self.store.journal.exists():
            journal = self._open_journal()
            kept = journal.load()
            durable = None if kept is None else durables.decode(kept)
            # Of another uid: it left before, and its forgetting was cut short.
            if durable is not None and durable.me == enrolment.member_uid:
                self._begin(durable)
                if self.store.votes_of() != durable.me:
                    self.store.save_votes_of(durable.me)

    async def close(self) -> None:
        await self.duties.close()
        if self.links is not None:
            self.links.close()
        if self._journal is not None:
            self._journal.close()
        self.chronicle.close()

    # ---------------------------------------------------------------- the first config

    def take_config(self, request: ConfigRequest) -> Accepted:
        """Become a member under this config; the same again is fine, another is refused."""
        config = self._checked(request)
        if self.voter is not None:
            first = self.store.config()
            known = None if first is None else self._checked(first)
            if known is not None and known.digest == config.digest:
                return Accepted(accepted=True, config_id=str(self.voter.state.record.config.id))
            raise RefusedError(
                f"cluster {self.cluster} has a first config already (digest "
                f"{known.digest if known else 'unknown'}), and this is another one (digest "
                f"{config.digest}): a cluster has one",
                remedy="change members and timers through the active node instead",
            )
        enrolment = self.credentials.enrolment
        assert enrolment is not None, "checked"
        self.store.save_config(request)
        self.begin(quorum.durable_for(config, enrolment.member_uid))
        fields = values(members=len(config.members), digest=config.digest)
        self.chronicle.note("Configured", "Accepted the first config", fields)
        return Accepted(accepted=True, config_id=str(config.id))

    def begin(self, durable: Durable) -> None:
        """Vote for the first time under this uid; never again from nothing.

        Raises:
            RefusedError: This uid has voted before, and its votes are not on this disk any more.
        """
        voted = self.store.votes_of()
        if voted == durable.me:
            raise RefusedError(
                f"{voted} has voted in cluster {self.cluster}, and its journal is gone: begun "
                "anew it could vote twice",
                remedy="replace this node (kubectl standfast replace CLUSTER NODE)",
            )
        self._open_journal()
        self._begin(durable)
        self.store.save_votes_of(durable.me)

    def _checked(self, request: ConfigRequest) -> Config:
        payload = self.credentials.verified("config", request.config)
        enrolment = self.credentials.enrolment
        assert enrolment is not None, "verified"
        config = durables.decode_config(payload)
        if config.cluster != self.cluster:
            raise UserError(
                f"the config is of cluster {config.cluster}, and this connection is for "
                f"{self.cluster}",
                remedy="send each cluster its own config",
            )
        me = config.member(enrolment.member_uid)
        if me is None or me.kind is not self.process.kind:
            named = "does not name it" if me is None else f"calls it a {me.kind.value} member"
            raise UserError(
                f"this is the {self.process.kind.value} member {enrolment.member_uid}, and "
                f"the config {named}",
                remedy="make the config of the uids that the members answered with",
            )
        for member in config.everyone():
            for address in member.addresses:
                split(address)
        problems = config.timing.problems()
        if problems:
            raise UserError("; ".join(problems), remedy="correct spec.timing of the HACluster")
        return config

    def _open_journal(self) -> Journal:
        if self._journal is None:
            self._journal = SlotJournal.open(self.store.journal)
        return self._journal

    def _begin(self, durable: Durable) -> None:
        """Start the quorum member, and let its effects out."""
        process = self.process
        assert self._journal is not None
        wiring = Wiring(
            cluster=self.cluster,
            me=durable.me,
            run=process.run,
            clock=process.clock,
            mailbox=process.mailbox,
            context=self.credentials.client_context,
            server_name=self.credentials.name_of,
            on_message=self._receive,
            on_connected=self._connected,
            on_change=self._links_changed,
            on_refused=self._refused,
        )
        links = Links(wiring)
        tools = Tools(
            journal=self._journal,
            links=links,
            clock=process.clock,
            chronicle=self.chronicle,
            on_effect=self._effect,
            on_step=self._stepped,
            fail=process.mailbox.fail,
            machine=process.machine,
        )
        voter = Voter(tools, durable, process.boot, process.run)
        self.duties.begin(voter, links)
        try:
            voter.start(self.duties.adopted(durable.record))
        except TransientError:
            links.close()
            raise
        self.voter, self.links = voter, links

    # ---------------------------------------------------------------- what comes in

    def _receive(self, envelope: Envelope) -> None:
        voter = self.voter
        if voter is not None:
            self.process.mailbox.put(lambda: self._take(voter, Received(envelope)))

    def _connected(self, uid: MemberUid) -> None:
        voter = self.voter
        if voter is not None:
            self.process.mailbox.put(lambda: self._take(voter, Connected(uid)))

    def _take(self, voter: Voter, event: Event) -> None:
        if voter is self.voter:  # not after it has left
            voter.take(event)

    def _links_changed(self) -> None:
        self.board.change()
        self.process.mailbox.put(self.duties.on_links)

    def _refused(self, peer: str, problem: str) -> None:
        self.chronicle.raise_alert(
            peer,
            Alert(
                "MessageRefused",
                f"{peer} sent what this member does not take: {problem}",
                "let all members run versions that belong together",
            ),
        )

    def fenced(self, request: FencedRequest) -> None:
        """The operator attests a power-off."""
        voter = self.configured()
        config = voter.state.record.config
        if config.member(MemberUid(request.member)) is None:
            raise UserError(
                f"{request.member} is no member of cluster {self.cluster}",
                remedy="name a member by its uid (GET /v1/status)",
            )
        attested = Fenced(MemberUid(request.member), BootId(request.boot), request.evidence)
        self.chronicle.note(
            "Fenced",
            "A boot is attested powered off",
            values(peer=request.member, boot=request.boot, error=request.evidence),
        )
        voter.insist(FencedReported(attested))

    def renew(self) -> None:
        """Renew a lease now instead of with the next heartbeat."""
        lease = None if self.voter is None else self.voter.state.holding
        if self.voter is not None and lease is not None and lease.renews:
            self.voter.take(TtlRequested(lease.ttl_ms))

    def ask_for_ttl(self, who: str, ttl_ms: int) -> None:
        """Let a holder ask for longer promises; of several wishes the longest counts.

        Args:
            who: Wishes it.
            ttl_ms: 0 ends the wish.
        """
        self._wishes.pop(who, None)
        if ttl_ms > 0:
            self._wishes[who] = ttl_ms
        if self.voter is not None and self.voter.state.holding is not None:
            self.voter.take(TtlRequested(max(self._wishes.values(), default=0)))

    def brace(self, request: BraceRequest) -> None:
        """A stun is announced: ask for the longest promises for so long, then for the usual ones.

        Raises:
            RefusedError: This node does not hold the lease.
        """
        if request.for_ms <= 0:
            self._unbrace()
            return
        voter = self.configured()
        if voter.state.holding is None:
            raise RefusedError(
                "this node does not hold the lease, so nothing depends on its standing still",
                remedy="tell the active node",
            )
        ttl_ms = voter.state.record.config.ttl_max_ms
        self.ask_for_ttl(_INFRASTRUCTURE, ttl_ms)
        if self._braced_until_ms is None:
            fields = values(ttl_ms=ttl_ms, reason=request.reason)
            self.chronicle.note("Braced", "The lease is made longer for a while", fields)
        for_ms = min(request.for_ms, BRACE_MS_MAX)
        self._braced_until_ms = self.process.clock.now_ms() + for_ms

    def _unbrace(self) -> None:
        """Back to the usual promises; what was promised stays so."""
        if self._braced_until_ms is None:
            return
        self._braced_until_ms = None
        self.ask_for_ttl(_INFRASTRUCTURE, 0)
        self.chronicle.note("Unbraced", "The lease is as long as usual again")

    def check_token(self, token: int) -> None:
        """Refuse an operator that is no longer the acting one (F73, F74); durable."""
        if token < self.token:
            raise OldTokenError(
                f"the operator's token is {token}, and this member has seen {self.token}: another "
                "replica acts now",
                remedy="let the acting replica do it (kubectl get lease)",
                seen=self.token,
            )
        if token > self.token:
            self.store.save_token(token)
            self.token = token

    def configured(self) -> Voter:
        """The voter; raises RefusedError while there is none."""
        if self.voter is None:
            raise RefusedError(
                f"this member has no config of cluster {self.cluster} yet",
                remedy="send it the first config (PUT /v1/config)",
            )
        return self.voter

    # ---------------------------------------------------------------- effects and time

    def _effect(self, effect: Effect) -> None:
        self.duties.on_effect(effect)
        if not isinstance(effect, LeaseExtended):
            self.board.change()

    def _stepped(self) -> None:
        self.duties.on_step()
        if self.voter is None:
            return
        state = self.voter.state
        self._note_config(state.record.config)
        shown = (
            state.durable.term,
            state.durable.voted_for,
            state.durable.record.version,
            state.holding is not None and (state.holding.term, state.holding.committed),
            state.candidacy is not None,
            state.promise is not None and state.promise.holder,
        )
        if shown != self._shown:
            self._shown = shown
            self.board.change()
        promise = state.promise
        if promise is not None and self._promise_look_ms is None:
            now_ms = self.process.clock.now_ms()
            if now_ms < promise.until_ms:
                self._promise_look_ms = promise.until_ms
                self.board.change()

    def _look_at_promise(self, now_ms: int) -> None:
        """Tell when the holder is one no more: no message comes with that, and no step."""
        promise = self.voter.state.promise if self.voter is not None else None
        if promise is not None and now_ms < promise.until_ms:
            self._promise_look_ms = promise.until_ms
            return
        self._promise_look_ms = None
        self.board.change()

    def _note_config(self, config: Config) -> None:
        """Say who votes now, once a change is over."""
        if config.leaving is not None or str(config.id) == self._config_id:
            return
        if self._config_id:
            names = ", ".join(member.name for member in config.members)
            fields = values(config=str(config.id), members=names, ttl_ms=config.timing.ttl_ms)
            self.chronicle.note("Reconfigured", "Another config is in force", fields)
        self._config_id = str(config.id)

    async def leave(self) -> None:
        """Stop everything, cleanly, and forget this cluster: the cluster has let this member go.

        Raises:
            RefusedError: It holds the lease.
            TransientError: Its vote still counts: a holder renews with it.
        """
        voter = self.voter
        if voter is not None and voter.state.holding is not None:
            raise RefusedError(
                "this node holds the lease, so it does not leave",
                remedy="switch over first (kubectl standfast switchover CLUSTER)",
            )
        if voter is not None and voter.somebody_holds and not voter.state.durable.halted:
            raise TransientError(
                "the active node still renews its lease with this member's vote",
                remedy="remove it from the config first; it leaves when its promise is over",
                retry_after_ms=voter.state.record.config.ttl_ms,
            )
        await self.duties.leave()
        self.voter = None
        self.credentials.forget()
        await self.close()
        self.store.forget()

    def next_ms(self) -> int | None:
        due = [self.credentials.next_ms(self.process.clock.now_ms())]
        due += [at for at in (self._promise_look_ms, self._braced_until_ms) if at is not None]
        for part in (self.voter, self.duties):
            at_ms = part.next_ms() if part is not None else None
            if at_ms is not None:
                due.append(at_ms)
        return min(due)

    def tick(self) -> None:
        """Do what is due; harmless when nothing is.

        Votes and duties tick together, so that they ask for one alarm and not for two.
        """
        now_ms = self.process.clock.now_ms()
        moments = (part.next_ms() for part in (self.voter, self.duties) if part is not None)
        if any(at_ms is not None and at_ms <= now_ms for at_ms in moments):
            if self.voter is not None:
                self.voter.tick()
            self.duties.tick()
        if self._braced_until_ms is not None and now_ms >= self._braced_until_ms:
            self._unbrace()
        if self._promise_look_ms is not None and now_ms >= self._promise_look_ms:
            self._look_at_promise(now_ms)
        self.credentials.tick(now_ms)
