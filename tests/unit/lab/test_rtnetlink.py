"""Address events out of the kernel's bytes."""

import socket

from standfast.lab.rtnetlink import (
    ADDRESS_MESSAGE,
    ATTRIBUTE,
    HEADER,
    IFA_ADDRESS,
    IFA_LOCAL,
    RTM_DELADDR,
    RTM_NEWADDR,
    AddressEvent,
    parse,
)


def message(kind: int, attributes: dict[int, bytes]) -> bytes:
    body = ADDRESS_MESSAGE.pack(socket.AF_INET, 24, 0, 0, 2)
    for number, value in attributes.items():
        body += ATTRIBUTE.pack(ATTRIBUTE.size + len(value), number) + value
        body += b"\0" * (-len(value) % 4)
    return HEADER.pack(HEADER.size + len(body), kind, 0, 0, 0) + body


def test_coming_and_going_of_both_families_are_told() -> None:
    four, six = bytes([10, 77, 1, 100]), socket.inet_pton(socket.AF_INET6, "fd77:77:1::100")
    data = message(RTM_NEWADDR, {IFA_ADDRESS: four, IFA_LOCAL: four})
    data += message(RTM_DELADDR, {IFA_ADDRESS: six})
    assert list(parse(data)) == [
        AddressEvent("10.77.1.100", present=True),
        AddressEvent("fd77:77:1::100", present=False),
    ]


def test_the_local_address_counts_where_there_is_another() -> None:
    data = message(
        RTM_NEWADDR, {IFA_ADDRESS: bytes([10, 0, 0, 2]), IFA_LOCAL: bytes([10, 0, 0, 1])}
    )
    assert [event.address for event in parse(data)] == ["10.0.0.1"]


def test_attributes_of_odd_length_do_not_shift_the_next() -> None:
    data = message(RTM_NEWADDR, {3: b"eth0\0", IFA_LOCAL: bytes([10, 0, 0, 1])})
    assert [event.address for event in parse(data)] == ["10.0.0.1"]


def test_other_messages_and_rubbish_are_passed_over() -> None:
    assert list(parse(message(16, {}) + b"\0" * 16)) == []
