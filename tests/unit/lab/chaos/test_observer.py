"""What of a frame counts as speech, and how words become stretches of time."""

import json
import socket
import struct

import pytest

from standfast.lab import claims
from standfast.lab.chaos.observer import SPEECH_GAP_NS, Stretch, says

VIP = socket.inet_aton("10.77.1.100")
OTHER = socket.inet_aton("10.77.1.12")
MAC = bytes(6)


def arp(operation: int, sender: bytes, target: bytes) -> bytes:
    kind = claims.ETH_P_ARP
    return claims.FRAME.pack(MAC, MAC, kind, 1, 0x0800, 6, 4, operation, MAC, sender, MAC, target)


def ipv4(source: bytes, target: bytes) -> bytes:
    return MAC + MAC + struct.pack("!H", 0x0800) + bytes(12) + source + target + bytes(20)


def test_an_answer_and_an_announcement_speak_in_its_name() -> None:
    assert says(arp(2, VIP, OTHER), VIP)
    assert says(arp(1, VIP, VIP), VIP)


def test_a_packet_from_the_address_speaks_in_its_name() -> None:
    assert says(ipv4(VIP, OTHER), VIP)


def test_who_asks_for_it_or_sends_to_it_does_not() -> None:
    assert not says(arp(1, OTHER, VIP), VIP)
    assert not says(ipv4(OTHER, VIP), VIP)
    assert not says(claims.question(MAC, VIP), VIP)


def test_words_close_to_each_other_are_one_stretch(capsys: pytest.CaptureFixture[str]) -> None:
    speech = Stretch("spoke", "vm-a", SPEECH_GAP_NS)
    for at_ns in (5, 6, 5 + SPEECH_GAP_NS, 7 + 2 * SPEECH_GAP_NS):
        speech.note(at_ns)
    speech.close()
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    last_ns = 7 + 2 * SPEECH_GAP_NS
    assert [(row["begin_ns"], row["end_ns"]) for row in rows] == [
        (5, 5 + SPEECH_GAP_NS),
        (last_ns, last_ns),
    ]


def test_silence_closes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Stretch("spoke", "vm-a", SPEECH_GAP_NS).close()
    assert capsys.readouterr().out == ""
