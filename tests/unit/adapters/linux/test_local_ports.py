"""Ports that the kernel gives to connections of the machine itself."""

from pathlib import Path

from standfast.adapters.linux.local_ports import ephemeral
from standfast.ports.network import Port, Transport

PORTS = [Port(number, Transport.TCP) for number in (443, 32768, 40000, 40001, 60999, 61000)]


def written(directory: Path, range_: str, reserved: str) -> Path:
    (directory / "ip_local_port_range").write_text(range_)
    (directory / "ip_local_reserved_ports").write_text(reserved)
    return directory


def test_those_in_the_range_that_are_not_reserved(tmp_path: Path) -> None:
    found = ephemeral(PORTS, written(tmp_path, "32768\t60999\n", "22,40000-40005\n"))
    assert [port.number for port in sorted(found)] == [32768, 60999]


def test_nothing_is_reserved(tmp_path: Path) -> None:
    assert len(ephemeral(PORTS, written(tmp_path, "1 65535\n", "\n"))) == len(PORTS)


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    assert ephemeral(PORTS, tmp_path) == frozenset()
    assert ephemeral(PORTS, written(tmp_path, "nonsense", "")) == frozenset()
