"""Links of one member of one cluster to all others, over every declared address at once.

Each path is an address of the other member. Normally the member with the lower uid dials and both
talk over that connection; the other one dials too when nothing came from there for a while,
because the network may let connections through in one direction only, and at the start, because a
restarted member has no time to wait. Every message goes over every link that is up; the first copy
to arrive counts. One path's death costs nothing: no link
waits for another.
"""

import asyncio
import ipaddress
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from typing_extensions import override

from standfast.adapters.pki import connection_problem
from standfast.core.ids import ClusterUid, MemberUid, RunId
from standfast.core.messages import Envelope
from standfast.core.record import Member, MemberKind
from standfast.errors import UserError
from standfast.member.link import Link, Peer
from standfast.member.mailbox import Mailbox
from standfast.ports.clock import Clock
from standfast.wire import codec, frames
from standfast.wire.api import PathStatus, PeerStatus
from standfast.wire.frames import Facts, Frame, Window

CONNECT_S = 1.5
AGAIN_S = 0.1
AGAIN_S_MAX = 3.0
REFUSED = "refused"
PATIENCE_S = 1.0
"""How long the member with the higher uid waits to be dialled."""
PING_S = 1.0
RUNS_TOLD_APART = 2
NUMBERS_PER_MS_BITS = 10
"""So many messages are never sent to one member in a millisecond, averaged over its stay."""


@dataclass
class Wiring:
    """What all links of one member of one cluster share.

    Attributes:
        context: The identity to connect with, as it is now.
        server_name: The name that a member's certificate must carry.
        on_message: Takes the first copy of each message; its sender is who it says.
        on_connected: A link to this member came up.
        on_change: Reachability or facts of somebody changed.
        on_refused: Something arrived from (name) that was not taken, and why.
        facts: What is told to everybody.
    """

    cluster: ClusterUid
    me: MemberUid
    run: RunId
    clock: Clock
    mailbox: Mailbox
    context: Callable[[], ssl.SSLContext]
    server_name: Callable[[MemberUid], str]
    on_message: Callable[[Envelope], None]
    on_connected: Callable[[MemberUid], None]
    on_change: Callable[[], None]
    on_refused: Callable[[str, str], None]
    facts: Facts = field(default_factory=Facts)


