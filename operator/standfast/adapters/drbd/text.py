"""The configuration file of one resource, as drbdadm of 8.4 reads it. Pure.

It holds a secret (with which the two copies know each other), so it is root's alone.

Every policy by which DRBD would choose among two histories by itself says `disconnect`: which
writes are given up is a person's decision. Without the other copy writes are held until the agent
says that the quorum's record has let it go (`resource-and-stonith`, `fence-peer`).
"""

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from standfast.adapters.drbd.config import DrbdConfig
from standfast.errors import UserError

HANDLER = Path(__file__).with_name("handler.py")
TIMEOUT_DS = 9
"""Tenths of a second; below `ping-int` and `connect-int`, as DRBD demands."""
PING_INT_S = 1
PING_TIMEOUT_DS = 15
KO_COUNT = 3
"""A peer whose disk does not complete a write in so many timeouts is given up."""

_TEXT = """\
# Written by the Standfast agent for HAResource {name}; changes are overwritten.
resource {resource} {{
    device {device};
    disk {disk};
    meta-disk {meta};
    options {{
        on-no-data-accessible io-error;
    }}
    net {{
        protocol C;
        cram-hmac-alg sha256;
        shared-secret "{secret}";
        timeout {timeout};
        connect-int {ping};
        ping-int {ping};
        ping-timeout {ping_timeout};
        ko-count {ko};
        allow-two-primaries no;
        after-sb-0pri disconnect;
        after-sb-1pri disconnect;
        after-sb-2pri disconnect;
        rr-conflict disconnect;
        verify-alg sha256;
    }}
    disk {{
        on-io-error detach;
        fencing resource-and-stonith;
{rate}    }}
    handlers {{
        fence-peer "{handler} fence-peer {socket}";
        split-brain "{handler} split-brain {socket}";
        unfence-peer "{handler} after-resync {socket}";
    }}
    floating {mine};
    floating {theirs};
}}
"""
_RATE = """\
        c-plan-ahead 0;
        resync-rate {rate}M;
"""


@dataclass(frozen=True, slots=True)
class Ends:
    """Where the two copies are.

    Args:
        mine: Address of this node.
        theirs: Address of the other.
    """

    mine: str
    theirs: str


def written(config: DrbdConfig, ends: Ends, secret: str, python: str = sys.executable) -> str:
    """The file."""
    rate = "" if config.resync_mib_s is None else _RATE.format(rate=config.resync_mib_s)
    return _TEXT.format(
        name=config.name,
        resource=config.resource,
        device=f"{config.device} minor {config.minor}",
        disk=config.disk,
        meta=config.meta_disk or "internal",
        secret=secret,
        timeout=TIMEOUT_DS,
        ping=PING_INT_S,
        ping_timeout=PING_TIMEOUT_DS,
        ko=KO_COUNT,
        rate=rate,
        handler=f"{python} -IS {HANDLER}",
        socket=config.socket,
        mine=_end(ends.mine, config.port),
        theirs=_end(ends.theirs, config.port),
    )


def ends_of(config: DrbdConfig, mine: Iterable[str], theirs: Iterable[str]) -> Ends:
    """The addresses over which the copies talk.

    Raises:
        UserError: A node has none in the subnet that is declared.
    """
    return Ends(_chosen(config, mine), _chosen(config, theirs))


def secret_in(text: str) -> str:
    """The secret of a file of ours; empty when it has none."""
    for row in text.splitlines():
        word, _, value = row.strip().partition(" ")
        if word == "shared-secret":
            return value.strip(' ";')
    return ""


def _chosen(config: DrbdConfig, hosts: Iterable[str]) -> str:
    known = list(hosts)
    if config.network is None:
        return known[0]
    network = ipaddress.ip_network(config.network, strict=False)
    for host in known:
        if ipaddress.ip_address(host) in network:
            return host
    raise UserError(
        f"{config.name}: none of the addresses {', '.join(known)} of a node is in "
        f"{config.network}, where its copy is to be reached",
        remedy=f"correct spec.drbd.network of HAResource {config.name}, or add the address to "
        "the node in the HACluster",
    )


def _end(host: str, port: int) -> str:
    is_six = ":" in host
    return f"ipv6 [{host}]:{port}" if is_six else f"ipv4 {host}:{port}"
