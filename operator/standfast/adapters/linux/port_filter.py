"""The lease of ports in the packet filter: on all addresses of this machine, to the millisecond.

Table `inet standfast_ports` refuses what arrives for a port of ours (`tcp_ports`, `udp_ports`)
that is not in the set of running leases (`tcp_leased`, `udp_leased`), and lets no answer out of
it. A dead agent renews nothing, so the port is shut at the end of the lease with nothing running.

Refused rather than dropped, because the machine's own address stays with the machine: whoever asks
learns at once that this is not the active node. An open connection ends with the next packet that
the client sends; and when its server process is gone, the kernel's FIN leaves as an RST, so a
client that only waits hears of it too, and never takes half an answer for a whole one.

What the machine asks itself is let be, and so is what it only passes on to others. The table is
there only where ports are leased.

Source: ADR-0058. Safety: no port is served by two nodes.
"""

from collections.abc import Iterable, Iterator

from standfast.adapters.linux import nft
from standfast.adapters.linux.local_ports import ephemeral
from standfast.adapters.linux.netlink import Message
from standfast.adapters.linux.nft import Base, KeyType, TableFamily
from standfast.adapters.linux.own_tables import LATE_MS_MAX, OwnTables
from standfast.adapters.linux.worker import Worker
from standfast.ports.clock import Clock
from standfast.ports.network import Port, Transport

TABLE = "standfast_ports"
_INET = TableFamily.INET
_PREROUTING, _POSTROUTING = 0, 4
_BEFORE_ALL, _AFTER_ALL = -450, 350
_FIN, _RST = bytes([1]), bytes([4])
_KEEP_LENGTH, _ACK_AND_RST = b"\xff\x00", b"\x00\x14"
_PROTOCOLS = {Transport.TCP: nft.TCP_PROTOCOL, Transport.UDP: nft.UDP_PROTOCOL}
_REFUSALS = {Transport.TCP: nft.reset(), Transport.UDP: nft.refuse()}


def _sets(transport: Transport) -> tuple[str, str]:
    """Where a port is kept: set of ours, set of leases."""
    return f"{transport.lower()}_ports", f"{transport.lower()}_leased"


def _unless_leased(transport: Transport, *, leaving: bool) -> tuple[bytes, ...]:
    """The begin of every rule: the port is ours, its lease does not run, and others talk to it."""
    port = nft.load_payload(Base.TRANSPORT, 0 if leaving else 2, 2)
    ours, leases = _sets(transport)
    is_here = nft.must_equal(nft.LOCAL) if leaving else nft.must_differ(nft.OF_OTHERS)
    return (
        *(nft.load_transport_protocol(), nft.must_equal(_PROTOCOLS[transport])),
        *(port, nft.must_be_in(ours), nft.must_not_be_in(leases)),
        *(nft.load_kind_of_interface(leaving=leaving), nft.must_differ(nft.LOOPBACK)),
        *(nft.load_kind_of_address(source=leaving), is_here),
    )


def _rules() -> Iterator[tuple[str, tuple[bytes, ...]]]:
    for transport in Transport:
        arrives = _unless_leased(transport, leaving=False)
        yield "arriving", (*arrives, nft.count(), _REFUSALS[transport])
    leaves = _unless_leased(Transport.TCP, leaving=True)
    yield "leaving", (*leaves, *_has(_RST), nft.accept())
    flags = nft.load_payload(Base.TRANSPORT, 12, 2)
    as_reset = (flags, nft.keep_bits(_KEEP_LENGTH, _ACK_AND_RST), nft.store_payload(12, 2))
    yield "leaving", (*leaves, *_has(_FIN), *as_reset, nft.count(), nft.accept())
    for transport in Transport:
        leaves = _unless_leased(transport, leaving=True)
        yield "leaving", (*leaves, nft.count(), nft.drop())


def _has(flag: bytes) -> tuple[bytes, ...]:
    """A flag of TCP is set."""
    flags = nft.load_payload(Base.TRANSPORT, 13, 1)
    return (flags, nft.keep_bits(flag), nft.must_equal(flag))


def _build() -> list[Message]:
    """Make the table, or bring what is there to this form; elements of the sets stay."""
    steps = [nft.add_table(_INET, TABLE)]
    for number, transport in enumerate(Transport):
        ours, leases = _sets(transport)
        for which, (name, has_timeouts) in enumerate(((ours, False), (leases, True))):
            set_id = 2 * number + which + 1
            steps.append(
                nft.add_set(_INET, TABLE, name, KeyType.PORT, set_id, has_timeouts=has_timeouts)
            )
    for chain, hook, priority in (
        ("arriving", _PREROUTING, _BEFORE_ALL),
        ("leaving", _POSTROUTING, _AFTER_ALL),
    ):
        steps.append(nft.add_chain(_INET, TABLE, chain, hook, priority))
        steps.append(nft.delete_rules(_INET, TABLE, chain))
    return steps + [nft.add_rule(_INET, TABLE, chain, rule) for chain, rule in _rules()]


