"""The ports that the kernel gives to connections that this machine opens itself.

A connection to another machine that got a leased port as its own end would be cut with it.
Source: ip-sysctl, `ip_local_port_range` and `ip_local_reserved_ports`; IPv6 goes by them too.
"""

from collections.abc import Iterable
from pathlib import Path

from standfast.ports.network import Port

_SYSCTL = Path("/proc/sys/net/ipv4")


def ephemeral(ports: Iterable[Port], sysctl: Path = _SYSCTL) -> frozenset[Port]:
    """Those that may be given away; none when the kernel does not say."""
    try:
        first, last = map(int, (sysctl / "ip_local_port_range").read_text().split())
        reserved = _ranges((sysctl / "ip_local_reserved_ports").read_text())
    except (OSError, ValueError):
        return frozenset()
    return frozenset(
        port
        for port in ports
        if first <= port.number <= last and not any(port.number in each for each in reserved)
    )


def _ranges(text: str) -> list[range]:
    """`8080,9000-9005` as ranges."""
    found = []
    for entry in filter(None, text.strip().split(",")):
        first, _, last = entry.partition("-")
        found.append(range(int(first), int(last or first) + 1))
    return found
