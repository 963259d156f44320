"""Addresses, packet filter and neighbours on a real kernel: three machines on a bridge."""

import asyncio
import errno
import json
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

import pytest

from standfast.adapters.linux.address_events import KernelAddressEvents
from standfast.adapters.linux.addresses import AddressSocket, KernelAddresses
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.linux.lease_filter import LeaseTables
from standfast.adapters.linux.neighbours import WireNeighbours
from standfast.ports.network import AddressChange, Interface
from tests.integration.linux_parts import (
    Client,
    Machine,
    echo,
    inside,
    needs_root,
    now_ms,
    shell,
    told,
    wire,
)

pytestmark = needs_root
VIPS = [ip_interface("10.9.0.100/24"), ip_interface("fd09::100/64")]
Vip = IPv4Interface | IPv6Interface


def until(left_ms: int) -> int:
    return BootClock().now_ms() + left_ms


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    """Two nodes and a client; the test itself is on the first."""
    with wire(3) as found, inside(found[0].namespace):
        yield found


@pytest.fixture
def addresses(machines: list[Machine]) -> Iterator[AddressSocket]:
    table = AddressSocket()
    yield table
    table.close()


@pytest.fixture
def lease_filter(machines: list[Machine]) -> Iterator[LeaseTables]:
    found = LeaseTables(BootClock())
    found.build()
    assert found.trouble == ""
    yield found
    found.close()


@pytest.fixture
def neighbours(machines: list[Machine]) -> Iterator[WireNeighbours]:
    table = KernelAddresses()
    found = WireNeighbours(table)
    yield found
    found.close()
    table.close()


@pytest.fixture
def eth0(addresses: AddressSocket) -> Interface:
    return next(found for found in addresses.interfaces() if found.name == "eth0")


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n{text}", end="")

    return line


def test_the_interface_is_found_by_subnet(addresses: AddressSocket, eth0: Interface) -> None:
    assert eth0.is_up
    assert eth0.has_carrier
    assert eth0.mac == bytes([2, 9, 0, 0, 0, 1])
    for vip in VIPS:
        assert [found.name for found in addresses.in_subnet(vip)] == ["eth0"]
    assert addresses.in_subnet(ip_interface("10.8.0.1/24")) == []
    assert addresses.in_subnet(ip_interface("10.9.0.1/24")) == []  # only itself is there


@pytest.mark.parametrize("vip", VIPS, ids=str)
def test_an_address_is_added_refreshed_and_removed(
    vip: Vip, addresses: AddressSocket, eth0: Interface, tell: Callable[[str], None]
) -> None:
    took = []
    for _ in range(30):
        begin = time.perf_counter()
        addresses.put(vip, eth0, 2)
        took.append((time.perf_counter() - begin) * 1000)
        assert [found.name for found in addresses.holders(vip.ip)] == ["eth0"]
    tell(told(f"{vip.ip} added or refreshed", took))
    addresses.remove(vip.ip)
    assert addresses.holders(vip.ip) == []
    addresses.remove(vip.ip)


def test_an_address_with_another_prefix_is_removed_too(
    addresses: AddressSocket, machines: list[Machine]
) -> None:
    for vip, prefix in zip(VIPS, (32, 128), strict=True):
        shell(f"ip -n {machines[0].namespace} addr add {vip.ip}/{prefix} dev eth0")
        shell(f"ip -n {machines[0].namespace} addr add {vip.ip}/{prefix} dev lo")
        assert len(addresses.holders(vip.ip)) == 2
        addresses.remove(vip.ip)
        assert addresses.holders(vip.ip) == []


def test_an_unknown_interface_is_an_error_with_its_number(addresses: AddressSocket) -> None:
    ghost = Interface(9999, "ghost", b"", True, True, False)
    with pytest.raises(OSError, match="No such device") as caught:
        addresses.put(VIPS[0], ghost, 2)
    assert caught.value.errno == errno.ENODEV


