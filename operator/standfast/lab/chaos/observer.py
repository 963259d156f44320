"""Looks at the VMs of a lab every millisecond, from outside, and believes nobody.

Run as `python -m standfast.lab.chaos.observer --lab NAME --address A --unit U`, as root, by
`sight`. Two observations of each VM:

- **spoke**: it asks "who has the address?" on the VM's own cable, past the switch, so that an
  isolated VM is asked as well, and hears every frame that leaves the VM with the address as its
  source: answers to this question, and everything else.
- **ran**: processes are alive in the control group of the unit.

Prints one JSON line per stretch of time, `{"what", "vm", "begin_ns", "end_ns"}`, when it is over;
at SIGINT what lasts still and `{"asks", "late", "worst_gap_ns"}`: how often it asked, how often of
these a millisecond late or more, and the longest time without asking: so short an overlap it may
have missed. Times are CLOCK_BOOTTIME.

Source: packet(7), RFC 826.
"""

import argparse
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from standfast.lab import claims

EVERY_S = 0.001
AGAIN_S = 0.02
"""A port that is not there is looked for so often."""
SPEECH_GAP_NS = 50_000_000
"""A VM that says nothing for so long has stopped speaking. It is asked every millisecond."""
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
PACKET_IGNORE_OUTGOING = 23
SO_TIMESTAMPNS = 35
CLONE_NEWNET = 0x40000000
ANCILLARY_BYTES = 64
NS = 1_000_000_000


@dataclass
class Stretch:
    """A stretch of time that goes on for as long as it is noted again."""

    what: str
    vm: str
    gap_ns: int
    begin_ns: int = 0
    end_ns: int = 0

    def note(self, at_ns: int) -> None:
        if self.begin_ns and at_ns - self.end_ns > self.gap_ns:
            self.close()
        if not self.begin_ns:
            self.begin_ns = at_ns
        self.end_ns = max(self.end_ns, at_ns)

    def close(self) -> None:
        """It is over, as far as it was noted."""
        if self.begin_ns:
            row = {"what": self.what, "vm": self.vm}
            _say({**row, "begin_ns": self.begin_ns, "end_ns": self.end_ns})
        self.begin_ns = self.end_ns = 0


@dataclass
class Cable:
    """One VM's cable, with whoever speaks on it.

    Args:
        vm: Its name.
        port: The switch's end of it.
        wanted: The address, packed.
        unit: The control group of the unit.
    """

    vm: str
    port: str
    wanted: bytes
    unit: Path
    sock: socket.socket | None = None
    again_s: float = 0.0
    spoke: Stretch = field(init=False)
    ran: Stretch = field(init=False)

    def __post_init__(self) -> None:
        self.spoke = Stretch("spoke", self.vm, SPEECH_GAP_NS)
        self.ran = Stretch("ran", self.vm, sys.maxsize)
        mac = b"\x02\x53\x00\xa7\x00\x01"
        self._question = claims.question(mac, self.wanted)

    def ask(self, now_s: float) -> None:
        """Asks once; a port that has gone is opened anew as soon as it is there again."""
        if self.sock is None:
            if now_s < self.again_s:
                return
            self.again_s = now_s + AGAIN_S
            self.sock = self._open()
            if self.sock is None:
                return
        try:
            self.sock.send(self._question)
        except BlockingIOError:
            return
        except OSError:
            self._drop()

    def hear(self) -> None:
        """Notes everything that the VM has said from the address since the last time."""
        if self.sock is None:
            return
        offset_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.time_ns()
        while True:
            try:
                frame, ancillary, _, _ = self.sock.recvmsg(128, ANCILLARY_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._drop()
                return
            if says(frame, self.wanted):
                self.spoke.note(_stamp(ancillary) + offset_ns)

    def look(self) -> None:
        """Notes whether anything runs in the unit."""
        if self._populated():
            self.ran.note(time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        else:
            self.ran.close()

    def _populated(self) -> bool:
        try:
            descriptor = os.open(self.unit / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            return b"populated 1" in os.read(descriptor, 256)
        except OSError:
            return False  # it was removed between the two
        finally:
            os.close(descriptor)

    def _open(self) -> socket.socket | None:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            sock.setsockopt(claims.SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.bind((self.port, ETH_P_ALL))
        except OSError:
            sock.close()
            return None
        return sock

    def _drop(self) -> None:
        assert self.sock is not None
        self.sock.close()
        self.sock = None


def says(frame: bytes, wanted: bytes) -> bool:
    """Whether a frame speaks in the name of an IPv4 address."""
    kind = int.from_bytes(frame[12:14])
    if kind == claims.ETH_P_ARP:
        return frame[28:32] == wanted
    return kind == ETH_P_IP and frame[26:30] == wanted


def _stamp(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data[:16])
            return int(seconds) * NS + int(nanoseconds)
    return time.time_ns()


@dataclass
class Pace:
    """One turn every `EVERY_S`, and how well that was kept.

    Args:
        turns: How many there were.
        late: How many began more than twice as long after the one before.
        worst_gap_ns: The longest time from one to the next.
    """

    turns: int = 0
    late: int = 0
    worst_gap_ns: int = 0
    _last_s: float = 0.0

    def begin(self) -> float:
        """A turn begins; answers when, in seconds."""
        now_s = time.monotonic()
        if self._last_s:
            gap_ns = round((now_s - self._last_s) * NS)
            self.worst_gap_ns = max(self.worst_gap_ns, gap_ns)
            self.late += gap_ns > 2 * EVERY_S * NS
        self._last_s = now_s
        self.turns += 1
        return now_s

    def wait(self) -> None:
        """Sleeps until the next turn is due."""
        left_s = self._last_s + EVERY_S - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)


class Observer:
    """All cables, looked at in turn until told to end.

    Args:
        cables: One per VM.
    """

    def __init__(self, cables: list[Cable]) -> None:
        self._cables = cables
        self._ended = False

    def run(self) -> None:
        """Asks in this thread and looks in another: a look may wait for a lock of the kernel's."""
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGTERM, self._end)
        looking = threading.Thread(target=self._look, name="look")
        looking.start()
        _say({"ready": True})
        pace = Pace()
        while not self._ended:
            now_s = pace.begin()
            for cable in self._cables:
                cable.ask(now_s)
            pace.wait()
            for cable in self._cables:
                cable.hear()
        looking.join()
        for cable in self._cables:
            cable.spoke.close()
        _say({"asks": pace.turns, "late": pace.late, "worst_gap_ns": pace.worst_gap_ns})

    def _look(self) -> None:
        pace = Pace()
        while not self._ended:
            pace.begin()
            for cable in self._cables:
                cable.look()
            pace.wait()
        for cable in self._cables:
            cable.ran.close()

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ended = True


def _say(row: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def enter(namespace: Path) -> None:
    """Puts this process into a network namespace, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(namespace))
    os.close(descriptor)


def cables(options: argparse.Namespace) -> Iterator[Cable]:
    wanted = socket.inet_aton(options.address)
    for vm, port, unit in options.cable:
        yield Cable(vm, port, wanted, Path(unit))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standfast.lab.chaos.observer")
    parser.add_argument("--namespace", type=Path, required=True, help="the switch's")
    parser.add_argument("--address", required=True)
    parser.add_argument(
        "--cable", nargs=3, action="append", required=True, metavar=("VM", "PORT", "CGROUP")
    )
    options = parser.parse_args()
    enter(options.namespace)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
    Observer(list(cables(options))).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