class PortTables:
    """The table and what is in it, synchronously; for one thread. Never raises but from `remove`.

    Args:
        clock: The lease is a moment on it, and the kernel wants a length.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ports: tuple[Port, ...] = ()
        self._until_ms = 0
        self._tables = OwnTables([(_INET, TABLE)], self._anew)

    @property
    def trouble(self) -> str:
        return self._tables.trouble

    def keep(self, ports: Iterable[Port]) -> None:
        """These ports are ours, and no others; leases that run in the kernel stay.

        With none, nothing of ours is in the packet filter.
        """
        before, self._ports = self._ports, tuple(sorted(ports))
        ours = [_ours(port) for port in self._ports]
        if not ours:
            self._tables.drop()
        elif self._ports == before:
            self._tables.ask(nft.batch(ours))  # and all of it, if it is not there
        else:
            emptied = [nft.empty_set(_INET, TABLE, _sets(each)[0]) for each in Transport]
            self._tables.ask(nft.batch([*_build(), *emptied, *ours]))
            if self._until_ms:
                self.allow(self._until_ms)

    def allow(self, until_ms: int) -> None:
        """Arm the lease of all of them; again if the kernel kept us waiting meanwhile."""
        self._until_ms = until_ms
        if not self._ports:
            return
        while (asked_ms := self._clock.now_ms()) < until_ms:
            self._tables.ask(self._allowing(until_ms - asked_ms))
            if self._clock.now_ms() - asked_ms <= LATE_MS_MAX:
                return
        self.cut()

    def cut(self) -> None:
        self._until_ms = 0
        if self._ports:
            self._tables.ask(self._cutting())

    def remove(self) -> None:
        """Take everything of ours out of the packet filter; raises OSError."""
        self._tables.remove()

    def close(self) -> None:
        self._tables.close()

    def _anew(self) -> Iterator[list[Message]]:
        yield nft.batch([*_build(), *(_ours(port) for port in self._ports)])
        left_ms = self._until_ms - self._clock.now_ms()
        if left_ms > 0:
            yield self._allowing(left_ms)

    def _allowing(self, remaining_ms: int) -> list[Message]:
        """Add, delete, add: in one transaction this sets the timeouts anew, whatever was there."""
        steps = []
        for port in self._ports:
            fresh = _leased(port, remaining_ms)
            steps += [fresh, _not_leased(port), fresh, _ours(port)]
        return nft.batch(steps)

    def _cutting(self) -> list[Message]:
        """Add before delete: deleting what is not there is refused."""
        steps = []
        for port in self._ports:
            steps += [_ours(port), _leased(port, 1), _not_leased(port)]
        return nft.batch(steps)


def _key(port: Port) -> bytes:
    return port.number.to_bytes(2)


def _ours(port: Port) -> Message:
    return nft.add_element(_INET, TABLE, _sets(port.transport)[0], _key(port))


def _leased(port: Port, remaining_ms: int) -> Message:
    return nft.add_element(_INET, TABLE, _sets(port.transport)[1], _key(port), remaining_ms)


def _not_leased(port: Port) -> Message:
    return nft.delete_element(_INET, TABLE, _sets(port.transport)[1], _key(port))


class NftPortFilter:
    """The `PortFilter` port: `PortTables` in a thread of their own."""

    def __init__(self, clock: Clock) -> None:
        self._tables = PortTables(clock)
        self._worker = Worker("nft-ports")
        self._until_ms = 0
        self._is_asked = False

    @property
    def trouble(self) -> str:
        return self._tables.trouble

    def keep(self, ports: Iterable[Port]) -> None:
        self._worker.post(self._tables.keep, frozenset(ports))

    def allow(self, until_ms: int) -> None:
        self._until_ms = until_ms
        if not self._is_asked:  # a kernel that keeps us waiting is asked for the newest then
            self._is_asked = True
            self._worker.post(self._allow)

    async def cut(self) -> None:
        self._until_ms = 0
        await self._worker.do(self._tables.cut)

    def ephemeral(self, ports: Iterable[Port]) -> frozenset[Port]:
        return ephemeral(ports)

    def close(self) -> None:
        self._worker.post(self._tables.close)
        self._worker.close()

    def _allow(self) -> None:
        self._is_asked = False
        self._tables.allow(self._until_ms)
