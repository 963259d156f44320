"""The lease of an address in the packet filter: exact to the millisecond, kept by the kernel.

Table `inet standfast` drops what arrives for, or leaves from, an address of ours (`vip4`, `vip6`)
that is not in the set of running leases (`lease4`, `lease6`), whose elements time out. Table `arp
standfast` and two rules on neighbour discovery keep the machine from answering for it. A dead
agent renews nothing, so the address goes silent at the end of the lease, up to 1.6 s before the
kernel removes it (`addresses`). Both tables are ours alone: rules of others (firewalld, ufw) are
neither read nor changed, and whatever they accept, we still drop.

When somebody flushes the rule set of the machine, the next `allow` builds the tables anew.

Source: `docs/protocol.md`, section 7. Safety: S2, no address is answered by two nodes.
"""

from collections.abc import Iterator

from standfast.adapters.linux import nft
from standfast.adapters.linux.netlink import Message
from standfast.adapters.linux.nft import Base, KeyType, TableFamily
from standfast.adapters.linux.own_tables import LATE_MS_MAX, OwnTables
from standfast.adapters.linux.worker import Worker
from standfast.ports.clock import Clock
from standfast.ports.network import Address

TABLE = "standfast"
_PREROUTING, _POSTROUTING, _ARP_IN, _ARP_OUT = 0, 4, 0, 1
_BEFORE_ALL, _AFTER_ALL = -450, 350
_ICMPV6 = bytes([58])
_SOLICIT, _ADVERTISE = bytes([135]), bytes([136])
_INET_SETS = (
    ("vip4", KeyType.IPV4, False),
    ("lease4", KeyType.IPV4, True),
    ("vip6", KeyType.IPV6, False),
    ("lease6", KeyType.IPV6, True),
)
_CHAINS = (
    (TableFamily.INET, "arriving", _PREROUTING, _BEFORE_ALL),
    (TableFamily.INET, "leaving", _POSTROUTING, _AFTER_ALL),
    (TableFamily.ARP, "arriving", _ARP_IN, 0),
    (TableFamily.ARP, "leaving", _ARP_OUT, 0),
)


def _unless_leased(load: bytes, version: int) -> tuple[bytes, ...]:
    """The end of every rule: the loaded address is ours and its lease does not run: drop."""
    ours, leased = f"vip{version}", f"lease{version}"
    in_ours, out_of_lease = nft.must_be_in(ours), nft.must_not_be_in(leased)
    return (load, in_ours, load, out_of_lease, nft.count(), nft.drop())


def _rules() -> list[tuple[TableFamily, str, tuple[bytes, ...]]]:
    v4 = (nft.load_network_protocol(), nft.must_equal(nft.IPV4_PROTOCOL))
    v6 = (nft.load_network_protocol(), nft.must_equal(nft.IPV6_PROTOCOL))
    icmpv6 = (*v6, nft.load_transport_protocol(), nft.must_equal(_ICMPV6))
    kind = nft.load_payload(Base.TRANSPORT, 0, 1)
    nd_target = nft.load_payload(Base.TRANSPORT, 8, 16)

    def field(offset: int, length: int) -> bytes:
        return nft.load_payload(Base.NETWORK, offset, length)

    inet, arp = TableFamily.INET, TableFamily.ARP
    solicited = (*icmpv6, kind, nft.must_equal(_SOLICIT), *_unless_leased(nd_target, 6))
    advertised = (*icmpv6, kind, nft.must_equal(_ADVERTISE), *_unless_leased(nd_target, 6))
    return [
        (inet, "arriving", (*v4, *_unless_leased(field(16, 4), 4))),
        (inet, "arriving", (*v6, *_unless_leased(field(24, 16), 6))),
        (inet, "arriving", solicited),
        (inet, "leaving", (*v4, *_unless_leased(field(12, 4), 4))),
        (inet, "leaving", (*v6, *_unless_leased(field(8, 16), 6))),
        (inet, "leaving", advertised),
        (arp, "arriving", _unless_leased(field(24, 4), 4)),
        (arp, "leaving", _unless_leased(field(14, 4), 4)),
    ]


def _build() -> list[Message]:
    """Make both tables, or bring what is there to this form; elements of the sets stay."""
    inet, arp = TableFamily.INET, TableFamily.ARP
    steps = [nft.add_table(inet, TABLE), nft.add_table(arp, TABLE)]
    sets = [(inet, *entry) for entry in _INET_SETS] + [(arp, *entry) for entry in _INET_SETS[:2]]
    for number, (family, name, key, has_timeouts) in enumerate(sets, start=1):
        steps.append(nft.add_set(family, TABLE, name, key, number, has_timeouts=has_timeouts))
    for family, name, hook, priority in _CHAINS:
        steps.append(nft.add_chain(family, TABLE, name, hook, priority))
        steps.append(nft.delete_rules(family, TABLE, name))
    steps += [nft.add_rule(family, TABLE, chain, rule) for family, chain, rule in _rules()]
    return nft.batch(steps)


