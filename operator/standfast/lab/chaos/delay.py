"""Frames of a lab's cards held back for a while, by a program: for kernels that have no netem.

Run as `python -m standfast.lab.chaos.delay --namespace N --delay-ms D --jitter-ms J PORT…`, as
root, by `curve`. Each port leaves its bridge, and a card of our own takes its place there; between
the two every frame waits for a time drawn anew, in its order. At SIGTERM all is as before.

Rules of the switch that name the port do not hold meanwhile: nothing else is to be cut.
"""

import argparse
import heapq
import itertools
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from standfast.lab.chaos.observer import ETH_P_ALL, PACKET_IGNORE_OUTGOING, enter
from standfast.lab.claims import SOL_PACKET

FRAME_BYTES = 1 << 17
PACKET_VNET_HDR = 15
"""Frames come with what the kernel has left undone, checksums and segments, and go on with it."""
STEP_S = 0.001
PRIORITY = 5


@dataclass(order=True)
class Waiting:
    """A frame and when it may leave."""

    due_s: float
    number: int
    frame: bytes = field(compare=False)
    out: socket.socket = field(compare=False)


class Delay:
    """Forwards between pairs of interfaces.

    Args:
        delay_s: How long a frame waits.
        jitter_s: So much more or less, drawn for each frame; their order stays.
    """

    def __init__(self, delay_s: float, jitter_s: float) -> None:
        self._delay_s = delay_s
        self._jitter_s = jitter_s
        self._selector = selectors.DefaultSelector()
        self._waiting: list[Waiting] = []
        self._numbers = itertools.count()
        self._last_s: dict[int, float] = {}
        self._ended = False

    def join(self, one: str, other: str) -> None:
        """What arrives at the one leaves through the other, and the other way round."""
        first, second = _open(one), _open(other)
        self._selector.register(first, selectors.EVENT_READ, second)
        self._selector.register(second, selectors.EVENT_READ, first)

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        print("ready", flush=True)
        while not self._ended:
            now_s = time.monotonic()
            while self._waiting and self._waiting[0].due_s <= now_s:
                row = heapq.heappop(self._waiting)
                _send(row.out, row.frame)
            left_s = self._waiting[0].due_s - now_s if self._waiting else STEP_S * 50
            for key, _ in self._selector.select(max(0.0, left_s)):
                assert isinstance(key.fileobj, socket.socket)
                self._take(key.fileobj, key.data)

    def _take(self, source: socket.socket, out: socket.socket) -> None:
        while True:
            try:
                frame = source.recv(FRAME_BYTES)
            except OSError:  # nothing more, or the interface has gone
                return
            due_s = time.monotonic() + self._delay_s
            due_s += random.uniform(-self._jitter_s, self._jitter_s)
            due_s = max(due_s, self._last_s.get(out.fileno(), 0.0))
            self._last_s[out.fileno()] = due_s
            heapq.heappush(self._waiting, Waiting(due_s, next(self._numbers), frame, out))

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ended = True


def _open(interface: str) -> socket.socket:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    sock.bind((interface, ETH_P_ALL))
    return sock


def _send(out: socket.socket, frame: bytes) -> None:
    try:
        out.send(frame)
    except OSError:
        return  # the machine at the other end has lost its power


def _ip(*words: str) -> None:
    subprocess.run(["ip", "link", *words], check=False, capture_output=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standfast.lab.chaos.delay")
    parser.add_argument("--namespace", type=Path, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("ports", nargs="+", metavar="PORT=BRIDGE")
    options = parser.parse_args()
    enter(options.namespace)
    # A frame waits for its own time and not for ours, however busy this machine is.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    delay = Delay(options.delay_ms / 1000, options.jitter_ms / 1000)
    places = [place.split("=") for place in options.ports]
    for number, (port, bridge) in enumerate(places):
        ours, theirs = f"dly{number}", f"dlb{number}"
        _ip("del", ours)
        _ip("add", ours, "type", "veth", "peer", "name", theirs)
        _ip("set", ours, "up", "promisc", "on")
        _ip("set", theirs, "master", bridge, "up")
        _ip("set", port, "nomaster", "promisc", "on")
        delay.join(port, ours)
    try:
        delay.run()
    finally:
        for number, (port, bridge) in enumerate(places):
            _ip("del", f"dly{number}")
            _ip("set", port, "master", bridge)
    return 0


if __name__ == "__main__":
    sys.exit(main())