@pytest.mark.parametrize("vip", VIPS, ids=str)
async def test_the_kernel_takes_the_address_when_it_is_not_refreshed(
    vip: Vip, addresses: AddressSocket, eth0: Interface, tell: Callable[[str], None]
) -> None:
    """Never early: what is refreshed in time stays; what is not ends, and the event says so."""
    gone: asyncio.Queue[float] = asyncio.Queue()

    def note(change: AddressChange) -> None:
        if change.address == vip.ip and not change.is_present:
            gone.put_nowait(now_ms())

    follower = asyncio.create_task(KernelAddressEvents().follow(note))
    await asyncio.sleep(0)
    late = []
    for _ in range(2):
        for _ in range(6):
            addresses.put(vip, eth0, 1)
            last = now_ms()
            await asyncio.sleep(0.3)
            assert gone.empty()
        at = await asyncio.wait_for(gone.get(), 5)
        assert at - last >= 1000
        late.append(at - last - 1000)
    follower.cancel()
    tell(told(f"{vip.ip} removed by the kernel after the end of its lifetime", late))


@pytest.mark.parametrize("vip", VIPS, ids=str)
def test_the_filter_cuts_at_the_millisecond_and_the_address_is_still_there(
    vip: Vip,
    machines: list[Machine],
    addresses: AddressSocket,
    lease_filter: LeaseTables,
    tell: Callable[[str], None],
) -> None:
    late = []
    addresses.put(vip, addresses.in_subnet(vip)[0], 60)
    with echo(machines[0]), Client(machines[2], vip.ip) as client:
        for _ in range(5):
            lease_filter.allow(vip.ip, until(1500))
            client.wait_for_answer(number=1, after_ms=now_ms())
            lease_filter.allow(vip.ip, until(300))
            end = now_ms() + 300
            while now_ms() < end + 200:
                time.sleep(0.01)
            assert addresses.holders(vip.ip)
            asked = [asked for asked, _, _ in client.answers]
            late.append(max(asked) - end)
            assert not [at for at in asked if at > end + 100], "answered after the lease"
    tell(told(f"{vip.ip}: last question answered, against the end of the lease", late))


@pytest.mark.parametrize("vip", VIPS, ids=str)
def test_nobody_is_told_where_the_address_is_outside_its_lease(
    vip: Vip,
    machines: list[Machine],
    addresses: AddressSocket,
    lease_filter: LeaseTables,
    eth0: Interface,
) -> None:
    """Neither ARP nor neighbour discovery answers; the very same question is answered before."""
    addresses.put(vip, eth0, 60)
    lease_filter.allow(vip.ip, until(60_000))
    with inside(machines[2].namespace):
        table = KernelAddresses()
        neighbours = WireNeighbours(table)

        async def ask() -> bytes | None:
            (there,) = await table.in_subnet(vip)
            return await neighbours.probe(vip.ip, there, 200)

        assert asyncio.run(ask()) == eth0.mac
        lease_filter.cut(vip.ip)
        assert asyncio.run(ask()) is None
        lease_filter.forget(vip.ip)
        assert asyncio.run(ask()) == eth0.mac
        neighbours.close()
        table.close()


def test_what_others_have_in_the_packet_filter_stays(
    machines: list[Machine], lease_filter: LeaseTables
) -> None:
    foreign = "table inet firewalld { chain c { type filter hook input priority 0; }; }"
    machines[0].run(f"nft '{foreign}'")
    lease_filter.build()
    lease_filter.allow(VIPS[0].ip, until(1000))
    lease_filter.remove()
    lease_filter.remove()
    rules = machines[0].run("nft list ruleset")
    assert "firewalld" in rules
    assert "standfast" not in rules


