"""The lease of ports on a real kernel: who is served, until when, and what open connections feel.

Machine 1 serves on its own addresses and is the one whose ports are leased; the client is another
machine. Nothing here has a VIP.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from ipaddress import ip_address
from pathlib import Path

import pytest

from standfast.adapters.linux.clock import BootClock
from standfast.adapters.linux.port_filter import PortTables
from standfast.ports.network import Address, Port, Transport
from tests.integration.linux_parts import (
    ECHO_PORT,
    Client,
    Machine,
    echo,
    inside,
    needs_root,
    now_ms,
    shell,
    told,
    wire,
)
from tests.integration.test_linux_addresses import FIREWALLS

pytestmark = needs_root
TCP = Port(4430, Transport.TCP)
ECHO = Port(ECHO_PORT, Transport.UDP)
OWN = [ip_address("10.9.0.1"), ip_address("fd09::1")]
LATE_MS = 100
"""A question asked so long after the end must not be answered: the bound of addresses."""


@pytest.fixture
def machines() -> Iterator[list[Machine]]:
    with wire(2) as found, inside(found[0].namespace):
        yield found


@pytest.fixture
def tables(machines: list[Machine]) -> Iterator[PortTables]:
    del machines
    found = PortTables(BootClock())
    found.keep([TCP, ECHO])
    assert found.trouble == ""
    yield found
    found.close()


@pytest.fixture(params=OWN, ids=str)
def own(request: pytest.FixtureRequest) -> Address:
    found: Address = request.param
    return found


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    def say(line: str) -> None:
        with capsys.disabled():
            print(f"\n{line}", end="")

    return say


def until(ms: int) -> int:
    return BootClock().now_ms() + ms


class Server:
    """Answers each byte that comes over TCP with the same byte; machine 1, all addresses."""

    def __init__(self) -> None:
        self._listener = socket.create_server(
            ("::", TCP.number), family=socket.AF_INET6, dualstack_ipv6=True
        )
        self.taken: list[socket.socket] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._accept, daemon=True).start()

    def nth(self, number: int) -> socket.socket:
        """The connection that was taken as the n-th, from 1."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.taken) >= number, 5)
            return self.taken[number - 1]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self.taken:
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with self._changed:
                    self.taken.append(connection)
                    self._changed.notify_all()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(64):
                if data != b"silence":
                    connection.sendall(data)


@pytest.fixture
def server(machines: list[Machine]) -> Iterator[Server]:
    del machines
    with closing(Server()) as found:
        yield found