class PeerLinks(Peer):
    """All links to one other member."""

    def __init__(self, member: Member, wiring: Wiring) -> None:
        self.member = member
        self._wiring = wiring
        self._links: list[Link] = []
        self._windows: dict[str, Window] = {}
        # Numbers grow within a run also for a member that was forgotten and is known again.
        self._sent = wiring.clock.now_ms() << NUMBERS_PER_MS_BITS
        self._dialling: dict[str, asyncio.Task[None]] = {}
        self._moved = asyncio.Event()
        self._problems: dict[str, str] = {}
        self.facts = Facts()
        self.heard_at_ms: int | None = None
        self.boot = ""

    @property
    def is_reachable(self) -> bool:
        return any(link.is_up for link in self._links)

    def send(self, payload: bytes) -> None:
        self._sent += 1
        data = frames.frame(frames.MESSAGE, self._sent, payload)
        for link in self._links:
            if link.is_up:
                link.send(data)

    def tell(self, told: Facts) -> None:
        data = frames.facts(self._facts_for(told))
        for link in self._links:
            if link.is_up:
                link.send(data)

    def _facts_for(self, told: Facts) -> Facts:
        """A witness follows nobody, and invitations hold secrets."""
        if self.member.kind is MemberKind.DATA:
            return told
        return msgspec.structs.replace(told, invitations={})

    def ping(self) -> None:
        for link in tuple(self._links):
            if link.dialled and self._is_doubled(link):
                link.close("the other side's connection on this path is enough")
            else:
                link.ping()

    def _is_doubled(self, mine: Link) -> bool:
        """Both sides have dialled the same path: the one with the higher uid gives its own up."""
        return self._wiring.me > self.member.uid and any(
            link.address == mine.address and link.is_up and not link.dialled
            for link in self._links
        )

    # ---------------------------------------------------------------- what links report

    @override
    def link_up(self, link: Link) -> None:
        for old in tuple(self._links):
            # The same end of the same path again: the older connection is dead and nobody said so.
            if old is not link and old.end == link.end:
                old.close("replaced by a newer connection")
        wiring = self._wiring
        link.send(frames.facts(self._facts_for(wiring.facts)))
        link.ping()
        self._problems.pop(link.address, None)
        wiring.on_connected(self.member.uid)
        wiring.on_change()

    @override
    def link_down(self, link: Link) -> None:
        if link in self._links:
            self._links.remove(link)
        if not self.is_reachable:
            self.facts = Facts()
        self._problems[link.address] = link.problem
        self._moved.set()
        self._wiring.on_change()

    @override
    def take_message(self, link: Link, frame: Frame) -> None:
        window = self._windows.get(link.run)
        if window is None:
            window = self._windows[link.run] = Window()
            while len(self._windows) > RUNS_TOLD_APART:
                del self._windows[next(iter(self._windows))]
        if not window.first_sight(frame.number):
            return
        message = codec.decode(frame.payload)
        if isinstance(message, codec.Refused):
            self._wiring.on_refused(self.member.name, message.problem)
            return
        if message.sender != self.member.uid or message.cluster != self._wiring.cluster:
            said = f"{message.sender} of {message.cluster}"
            self._wiring.on_refused(
                self.member.name, f"a message of {said}, and its certificate is {self.member.uid}"
            )
            return
        self.heard_at_ms = link.heard_at_ms
        self.boot = message.boot
        self._wiring.on_message(message)

    @override
    def take_facts(self, told: Facts) -> None:
        if told != self.facts:
            self.facts = told
            self._wiring.on_change()

    # ---------------------------------------------------------------- dialling

    def adopt(self, link: Link) -> None:
        """Take a connection that was dialled by the other side."""
        self._links.append(link)

    def know(self, member: Member) -> None:
        """Take the member as the newest config names it, and dial each of its addresses."""
        self.member = member
        for address in set(self._dialling) - set(member.addresses):
            self._dialling.pop(address).cancel()
        for address in member.addresses:
            if address not in self._dialling:
                name = f"dial {member.name} {address}"
                work = self._keep_dialled(address)
                self._dialling[address] = self._wiring.mailbox.start(work, name)

    def forget(self) -> None:
        for task in self._dialling.values():
            task.cancel()
        for link in tuple(self._links):
            link.close("no longer a member")

    async def _keep_dialled(self, address: str) -> None:
        host, port = split(address)
        refusals = 0
        while True:
            while self._is_covered(host):
                self._moved.clear()
                await self._moved.wait()
                if self._wiring.me > self.member.uid:
                    await asyncio.sleep(PATIENCE_S)
            link = await self._dial(host, port)
            if link is not None:
                await asyncio.wait([link.closed])
            # A machine that does not answer is asked again soon; one that answers and does not
            # want us (not enrolled yet, left the cluster) is not worth a handshake each time.
            was_up = link is not None and bool(link.run)
            answered = link is not None or self._problems.get(host, "").startswith(REFUSED)
            refusals = refusals + 1 if answered and not was_up else 0
            await asyncio.sleep(min(AGAIN_S * 2 ** min(refusals, 5), AGAIN_S_MAX))

    def _is_covered(self, host: str) -> bool:
        return any(link.address == host and link.is_up for link in self._links)

    async def _dial(self, host: str, port: int) -> Link | None:
        wiring = self._wiring
        link = Link(self, host, wiring.run, wiring.clock.now_ms, dialled=True)
        self._links.append(link)
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().create_connection(
                    lambda: link,
                    host,
                    port,
                    ssl=wiring.context(),
                    server_hostname=wiring.server_name(self.member.uid),
                )
        except ssl.SSLError as error:
            name = wiring.server_name(self.member.uid)
            self._problems[host] = f"{REFUSED}: {connection_problem(error, name).problem}"
        except TimeoutError:
            self._problems[host] = f"no answer within {CONNECT_S} s"
        except OSError as error:
            self._problems[host] = error.strerror or str(error)
        else:
            return link
        if link in self._links:
            self._links.remove(link)
        return None

    # ---------------------------------------------------------------- status

    def status(self, now_ms: int) -> PeerStatus:
        up = [link for link in self._links if link.is_up]
        best: dict[str, Link] = {}
        for link in up:
            known = best.get(link.address)
            if known is None or (link.rtt_ms or 1e9) < (known.rtt_ms or 1e9):
                best[link.address] = link
        declared = {_host(address): address for address in self.member.addresses}
        paths = [
            PathStatus(
                address=address,
                up=host in best,
                rtt_ms=best[host].rtt_ms if host in best else None,
                problem="" if host in best else self._problems.get(host, ""),
            )
            for host, address in declared.items()
        ]
        paths += [
            PathStatus(address=host, up=True, rtt_ms=link.rtt_ms)
            for host, link in best.items()
            if host not in declared
        ]
        return PeerStatus(
            member=self.member.uid,
            name=self.member.name,
            reachable=bool(up),
            boot=self.boot,
            paths=tuple(paths),
            last_heard_ms=None if self.heard_at_ms is None else now_ms - self.heard_at_ms,
        )