FIREWALLS = {
    "firewalld": """
        table inet firewalld {
            chain filter_INPUT {
                type filter hook input priority filter + 10; policy accept;
                ct state { established, related } accept
                accept
            }
        }""",
    "iptables-nft": """
        table ip filter {
            chain INPUT { type filter hook input priority filter; policy accept; counter accept; }
        }
        table ip6 filter {
            chain INPUT { type filter hook input priority filter; policy accept; counter accept; }
        }""",
    "ufw": """
        table ip filter {
            chain ufw-before-input { ct state established accept; }
            chain INPUT {
                type filter hook input priority filter; policy drop;
                jump ufw-before-input
                meta l4proto { tcp, udp, icmp } accept
            }
        }""",
    "nftables.conf": """
        table inet filter {
            chain input { type filter hook input priority raw; policy accept; accept; }
        }""",
}
"""As these programs write them: each lets in what belongs to a connection, or everything."""


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_what_a_firewall_lets_in_is_cut_all_the_same(
    firewall: str,
    machines: list[Machine],
    addresses: AddressSocket,
    lease_filter: LeaseTables,
) -> None:
    """An accept ends the chain it stands in and no other; its rules are left as they were."""
    vip = VIPS[0]
    machines[0].run(f"nft '{FIREWALLS[firewall]}'")
    before = machines[0].run("nft --stateless list table " + _table(FIREWALLS[firewall]))
    addresses.put(vip, addresses.in_subnet(vip)[0], 60)
    with echo(machines[0]), Client(machines[2], vip.ip) as client:
        lease_filter.allow(vip.ip, until(1000))
        client.wait_for_answer(number=1, after_ms=now_ms())
        lease_filter.allow(vip.ip, until(300))
        end = now_ms() + 300
        while now_ms() < end + 200:
            time.sleep(0.01)
        assert not [asked for asked, _, _ in client.answers if asked > end + 100]
    lease_filter.remove()
    after = machines[0].run("nft --stateless list table " + _table(FIREWALLS[firewall]))
    assert after == before


def _table(text: str) -> str:
    family, name = text.split()[1:3]
    return f"{family} {name}"


def test_a_flushed_rule_set_is_built_anew_with_all_leases(
    machines: list[Machine], lease_filter: LeaseTables
) -> None:
    lease_filter.allow(VIPS[0].ip, until(60_000))
    lease_filter.allow(VIPS[1].ip, until(60_000))
    machines[0].run("nft flush ruleset")
    lease_filter.allow(VIPS[0].ip, until(60_000))
    assert lease_filter.trouble == ""
    for vip, name in zip(VIPS, ("lease4", "lease6"), strict=True):
        assert str(vip.ip) in machines[0].run(f"nft list set inet standfast {name}")


def test_another_process_finds_the_leases_that_run(
    machines: list[Machine], lease_filter: LeaseTables
) -> None:
    """A restarted agent builds its tables again; what is allowed stays allowed meanwhile."""
    lease_filter.allow(VIPS[0].ip, until(60_000))
    again = LeaseTables(BootClock())
    again.build()
    assert again.trouble == ""
    assert "10.9.0.100" in machines[0].run("nft list set inet standfast lease4")
    again.close()


class _Tardy:
    """A clock that shows how long the kernel kept the caller waiting."""

    def __init__(self, *waits_ms: int) -> None:
        self._begin = BootClock().now_ms()
        self._waits = list(waits_ms)
        self._late = 0
        self._asked = False

    def now_ms(self) -> int:
        if self._asked and self._waits:
            self._late += self._waits.pop(0)
        self._asked = not self._asked
        return BootClock().now_ms() + self._late


