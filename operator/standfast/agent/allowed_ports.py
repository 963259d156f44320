"""The entries of `ports` in the host's file: numbers and ranges, and what they never match.

A port that is leased is shut to others while the node is not active. So those by which the host
itself is reached are allowed only by their number, as units of the system only by their name.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from standfast.wire.resources import Port

SYSTEM_PORTS = (
    *("22/tcp", "2379/tcp", "2380/tcp", "6443/tcp", "7380/tcp", "10250/tcp"),
    *("68/udp", "123/udp", "546/udp"),
)
"""What "*" and ranges do not match: ssh, etcd and Kubernetes, the agent itself, DHCP and time."""
_LAST = 65535
_ENTRY = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp))?")


@dataclass(frozen=True, slots=True)
class PortRange:
    """One entry: from, to, and what carries it when it says so."""

    first: int
    last: int
    protocol: str = ""

    def matches(self, port: Port) -> bool:
        if self.protocol not in {"", port.protocol.lower()}:
            return False
        if self.first < self.last and name_of(port) in SYSTEM_PORTS:
            return False
        return self.first <= port.number <= self.last


def read(entry: str) -> PortRange:
    """One entry; raises ValueError with what is wrong with it."""
    if entry == "*":
        return PortRange(1, _LAST)
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError('neither a port as "443" or "53/udp", nor a range as "8000-8099"')
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= _LAST:
        raise ValueError(f"no port from 1 to {_LAST}, and no range of such")
    return PortRange(first, last, found[3] or "")


def refused(ports: Sequence[Port], allowed: Sequence[PortRange]) -> tuple[str, str]:
    """What of these is not allowed, and the line that would allow it; empty when all is."""
    names = [name_of(port) for port in ports if not any(one.matches(port) for one in allowed)]
    if not names:
        return "", ""
    is_systems = any(name in SYSTEM_PORTS for name in names)
    why = " (by which the host itself is reached, which only its number allows)"
    line = ", ".join(f'"{name}"' for name in names)
    return f"leases {', '.join(names)}{why if is_systems else ''}", f"ports = [{line}]"


def name_of(port: Port) -> str:
    """As `443/tcp`."""
    return f"{port.number}/{port.protocol.lower()}"