class Links:
    """All peers of one member of one cluster."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._peers: dict[MemberUid, PeerLinks] = {}
        self._known: Sequence[Member] = ()
        self._expected: tuple[Member, ...] = ()
        self._pinger: asyncio.Task[None] | None = None

    def know(self, members: Sequence[Member]) -> None:
        """Keep links to these and to whoever is expected; called after every step."""
        if members == self._known:
            return
        self._known = members
        named = {member.uid for member in members}
        self._expected = tuple(member for member in self._expected if member.uid not in named)
        self._apply()

    def expect(self, members: Sequence[Member]) -> None:
        """Let these in before the config names them, and nobody else who was expected."""
        named = {member.uid for member in self._known}
        expected = tuple(member for member in members if member.uid not in named)
        if expected != self._expected:
            self._expected = expected
            self._apply()

    def is_reachable(self, uid: MemberUid) -> bool:
        """Whether a link to this member is up."""
        return uid in self._peers and self._peers[uid].is_reachable

    def _apply(self) -> None:
        members = (*self._known, *self._expected)
        others = {member.uid: member for member in members if member.uid != self._wiring.me}
        for uid in set(self._peers) - set(others):
            self._peers.pop(uid).forget()
        for uid, member in others.items():
            if uid not in self._peers:
                self._peers[uid] = PeerLinks(member, self._wiring)
            self._peers[uid].know(member)
        if self._pinger is None:
            self._pinger = self._wiring.mailbox.start(self._keep_pinging(), "ping")

    def send(self, envelope: Envelope) -> None:
        """Send over every link that is up; a member that is not known or reachable gets none."""
        peer = self._peers.get(envelope.to)
        if peer is not None:
            peer.send(codec.encode(envelope))

    def tell(self, told: Facts) -> None:
        """Tell everybody; those that connect later hear it then."""
        if told != self._wiring.facts:
            self._wiring.facts = told
            for peer in self._peers.values():
                peer.tell(told)

    def accept(self, uid: MemberUid, host: str) -> Link | None:
        """The protocol for a connection that `uid` has dialled; none for a stranger."""
        peer = self._peers.get(uid)
        if peer is None:
            return None
        link = Link(peer, host, self._wiring.run, self._wiring.clock.now_ms, dialled=False)
        peer.adopt(link)
        return link

    def eligible(self) -> Iterable[MemberUid]:
        """Members that are reachable and would stand, in the order of the config."""
        return (
            member.uid
            for member in self._known
            if member.uid in self._peers and self._peers[member.uid].facts.eligible
        )

    def facts(self, uid: MemberUid) -> Facts:
        """The newest that this member told; nothing while it is not reachable."""
        peer = self._peers.get(uid)
        return Facts() if peer is None else peer.facts

    def status(self, now_ms: int) -> tuple[PeerStatus, ...]:
        return tuple(peer.status(now_ms) for peer in self._peers.values())

    def close(self) -> None:
        if self._pinger is not None:
            self._pinger.cancel()
        for peer in self._peers.values():
            peer.forget()

    async def _keep_pinging(self) -> None:
        while True:
            await asyncio.sleep(PING_S)
            for peer in tuple(self._peers.values()):
                peer.ping()


def split(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IP address in its usual form, so that texts compare.

    Raises:
        UserError: It does not read.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not host or not 0 < number < 65536:
        raise UserError(
            f"the address {address!r} of a member does not read: it is a host, a colon and a port",
            remedy="name it as 10.10.1.11:7380 or [fd00::11]:7380",
        )
    try:
        return ipaddress.ip_address(host).compressed, number
    except ValueError:
        return host, number  # a name


def _host(address: str) -> str:
    return split(address)[0]
