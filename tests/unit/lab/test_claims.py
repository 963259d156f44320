"""ARP frames: the question that disturbs nobody, and who claims an address."""

from standfast.lab.claims import ARP_REQUEST, FRAME, claimant, question

OWN = bytes.fromhex("0253 4d00 01c8".replace(" ", ""))
VIP = bytes([10, 77, 1, 100])
HOLDER = bytes.fromhex("02534d00010b")


def test_the_question_comes_from_an_address_that_is_not_the_clients() -> None:
    fields = FRAME.unpack(question(OWN, VIP))
    assert fields[0] == b"\xff" * 6
    assert fields[1] == fields[8] != OWN
    assert not fields[1][0] & 1, "a sender is never a group"
    assert fields[9] == bytes([10, 77, 1, 253])
    assert (fields[7], fields[11]) == (ARP_REQUEST, VIP)


def test_an_answer_and_an_announcement_are_claims() -> None:
    for operation in (1, 2):
        frame = FRAME.pack(
            b"\xff" * 6, HOLDER, 0x0806, 1, 0x0800, 6, 4, operation, HOLDER, VIP, b"\0" * 6, VIP
        )
        assert claimant(frame, VIP) == "02:53:4d:00:01:0b"


def test_a_question_about_the_address_is_not_a_claim() -> None:
    assert claimant(question(OWN, VIP), VIP) == ""


def test_a_truncated_frame_is_nothing() -> None:
    assert claimant(question(OWN, VIP)[:20], VIP) == ""
