"""The lease filter on a machine where the kernel does not play along."""

from ipaddress import ip_address

import pytest

from standfast.adapters.fakes import FakeClock
from standfast.adapters.linux import own_tables
from standfast.adapters.linux.lease_filter import LeaseTables
from standfast.ports.network import Address

VIP: Address = ip_address("10.0.0.100")


def test_a_kernel_without_packet_filter_is_trouble_in_a_sentence_and_no_exception(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(family: int) -> None:
        raise OSError(93, "Protocol not supported")

    monkeypatch.setattr(own_tables, "NetlinkSocket", refuse)
    found = LeaseTables(FakeClock())
    assert found.trouble.endswith("does not hold the lease: Protocol not supported")
    found.build()
    found.allow(VIP, 2_000_000)
    found.cut(VIP)
    found.forget(VIP)
    found.remove()
    found.close()
    assert found.trouble
