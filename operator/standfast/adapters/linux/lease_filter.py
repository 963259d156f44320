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

import errno

from standfast.adapters.linux import nft
from standfast.adapters.linux.netlink import (
    NETLINK_NETFILTER,
    Message,
    NetlinkError,
    NetlinkSocket,
)
from standfast.adapters.linux.nft import Base, KeyType, TableFamily
from standfast.errors import TransientError
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


class NftLeaseFilter:
    """The `LeaseFilter` port over nf_tables. One per process; serves all addresses.

    Args:
        clock: For the moments it must restore after somebody has flushed the tables.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms: dict[Address, int] = {}
        self._trouble = ""
        self._netlink: NetlinkSocket | None = None
        try:
            self._netlink = NetlinkSocket(NETLINK_NETFILTER)
            self._netlink.request(_build())
        except (OSError, TransientError) as error:
            self._complain(error)

    @property
    def trouble(self) -> str:
        return self._trouble

    def allow(self, address: Address, remaining_ms: int) -> None:
        if remaining_ms <= 0:
            self.cut(address)
            return
        self._until_ms[address] = self._clock.now_ms() + remaining_ms
        self._apply(_allowing(address, remaining_ms))

    def cut(self, address: Address) -> None:
        self._until_ms[address] = 0
        self._apply(_cutting(address))

    def forget(self, address: Address) -> None:
        self._until_ms.pop(address, None)
        self._apply(_forgetting(address))

    def remove_tables(self) -> None:
        """Take everything of ours out of the packet filter (uninstall).

        Raises:
            OSError: The kernel refused.
        """
        if self._netlink is None:
            return
        for family in (TableFamily.INET, TableFamily.ARP):
            try:
                self._netlink.request(nft.batch([nft.delete_table(family, TABLE)]))
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise

    def close(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def _apply(self, steps: list[Message]) -> None:
        if self._netlink is None:
            return
        try:
            try:
                self._netlink.request(nft.batch(steps))
            except NetlinkError as error:
                if error.errno != errno.ENOENT:
                    raise
                self._restore(steps)
        except (OSError, TransientError) as error:
            self._complain(error)
        else:
            self._trouble = ""

    def _restore(self, steps: list[Message]) -> None:
        """Somebody removed our tables: build them, put every lease back, then go on."""
        assert self._netlink is not None
        self._netlink.request(_build())
        now_ms = self._clock.now_ms()
        for address, until_ms in self._until_ms.items():
            left_ms = until_ms - now_ms
            restored = _allowing(address, left_ms) if left_ms > 0 else _cutting(address)
            self._netlink.request(nft.batch(restored))
        self._netlink.request(nft.batch(steps))

    def _complain(self, error: OSError | TransientError) -> None:
        why = error.strerror if isinstance(error, OSError) else error.problem
        self._trouble = f"the kernel's packet filter does not hold the lease: {why}"


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
    return steps


def _cutting(address: Address) -> list[Message]:
    key, steps = address.packed, []
    for family, ours, leases in _places(address):
        steps.append(nft.add_element(family, TABLE, ours, key))
        steps.append(nft.add_element(family, TABLE, leases, key, 1))
        steps.append(nft.delete_element(family, TABLE, leases, key))
    return steps


def _forgetting(address: Address) -> list[Message]:
    key, steps = address.packed, _cutting(address)
    steps += [nft.delete_element(family, TABLE, ours, key) for family, ours, _ in _places(address)]
    return steps
