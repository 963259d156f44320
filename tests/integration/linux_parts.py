"""What the tests on real Linux share: machines as network namespaces on one bridge.

Needs root. The namespaces carry the process id in their names, so that several runs go side by
side, and are gone when the test is.
"""

import contextlib
import ctypes
import json
import os
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
ECHO_PORT = 7

needs_root = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: sudo make test"),
]


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread, and the sockets it makes, in a network namespace."""
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        with (Path("/run/netns") / namespace).open("rb") as there:
            _set_namespace(there.fileno())
        try:
            yield
        finally:
            _set_namespace(home.fileno())


def _set_namespace(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def shell(command: str) -> str:
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Machine:
    """A network namespace with eth0 on the bridge, 10.9.0.NUMBER/24 and fd09::NUMBER/64."""

    namespace: str
    number: int

    @property
    def mac(self) -> str:
        return f"02:09:00:00:00:{self.number:02x}"

    def run(self, command: str) -> str:
        return shell(f"ip netns exec {self.namespace} {command}")

    def neighbour(self, address: IPv4Address | IPv6Address) -> str:
        """The MAC this machine has for `address`; empty when none."""
        rows = json.loads(
            shell(f"ip -j -n {self.namespace} neigh show {address} dev eth0") or "[]"
        )
        return str(rows[0].get("lladdr", "")) if rows else ""

    def holds(self, address: IPv4Address | IPv6Address) -> bool:
        return str(address) in shell(f"ip -n {self.namespace} address show to {address}")


@contextlib.contextmanager
def wire(count: int) -> Iterator[list[Machine]]:
    """`count` machines on one bridge."""
    stem = f"sf{os.getpid()}"
    switch = f"{stem}-sw"
    machines = [Machine(f"{stem}-{number}", number) for number in range(1, count + 1)]
    try:
        shell(f"ip netns add {switch}")
        shell(
            f"ip -n {switch} link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        )
        shell(f"ip -n {switch} link set br0 up")
        for machine in machines:
            inner = machine.namespace
            shell(f"ip netns add {inner}")
            shell(
                f"ip link add name p{machine.number} netns {switch} type veth "
                f"peer name eth0 address {machine.mac} netns {inner}"
            )
            shell(f"ip -n {switch} link set p{machine.number} master br0 up")
            shell(f"ip -n {inner} link set lo up && ip -n {inner} link set eth0 up")
            shell(f"ip -n {inner} addr add 10.9.0.{machine.number}/24 dev eth0")
            shell(f"ip -n {inner} addr add fd09::{machine.number}/64 dev eth0 nodad")
        yield machines
    finally:
        for namespace in [*(machine.namespace for machine in machines), switch]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)


@contextlib.contextmanager
def echo(machine: Machine) -> Iterator[None]:
    """A UDP echo service on all addresses of a machine; it answers with the machine's number."""
    with inside(machine.namespace):
        server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.bind(("::", ECHO_PORT))
    # Answer from the address that was asked, also on IPv4.
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)

    def serve() -> None:
        while True:
            data, ancillary, _, sender = server.recvmsg(64, 512)
            if data == b"end":
                return
            info = [(level, kind, value) for level, kind, value in ancillary]
            with contextlib.suppress(OSError):
                server.sendmsg([data + b" %d" % machine.number], info, 0, sender)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        with inside(machine.namespace):
            last = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        with last:
            last.sendto(b"end", ("::1", ECHO_PORT))
        thread.join(5)
        server.close()


class Client:
    """Asks an address again and again from a machine, and notes every answer.

    `answers` has (when asked, when answered, number of the answering machine) in milliseconds of
    CLOCK_BOOTTIME, as floats.
    """

    def __init__(self, machine: Machine, address: IPv4Address | IPv6Address) -> None:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with inside(machine.namespace):
            self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.settimeout(0.001)
        self._target = (str(address), ECHO_PORT)
        self._halt = threading.Event()
        self._changed = threading.Condition()
        self.answers: list[tuple[float, float, int]] = []
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Client":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._halt.set()
        self._thread.join(5)
        self._socket.close()

    def wait_for_answer(
        self, *, number: int, after_ms: float = 0.0, patience_s: float = 10
    ) -> None:
        def is_there() -> bool:
            return any(who == number and at >= after_ms for _, at, who in self.answers)

        with self._changed:
            assert self._changed.wait_for(is_there, patience_s), f"machine {number} never answered"
            return min(at for _, at, who in self.answers if who == number and at >= after_ms)

    def _ask(self) -> None:
        while not self._halt.is_set():
            asked = now_ms()
            with contextlib.suppress(OSError):
                self._socket.sendto(b"%.3f" % asked, self._target)
            until = asked + 1
            while (left := until - now_ms()) > 0:
                self._socket.settimeout(left / 1000)
                try:
                    data = self._socket.recv(64)
                except OSError:  # silence, or an ICMP error
                    continue
                sent, number = data.split()
                with self._changed:
                    self.answers.append((float(sent), now_ms(), int(number)))
                    self._changed.notify_all()


def now_ms() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


def told(what: str, milliseconds: list[float]) -> str:
    """A line with the measured values."""
    return (
        f"  {what}: min {min(milliseconds):.2f} ms, median {statistics.median(milliseconds):.2f} "
        f"ms, max {max(milliseconds):.2f} ms (n={len(milliseconds)})"
    )