def connect(machine: Machine, address: Address) -> socket.socket:
    """A connection from there; raises what the client sees."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with inside(machine.namespace):
        found = socket.socket(family)
    found.settimeout(3)
    try:
        found.connect((str(address), TCP.number))
    except OSError:
        found.close()
        raise
    return found


def answers(connection: socket.socket, said: bytes = b"x") -> None:
    connection.sendall(said)
    assert connection.recv(64) == said


def passes_by(end: float) -> None:
    while now_ms() < end:
        time.sleep(0.001)


def test_a_client_is_served_under_the_lease_and_not_after(
    own: Address, machines: list[Machine], tables: PortTables, tell: Callable[[str], None]
) -> None:
    """Questions over UDP, as fast as they can be asked."""
    late = []
    with echo(machines[0]), Client(machines[1], own) as client:
        for _ in range(5):
            tables.allow(until(1500))
            client.wait_for_answer(number=1, after_ms=now_ms())
            for _ in range(3):
                tables.allow(until(300))
                end = now_ms() + 300
                time.sleep(0.1)
            passes_by(end + 200)
            found = client.answers.copy()
            late.append(max(asked for asked, _, _ in found) - end)
            assert max(asked for asked, _, _ in found) > end - 100, "cut before its end"
            assert not [at for _, at, _ in found if at > end + LATE_MS], "answered after the lease"
    tell(told(f"{own}: last question answered, against the end of the lease", late))


def test_a_port_that_is_ours_is_shut_from_the_beginning(
    own: Address, machines: list[Machine], tables: PortTables, server: Server
) -> None:
    del server
    with pytest.raises(ConnectionRefusedError):
        connect(machines[1], own)
    tables.allow(until(60_000))
    with connect(machines[1], own) as connection:
        answers(connection)
        tables.cut()
        with pytest.raises(ConnectionResetError):
            answers(connection)
    with pytest.raises(ConnectionRefusedError):
        connect(machines[1], own)


def test_other_ports_and_the_machine_itself_are_let_be(
    own: Address, machines: list[Machine], tables: PortTables, server: Server
) -> None:
    """Monitoring on the node, and a connection of the node to that port of another machine."""
    del server
    tables.cut()
    for address in (own, ip_address("127.0.0.1"), ip_address("::1")):
        with connect(machines[0], address) as connection:
            answers(connection)
    with inside(machines[1].namespace):
        there = Server()
    with closing(there):
        far = ip_address(str(own).replace("1", "2") if own.version == 6 else "10.9.0.2")
        with connect(machines[0], far) as connection:
            answers(connection)
    family = socket.AF_INET if own.version == 4 else socket.AF_INET6
    with socket.create_server((str(own), 4431), family=family) as other:
        with inside(machines[1].namespace):
            client = socket.create_connection((str(own), 4431), 3)
        other.accept()[0].close()
        client.close()


def test_what_is_only_passed_on_is_let_be(machines: list[Machine], tables: PortTables) -> None:
    """A node that is a router, for clients of another machine's port of the same number."""
    tables.cut()
    router, client = machines
    stem = f"sf{os.getpid()}-far"
    shell(f"ip netns add {stem}")
    try:
        shell(f"ip link add far0 netns {router.namespace} type veth peer name eth0 netns {stem}")
        for command in (
            "-n {r} addr add 10.8.0.1/24 dev far0",
            "-n {r} link set far0 up",
            "-n {f} addr add 10.8.0.2/24 dev eth0",
            "-n {f} link set eth0 up",
            "-n {f} route add default via 10.8.0.1",
            "-n {c} route add 10.8.0.0/24 via 10.9.0.1",
        ):
            shell("ip " + command.format(r=router.namespace, f=stem, c=client.namespace))
        router.run("sysctl -qw net.ipv4.ip_forward=1")
        with inside(stem):
            there = Server()
        with closing(there), connect(client, ip_address("10.8.0.2")) as connection:
            answers(connection)
    finally:
        subprocess.run(["ip", "netns", "del", stem], capture_output=True, check=False)


def test_measured_what_an_open_connection_feels(
    own: Address,
    machines: list[Machine],
    tables: PortTables,
    server: Server,
    tell: Callable[[str], None],
) -> None:
    """One that asks after the end, and one that waits for an answer when its server is killed."""
    asks, waits = [], []
    for number in range(1, 10, 2):
        tables.allow(until(60_000))
        with connect(machines[1], own) as asking, connect(machines[1], own) as waiting:
            answers(asking)
            waiting.sendall(b"silence")
            served = server.nth(number + 1)
            tables.allow(until(100))
            end = now_ms() + 100
            passes_by(end + 1)
            asking.sendall(b"y")
            with pytest.raises(ConnectionResetError):
                asking.recv(64)
            asks.append(now_ms() - end - 1)
            begin = now_ms()
            served.shutdown(socket.SHUT_WR)  # what the kernel does for a process that was killed
            with pytest.raises(ConnectionResetError):
                waiting.recv(64)
            waits.append(now_ms() - begin)
    assert max(asks) < 1000
    assert max(waits) < 1000
    tell(told(f"{own}: a connection that asks after the end is reset after", asks))
    tell(told(f"{own}: one that only waits, after the end of its server", waits))


@pytest.mark.parametrize("flags", [0, socket.MSG_MORE], ids=["apart", "in-one-segment"])
def test_no_answer_of_before_leaves_after_the_end(
    flags: int, own: Address, machines: list[Machine], tables: PortTables, server: Server
) -> None:
    """Asked under the lease, answered after it by a server that then ends: that is no answer."""
    tables.allow(until(60_000))
    with connect(machines[1], own) as connection:
        connection.sendall(b"silence")
        served = server.nth(1)
        tables.allow(until(50))
        passes_by(now_ms() + 60)
        served.send(b"late", flags)
        ready, _, _ = select.select([connection], [], [], 0.1)
        assert not ready, "something came after the end"
        served.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            connection.recv(64)


def test_a_connection_that_outlived_a_gap_goes_on(
    own: Address, machines: list[Machine], tables: PortTables, server: Server
) -> None:
    """The node is given the lease again before the client has asked anything: nothing was lost."""
    del server
    tables.allow(until(60_000))
    with connect(machines[1], own) as connection:
        answers(connection)
        tables.cut()
        tables.allow(until(60_000))
        answers(connection)


