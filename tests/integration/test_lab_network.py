"""The switch for real: who reaches whom, before, during and after cuts. Needs root."""

import socket
import sys
from collections.abc import Iterator

import pytest

from standfast.errors import UserError
from standfast.lab.lab import Lab
from standfast.lab.rules import Shape
from tests.integration.lab_bed import bare_lab

pytestmark = [pytest.mark.root, pytest.mark.lab]

PORT = 7
CONNECT = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], 7), 0.3);"
    " sys.exit(s.recv(9) != b'here')"
)
SERVE = (
    "import socket; s = socket.create_server(('', 7))\n"
    "while True: c, _ = s.accept(); c.send(b'here'); c.close()"
)
ECHO = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 7))\n"
    "while True: s.sendto(*s.recvfrom(9))"
)
RECEIVE = (
    "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 8))\n"
    "while True: open('/run/heard', 'ab').write(s.recv(9))"
)
COUNT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.2)
answered = 0
for _ in range(10):
    for _ in range(100):
        s.sendto(b"x", (sys.argv[1], 7))
    try:
        while s.recv(9):
            answered += 1
    except TimeoutError:
        pass
print(answered)
"""


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with bare_lab("net") as lab:
        for vm in lab.vms():
            for unit, code in (("serve", SERVE), ("echo", ECHO), ("receive", RECEIVE)):
                vm.exec(["systemd-run", f"--unit={unit}", "python3", "-c", code])
            listening = "until ss -Hlnt sport = :7 | grep -q . && ss -Hlnu sport = :8 | grep -q ."
            vm.exec(["sh", "-c", f"{listening}; do sleep 0.02; done"])
        yield lab


@pytest.fixture(autouse=True)
def healed(lab: Lab) -> Iterator[None]:
    lab.net.heal()
    yield
    lab.net.heal()


def vm_reaches(lab: Lab, vm: str, target: str) -> bool:
    return lab.vm(vm).machine.run(["python3", "-c", CONNECT, target]).returncode == 0


def client_reaches(lab: Lab, target: str) -> bool:
    return lab.client_exec([sys.executable, "-c", CONNECT, target]).returncode == 0


def host_reaches(target: str) -> bool:
    try:
        with socket.create_connection((target, PORT), 0.3) as connection:
            return connection.recv(9) == b"here"
    except TimeoutError:
        return False


def test_everybody_reaches_everybody_over_every_network(lab: Lab) -> None:
    a, b = lab.vm("vm-a"), lab.vm("vm-b")
    for number in (0, 1):
        assert vm_reaches(lab, "vm-a", b.addresses[number])
        assert vm_reaches(lab, "vm-b", a.addresses[number])
        assert host_reaches(a.addresses[number]), "through the switch's router"
    assert client_reaches(lab, a.addresses[0])


def test_an_answer_takes_the_path_of_its_question(lab: Lab) -> None:
    """With network 1 dead the control side still reaches the VM over network 2, and back."""
    lab.net.cut("vm-a", network=1)
    first, second = lab.vm("vm-a").addresses
    assert not host_reaches(first)
    assert host_reaches(second)


def test_a_cut_vm_is_cut_from_neighbours_and_routed_traffic_alike(lab: Lab) -> None:
    lab.net.cut("vm-a")
    for number in (0, 1):
        assert not vm_reaches(lab, "vm-b", lab.vm("vm-a").addresses[number])
        assert not vm_reaches(lab, "vm-a", lab.vm("vm-b").addresses[number])
        assert not host_reaches(lab.vm("vm-a").addresses[number])
    assert not client_reaches(lab, lab.vm("vm-a").addresses[0])
    assert client_reaches(lab, lab.vm("vm-b").addresses[0])
    carrier = lab.vm("vm-a").exec(["cat", "/sys/class/net/eth0/carrier"])
    assert carrier.strip() == "1", "the VM sees nothing of the cut"


def test_a_cut_of_one_network_leaves_the_other(lab: Lab) -> None:
    lab.net.cut("vm-a", network=2)
    first, second = lab.vm("vm-a").addresses
    assert vm_reaches(lab, "vm-b", first)
    assert not vm_reaches(lab, "vm-b", second)


def test_a_pair_is_cut_and_nobody_else(lab: Lab) -> None:
    lab.net.cut("vm-a", other="vm-b")
    first = lab.vm("vm-a").addresses[0]
    assert not vm_reaches(lab, "vm-b", first)
    assert client_reaches(lab, first)
    assert host_reaches(first)


def test_a_pair_is_cut_across_the_router(lab: Lab) -> None:
    lab.net.cut("vm-a", other="host")
    first = lab.vm("vm-a").addresses[0]
    assert not host_reaches(first)
    assert client_reaches(lab, first)
    assert host_reaches(lab.vm("vm-b").addresses[0])


def test_a_one_way_cut_lets_the_other_way_through(lab: Lab) -> None:
    """What vm-a sends is dropped; what others send to it arrives."""
    vm = lab.vm("vm-a")
    assert client_reaches(lab, vm.addresses[0]), "the client knows its link-layer address now"
    lab.net.cut("vm-a", one_way=True)
    assert not client_reaches(lab, vm.addresses[0])
    send = "import socket, sys; socket.socket(2, 2).sendto(b'heard', (sys.argv[1], 8))"
    lab.client_exec([sys.executable, "-c", send, vm.addresses[0]])
    waited = vm.exec(
        ["sh", "-c", "until grep -q heard /run/heard; do sleep 0.02; done; cat /run/heard"]
    )
    assert "heard" in waited


def test_healing_one_leaves_the_others_cut(lab: Lab) -> None:
    lab.net.cut("vm-a")
    lab.net.cut("vm-b")
    lab.net.heal("vm-a")
    assert client_reaches(lab, lab.vm("vm-a").addresses[0])
    assert not client_reaches(lab, lab.vm("vm-b").addresses[0])


def test_loss_drops_about_the_part_that_was_asked_for(lab: Lab) -> None:
    """A third in each direction: 44 % of the questions are answered."""
    address = lab.vm("vm-a").addresses[0]
    lab.net.shape("vm-a", Shape(loss=1 / 3))
    answered = int(lab.client_exec([sys.executable, "-c", COUNT, address]).stdout)
    assert 350 < answered < 540


def test_a_delay_is_made_or_refused_in_one_sentence(lab: Lab) -> None:
    refusal = None
    try:
        lab.net.shape("vm-a", Shape(delay_ms=50))
    except UserError as error:
        refusal = error
    made = lab.net.rules().delays()
    if refusal is None:
        assert made == {"vm-a-1": 50, "vm-a-2": 50}
    else:
        assert "netem" in refusal.problem
        assert "--loss" in refusal.remedy
        assert made == {}, "half of an order is not carried out"


def test_a_name_that_is_not_plugged_in_is_answered_with_those_that_are(lab: Lab) -> None:
    with pytest.raises(UserError, match="client, host, vm-a, vm-b"):
        lab.net.cut("witness-7")
