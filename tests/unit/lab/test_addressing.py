"""A lab's network plan: addresses that never collide, names that Linux accepts."""

import itertools

import pytest

from standfast.errors import UserError
from standfast.lab.addressing import Addressing, vm_names


def plan(index: int = 0, vms: int = 2, networks: int = 2) -> Addressing:
    return Addressing("lab", index, networks, vm_names(vms))


def test_vms_are_reached_where_the_documentation_says() -> None:
    assert plan().vm_addresses("vm-a") == ("10.77.1.11", "10.77.2.11")
    assert plan().vm_addresses("vm-b") == ("10.77.1.12", "10.77.2.12")
    assert plan().control_address == "10.77.0.1"
    assert plan().client_interface().addresses[0] == "10.77.1.200/24"


def test_no_two_cards_of_two_labs_share_an_address_a_mac_or_a_port() -> None:
    cards = [
        card
        for index in (0, 1)
        for vm in plan(index, vms=16, networks=9).vms
        for card in plan(index, vms=16, networks=9).vm_interfaces(vm)
    ]
    for first, second in itertools.combinations(cards, 2):
        assert first.mac != second.mac
        assert not set(first.addresses) & set(second.addresses)
    ports = [card.port for card in cards]
    assert len(set(ports)) * 2 == len(ports), "the same names, once in each lab's switch"


def test_port_names_fit_into_what_linux_allows() -> None:
    widest = Addressing("abcdefghij", 99, 9, ("vm-abcdefghi",))
    assert all(len(card.port) <= 15 for card in widest.vm_interfaces("vm-abcdefghi"))
    assert len(widest.host_device) <= 15


@pytest.mark.parametrize(
    ("vms", "networks", "word"),
    [((), 2, "0 VMs"), (vm_names(17), 2, "17 VMs"), (vm_names(2), 10, "10 networks")],
)
def test_sizes_that_cannot_be_made_are_refused_with_the_number(
    vms: tuple[str, ...], networks: int, word: str
) -> None:
    with pytest.raises(UserError, match=word):
        Addressing("lab", 0, networks, vms)


@pytest.mark.parametrize("name", ["client", "host", "VM", "a" * 13, "vm_a"])
def test_names_that_would_confuse_the_switch_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=name):
        Addressing("lab", 0, 1, (name,))


def test_an_unknown_vm_is_answered_with_those_that_exist() -> None:
    with pytest.raises(UserError, match="it has vm-a, vm-b"):
        plan().vm_interfaces("vm-z")
