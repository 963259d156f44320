"""The port filter: what is asked of the kernel, and a kernel that does not play along."""

import asyncio
import errno
import threading
from collections.abc import Sequence

import pytest

from standfast.adapters.fakes import FakeClock
from standfast.adapters.linux import own_tables
from standfast.adapters.linux.netlink import Message, NetlinkError
from standfast.adapters.linux.port_filter import NftPortFilter, PortTables
from standfast.ports.network import Port, Transport

HTTPS, DNS = Port(443, Transport.TCP), Port(53, Transport.UDP)
NEW_RULE, NEW_ELEMENT, DELETE_ELEMENT, DELETE_TABLE = 6, 12, 14, 2


class Kernel:
    """Takes transactions; `absent` says that the tables are gone until they are made."""

    def __init__(self) -> None:
        self.taken: list[list[Message]] = []
        self.absent = False
        self.refusal: OSError | None = None
        self.is_closed = False
        self.goes_on = threading.Event()
        self.goes_on.set()

    def __call__(self, family: int) -> "Kernel":
        del family
        return self

    def request(self, batch: Sequence[Message]) -> None:
        self.goes_on.wait(5)
        if self.refusal is not None:
            raise self.refusal
        if self.absent and NEW_RULE not in kinds(batch):
            raise NetlinkError(errno.ENOENT, "No such file or directory")
        self.absent = False
        self.taken.append(list(batch))

    def close(self) -> None:
        self.is_closed = True


def kinds(batch: Sequence[Message]) -> list[int]:
    return [message.kind & 0xFF for message in batch]


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    found = Kernel()
    monkeypatch.setattr(own_tables, "NetlinkSocket", found)
    return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def test_the_rules_as_bytes(kernel: Kernel, clock: FakeClock) -> None:
    """As nft -f makes them, verified once against `nft --debug=netlink`."""
    PortTables(clock).keep([HTTPS])
    (batch,) = kernel.taken
    rules = [message.body for message in batch if message.kind & 0xFF == NEW_RULE]
    assert len(rules) == 6
    tcp = rules[0]
    for part in (
        b"arriving\0",
        b"tcp_ports\0",
        b"tcp_leased\0",
        bytes.fromhex("06000100 04030000".replace(" ", "")),  # not loopback, an u16 of the host
        b"fib\0",
        b"reject\0",
    ):
        assert part in tcp, part
    assert b"udp_leased\0" in rules[1]
    assert b"leaving\0" in rules[2]
    # The flags of TCP: clear all but the length of the header, then turn over ACK and RST.
    assert bytes.fromhex("06000100ff00") in rules[3]
    assert bytes.fromhex("060001000014") in rules[3]
    assert b"payload\0" in rules[3]


def test_a_lease_is_a_length_for_every_port(kernel: Kernel, clock: FakeClock) -> None:
    tables = PortTables(clock)
    tables.keep([DNS, HTTPS])
    tables.allow(clock.now_ms() + 1234)
    added = [message for message in kernel.taken[-1] if message.kind & 0xFF == NEW_ELEMENT]
    length = (1234).to_bytes(8)
    assert [length in message.body for message in added] == [True, True, False] * 2
    assert [(443).to_bytes(2) in message.body for message in added] == [False] * 3 + [True] * 3


def test_what_has_passed_is_a_cut(kernel: Kernel, clock: FakeClock) -> None:
    tables = PortTables(clock)
    tables.keep([HTTPS])
    tables.allow(clock.now_ms())
    assert kinds(kernel.taken[-1])[1:-1] == [NEW_ELEMENT, NEW_ELEMENT, DELETE_ELEMENT]


def test_ports_that_come_later_are_open_at_once(kernel: Kernel, clock: FakeClock) -> None:
    tables = PortTables(clock)
    until_ms = clock.now_ms() + 5000
    tables.allow(until_ms)
    tables.cut()
    assert kernel.taken == [], "there is nothing of ours, and nothing is made"
    tables.allow(until_ms)
    clock.advance(1000)
    tables.keep([HTTPS])
    assert (4000).to_bytes(8) in b"".join(message.body for message in kernel.taken[-1])


def test_tables_that_are_gone_are_made_again_with_their_lease(
    kernel: Kernel, clock: FakeClock
) -> None:
    tables = PortTables(clock)
    tables.keep([HTTPS])
    tables.allow(clock.now_ms() + 5000)
    kernel.taken.clear()
    clock.advance(1000)
    kernel.absent = True
    tables.keep([HTTPS])
    assert [NEW_RULE in kinds(batch) for batch in kernel.taken] == [True, False, False]
    assert (4000).to_bytes(8) in b"".join(message.body for message in kernel.taken[1])
    tables.cut()
    kernel.taken.clear()
    kernel.absent = True
    tables.keep([HTTPS])
    assert [NEW_RULE in kinds(batch) for batch in kernel.taken] == [True, False]


def test_without_ports_nothing_of_ours_is_there(kernel: Kernel, clock: FakeClock) -> None:
    tables = PortTables(clock)
    tables.keep([HTTPS])
    tables.keep([])
    assert kinds(kernel.taken[-1])[1:-1] == [DELETE_TABLE]
    kernel.refusal = NetlinkError(errno.EPERM, "Operation not permitted")
    tables.keep([])
    assert tables.trouble.endswith("does not hold the lease: Operation not permitted")


def test_a_kernel_that_keeps_us_waiting_does_not_lengthen_the_lease(
    kernel: Kernel, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = PortTables(clock)
    tables.keep([HTTPS])
    until_ms = clock.now_ms() + 5000
    take = kernel.request

    def slowly(batch: Sequence[Message]) -> None:
        take(batch)
        clock.advance(4990 if len(kernel.taken) == 2 else 0)

    monkeypatch.setattr(kernel, "request", slowly)
    tables.allow(until_ms)
    assert (10).to_bytes(8) in b"".join(message.body for message in kernel.taken[-1])


async def test_a_waiting_kernel_is_asked_for_the_newest(kernel: Kernel, clock: FakeClock) -> None:
    found = NftPortFilter(clock)
    found.keep([HTTPS])
    await found.cut()
    kernel.taken.clear()
    kernel.goes_on.clear()
    begin = clock.now_ms()
    found.keep([HTTPS])
    for more in range(1, 4):
        found.allow(begin + 1000 * more)
    kernel.goes_on.set()
    shut = asyncio.create_task(found.cut())
    await shut
    # The lease that was asked for and shut again while the kernel kept us waiting never began.
    assert len(kernel.taken) <= 3
    found.allow(begin + 4000)
    await found.cut()
    found.close()
    assert found.trouble == ""
    assert found.ephemeral([HTTPS]) == frozenset()
