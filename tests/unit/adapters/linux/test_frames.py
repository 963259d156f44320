"""Frames byte by byte, and who claims what in them."""

from ipaddress import ip_address

import pytest

from standfast.adapters.linux import frames

V4, V6 = ip_address("10.0.0.100"), ip_address("fd00::1:64")
MAC, OTHER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")


def test_a_gratuitous_arp_names_the_address_twice() -> None:
    request, reply = frames.announcements(V4, MAC)
    assert request.hex() == (
        "ffffffffffff020000000001080600010800060400010200000000010a0000640000000000000a000064"
    )
    assert reply[20:22] == b"\0\2"
    assert len(request) == len(reply) == 42


def test_an_arp_question_carries_no_sender_address() -> None:
    """RFC 5227: nobody learns from it."""
    asked = frames.question(V4, MAC)
    assert asked[28:32] == bytes(4)
    assert asked[38:42] == V4.packed
    assert frames.claimant(asked, V4) is None


def test_an_unsolicited_advertisement_overrides() -> None:
    (frame,) = frames.announcements(V6, MAC)
    assert frame[:14].hex() == "333300000001" + MAC.hex() + "86dd"
    assert frame[21] == 255
    assert frame[54] == frames.NEIGHBOUR_ADVERTISEMENT
    assert frame[58] == 0x20
    assert frame[62:78] == V6.packed
    assert frame[78:].hex() == "0201" + MAC.hex()


def test_a_solicitation_goes_to_the_solicited_nodes_group_from_nobody() -> None:
    asked = frames.question(V6, MAC)
    assert asked[:6].hex() == "3333ff010064"
    assert asked[22:38] == bytes(16)
    assert asked[38:54] == ip_address("ff02::1:ff01:64").packed
    assert frames.claimant(asked, V6) is None


def test_checksums_add_up() -> None:
    """Summed with the pseudo header, a correct message gives all ones (RFC 1071)."""
    for frame in (*frames.announcements(V6, MAC), frames.question(V6, MAC)):
        body = frame[54:]
        data = frame[22:54] + len(body).to_bytes(4, "big") + (58).to_bytes(4, "big") + body
        total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
        while total > 0xFFFF:
            total = (total & 0xFFFF) + (total >> 16)
        assert total == 0xFFFF


@pytest.mark.parametrize("address", [V4, V6])
def test_an_announcement_is_a_claim_of_its_address_only(
    address: frames.Address,
) -> None:
    for frame in frames.announcements(address, OTHER):
        assert frames.claimant(frame, address) == OTHER
        assert frames.claimant(frame, address + 1) is None


@pytest.mark.parametrize("address", [V4, V6])
def test_cut_off_frames_claim_nothing(address: frames.Address) -> None:
    for frame in frames.announcements(address, OTHER):
        for length in range(len(frame) - 8):
            assert frames.claimant(frame[:length], address) is None


def test_an_advertisement_without_option_claims_for_its_sender() -> None:
    (frame,) = frames.announcements(V6, OTHER)
    assert frames.claimant(frame[:78], V6) == OTHER


@pytest.mark.parametrize(("place", "value"), [(21, 64), (20, 17), (54, 135), (13, 0xDC)])
def test_what_is_no_advertisement_claims_nothing(place: int, value: int) -> None:
    """A hop limit below 255 came through a router; the rest is another protocol."""
    (frame,) = frames.announcements(V6, OTHER)
    changed = bytearray(frame)
    changed[place] = value
    assert frames.claimant(bytes(changed), V6) is None


def test_macs_read_as_people_write_them() -> None:
    assert frames.readable(MAC) == "02:00:00:00:00:01"