@pytest.mark.parametrize(("waits_ms", "left_ms"), [((0,), 3000), ((1000,), 2000), ((4000,), 0)])
def test_a_kernel_that_keeps_us_waiting_does_not_lengthen_the_lease(
    waits_ms: tuple[int, ...], left_ms: int, machines: list[Machine]
) -> None:
    """The length counts from when the kernel took it up: it is armed again, shorter, or cut."""
    tables = LeaseTables(_Tardy(*waits_ms))
    tables.build()
    tables.allow(VIPS[0].ip, until(3000))
    shown = json.loads(machines[0].run("nft -j list set inet standfast lease4"))
    (found,) = [entry["set"] for entry in shown["nftables"] if "set" in entry]
    timeouts = [entry["elem"]["timeout"] for entry in found.get("elem", [])]
    assert timeouts in ([left_ms // 1000 - 1], [left_ms // 1000]) if left_ms else not timeouts
    tables.close()


def test_measured_extension(
    machines: list[Machine], lease_filter: LeaseTables, tell: Callable[[str], None]
) -> None:
    for vip in VIPS:
        took = []
        for _ in range(100):
            begin = time.perf_counter()
            lease_filter.allow(vip.ip, until(1500))
            took.append((time.perf_counter() - begin) * 1000)
        tell(told(f"{vip.ip}: lease extended in the packet filter", took))


@pytest.mark.parametrize("vip", VIPS, ids=str)
def test_an_announcement_moves_the_clients_entry(
    vip: Vip,
    machines: list[Machine],
    addresses: AddressSocket,
    neighbours: WireNeighbours,
    tell: Callable[[str], None],
) -> None:
    """F46: the other node had the address, vanishes without a word, and this one takes it."""
    here, there, far = machines
    (eth0,) = addresses.in_subnet(vip)
    took = []
    with echo(here), echo(there), Client(far, vip.ip) as client:
        for _ in range(5):
            shell(f"ip -n {there.namespace} addr add {vip} dev eth0 nodad")
            shell(f"ip -n {far.namespace} neigh flush to {vip.ip} dev eth0")
            client.wait_for_answer(number=2, after_ms=now_ms())
            assert far.neighbour(vip.ip) == there.mac
            shell(f"ip -n {there.namespace} addr del {vip} dev eth0")
            begin = now_ms()
            addresses.put(vip, eth0, 60)
            neighbours.announce(vip.ip, eth0)
            took.append(client.wait_for_answer(number=1, after_ms=begin) - begin)
            assert far.neighbour(vip.ip) == here.mac
            addresses.remove(vip.ip)
    tell(told(f"{vip.ip} taken, announced, first answer from the new node", took))


@pytest.mark.parametrize("vip", VIPS, ids=str)
async def test_a_stranger_is_found_and_our_own_address_is_not_one(
    vip: Vip,
    machines: list[Machine],
    addresses: AddressSocket,
    neighbours: WireNeighbours,
    tell: Callable[[str], None],
) -> None:
    """F47."""
    (eth0,) = addresses.in_subnet(vip)
    begin = now_ms()
    assert await neighbours.probe(vip.ip, eth0, 100) is None
    nobody = now_ms() - begin
    addresses.put(vip, eth0, 60)
    assert await neighbours.probe(vip.ip, eth0, 50) is None
    addresses.remove(vip.ip)
    shell(f"ip -n {machines[1].namespace} addr add {vip} dev eth0 nodad")
    took = []
    for _ in range(5):
        begin = now_ms()
        mac = await neighbours.probe(vip.ip, eth0, 100)
        took.append(now_ms() - begin)
        assert mac == bytes.fromhex(machines[1].mac.replace(":", ""))
    tell(told(f"{vip.ip}: stranger found ({nobody:.0f} ms when there is none)", took))


async def test_the_question_changes_nobodys_table(
    machines: list[Machine], addresses: AddressSocket, neighbours: WireNeighbours
) -> None:
    vip = VIPS[0]
    shell(f"ip -n {machines[1].namespace} addr add {vip} dev eth0")
    with echo(machines[1]), Client(machines[2], vip.ip) as client:
        client.wait_for_answer(number=2)
    assert machines[2].neighbour(vip.ip) == machines[1].mac
    await neighbours.probe(vip.ip, addresses.in_subnet(vip)[0], 50)
    assert machines[2].neighbour(vip.ip) == machines[1].mac