class LeaseTables:
    """The tables and what is in them, synchronously; for one thread. Never raises.

    Args:
        clock: Leases are moments on it, and the kernel wants lengths.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms: dict[Address, int] = {}
        self._tables = OwnTables([(family, TABLE) for family in TableFamily], self._anew)

    @property
    def trouble(self) -> str:
        return self._tables.trouble

    def build(self) -> None:
        """Make the tables, or bring what is there to our form."""
        self._tables.ask(_build())

    def allow(self, address: Address, until_ms: int) -> None:
        """Arm the lease, and arm it again if the kernel kept us waiting meanwhile.

        It counts the length from when it takes the request up, not from when we computed it.
        """
        self._until_ms[address] = until_ms
        while (asked_ms := self._clock.now_ms()) < until_ms:
            self._tables.ask(_allowing(address, until_ms - asked_ms))
            if self._clock.now_ms() - asked_ms <= LATE_MS_MAX:
                return
        self.cut(address)

    def cut(self, address: Address) -> None:
        self._until_ms[address] = 0
        self._tables.ask(_cutting(address))

    def forget(self, address: Address) -> None:
        self._until_ms.pop(address, None)
        self._tables.ask(_forgetting(address))

    def remove(self) -> None:
        """Take everything of ours out of the packet filter.

        Raises:
            OSError: The kernel refused.
        """
        self._tables.remove()

    def close(self) -> None:
        self._tables.close()

    def _anew(self) -> Iterator[list[Message]]:
        yield _build()
        now_ms = self._clock.now_ms()
        for address, until_ms in self._until_ms.items():
            left_ms = until_ms - now_ms
            yield _allowing(address, left_ms) if left_ms > 0 else _cutting(address)


def _places(address: Address) -> list[tuple[TableFamily, str, str]]:
    """Where an address is kept, as (family, set of ours, set of leases)."""
    if address.version == 6:
        return [(TableFamily.INET, "vip6", "lease6")]
    return [(family, "vip4", "lease4") for family in (TableFamily.INET, TableFamily.ARP)]


def _allowing(address: Address, remaining_ms: int) -> list[Message]:
    """Add, delete, add: in one transaction this sets the timeout anew, whatever was there."""
    key, steps = address.packed, []
    for family, ours, leases in _places(address):
        fresh = nft.add_element(family, TABLE, leases, key, remaining_ms)
        steps += [fresh, nft.delete_element(family, TABLE, leases, key), fresh]
        steps.append(nft.add_element(family, TABLE, ours, key))
    return nft.batch(steps)


def _cutting(address: Address) -> list[Message]:
    return nft.batch(_cutting_steps(address))


def _forgetting(address: Address) -> list[Message]:
    key = address.packed
    gone = [nft.delete_element(family, TABLE, ours, key) for family, ours, _ in _places(address)]
    return nft.batch([*_cutting_steps(address), *gone])


def _cutting_steps(address: Address) -> list[Message]:
    """Ours, and without lease. Add before delete: deleting what is not there is refused."""
    key, steps = address.packed, []
    for family, ours, leases in _places(address):
        steps.append(nft.add_element(family, TABLE, ours, key))
        steps.append(nft.add_element(family, TABLE, leases, key, 1))
        steps.append(nft.delete_element(family, TABLE, leases, key))
    return steps


class NftLeaseFilter:
    """The `LeaseFilter` port: `LeaseTables` in a thread of their own. One for all addresses."""

    def __init__(self, clock: Clock) -> None:
        self._tables = LeaseTables(clock)
        self._worker = Worker("nftables")
        self._worker.post(self._tables.build)

    @property
    def trouble(self) -> str:
        return self._tables.trouble

    async def allow(self, address: Address, until_ms: int) -> None:
        await self._worker.do(self._tables.allow, address, until_ms)

    async def cut(self, address: Address) -> None:
        await self._worker.do(self._tables.cut, address)

    async def forget(self, address: Address) -> None:
        await self._worker.do(self._tables.forget, address)

    async def remove_tables(self) -> None:
        """Take everything of ours out of the packet filter (uninstall). Raises OSError."""
        await self._worker.do(self._tables.remove)

    def close(self) -> None:
        self._worker.post(self._tables.close)
        self._worker.close()