@pytest.mark.parametrize("firewall", FIREWALLS)
def test_what_a_firewall_lets_in_is_cut_all_the_same(
    firewall: str, machines: list[Machine], tables: PortTables, server: Server
) -> None:
    del server
    machines[0].run(f"nft '{FIREWALLS[firewall]}'")
    before = machines[0].run("nft --stateless list ruleset").count("accept")
    tables.allow(until(60_000))
    with connect(machines[1], OWN[0]) as connection:
        answers(connection)
        tables.cut()
        with pytest.raises(OSError, match="reset"):
            answers(connection)
    tables.keep([])
    left = machines[0].run("nft --stateless list ruleset")
    assert "standfast_ports" not in left
    assert before >= left.count("accept") > 0


def test_a_flushed_rule_set_is_built_anew(
    machines: list[Machine], tables: PortTables, server: Server
) -> None:
    """By the next renewal with its lease; by the next look, where there is none."""
    del server
    tables.allow(until(60_000))
    machines[0].run("nft flush ruleset")
    tables.allow(until(60_000))
    with connect(machines[1], OWN[0]) as connection:
        answers(connection)
    machines[0].run("nft flush ruleset")
    tables.keep([TCP, ECHO])
    with connect(machines[1], OWN[0]) as connection:
        answers(connection)
    tables.cut()
    machines[0].run("nft flush ruleset")
    tables.keep([TCP, ECHO])
    with pytest.raises(ConnectionRefusedError):
        connect(machines[1], OWN[0])
    assert tables.trouble == ""


def test_another_process_finds_the_lease_that_runs(
    machines: list[Machine], tables: PortTables, server: Server
) -> None:
    """A restarted agent; what is no longer declared is let go."""
    del server
    tables.allow(until(60_000))
    with closing(PortTables(BootClock())) as again:
        again.keep([TCP])
        with connect(machines[1], OWN[0]) as connection:
            answers(connection)
        again.cut()
        listed = machines[0].run("nft list set inet standfast_ports udp_ports")
        assert "elements" not in listed
        again.remove()
        again.remove()
    assert "standfast_ports" not in machines[0].run("nft list ruleset")
    with connect(machines[1], OWN[0]) as connection:
        answers(connection)


HOLD = """
import time
from standfast.adapters.linux.clock import BootClock
from standfast.adapters.linux.port_filter import PortTables
from standfast.ports.network import Port, Transport

clock = BootClock()
tables = PortTables(clock)
tables.keep([Port(%d, Transport.UDP)])
while True:
    end = clock.now_ms() + 400
    tables.allow(end)
    print(end, flush=True)
    time.sleep(0.05)
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP], ids=lambda blow: blow.name)
def test_a_dead_or_stopped_agent_loses_the_ports_at_the_end_of_the_lease(
    blow: signal.Signals,
    own: Address,
    machines: list[Machine],
    tell: Callable[[str], None],
) -> None:
    """F48 for ports: nothing runs that could shut them."""
    with ExitStack() as stack:
        agent = subprocess.Popen(
            [sys.executable, "-c", HOLD % ECHO_PORT],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path("operator").resolve())},
        )
        stack.callback(agent.wait)
        stack.callback(agent.kill)
        assert agent.stdout is not None
        stack.enter_context(closing(agent.stdout))
        stack.enter_context(echo(machines[0]))
        client = stack.enter_context(Client(machines[1], own))
        for _ in range(5):
            last = int(agent.stdout.readline())
        client.wait_for_answer(number=1)
        agent.send_signal(blow)
        if blow is signal.SIGKILL:
            last = max([last, *map(int, agent.stdout.read().split())])
        else:
            last += 100  # it may have extended once more before it stood still
        passes_by(last + 200)
        found = client.answers.copy()
    asked = [at for at, _, _ in found]
    assert not [at for _, at, _ in found if at > last + LATE_MS], "answered after the lease"
    tell(f"  {own} after {blow.name}: last answer to a question of {max(asked) - last:.0f} ms")


def test_a_refused_datagram_is_told_to_its_sender(
    own: Address, machines: list[Machine], tables: PortTables
) -> None:
    tables.cut()
    family = socket.AF_INET if own.version == 4 else socket.AF_INET6
    with inside(machines[1].namespace), socket.socket(family, socket.SOCK_DGRAM) as client:
        client.connect((str(own), ECHO_PORT))
        client.settimeout(3)
        client.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            client.recv(64)
