"""The ports of this node's services: open to others exactly while it may run its resources.

One lease for all of them, and it is the node's own. They open when everything may run, are
extended with every renewal and by nothing else, and shut when the lease is lost, or when all is
stopped and before that is told. What an earlier run of the agent opened stays open while its lease
lasts.

Source: ADR-0058. Safety: no port is served by two nodes.
"""

import asyncio
from collections.abc import Callable, Sequence

from standfast.core import group_events as ev
from standfast.member.mailbox import Mailbox
from standfast.ports.events import Alert, EventSink
from standfast.ports.network import Port, PortFilter, Transport
from standfast.wire.resources import Postgresql, ResourceSpec, Systemd

NO_FILTER = "NoPacketFilter"
EPHEMERAL = "PortIsEphemeral"
LOOK_EVERY_S = 1.0
_SOURCE = "ports"


class PortLease:
    """What of the group's life the ports follow.

    Args:
        ports: The packet filter.
        mailbox: Where its own work is done.
        sink: Where troubles go.
    """

    def __init__(self, ports: PortFilter, mailbox: Mailbox, sink: EventSink) -> None:
        self._filter = ports
        self._mailbox = mailbox
        self._sink = sink
        self._ports: frozenset[Port] = frozenset()
        self._is_open = False
        self._is_shut = False  # an earlier run may have opened them

    def declare(self, resources: Sequence[ResourceSpec]) -> None:
        """These resources run here or on another node; nothing else's ports are touched."""
        self._ports = ports_of(resources)
        self._filter.keep(self._ports)

    def take(self, event: ev.GroupEvent) -> None:
        """What the group is told."""
        match event:
            case ev.Permitted(until_ms=until_ms) | ev.Adopted(until_ms=until_ms):
                self._is_open, self._is_shut = True, False
                self._filter.allow(until_ms)
            case ev.Extended(until_ms):
                if self._is_open:
                    self._filter.allow(until_ms)
            case ev.StopAll(emergency=True):
                self.shut_then(_nothing)
            case _:
                pass

    def shut_then(self, then: Callable[[], None]) -> None:
        """Shut them, and only then let that happen; at once where they are known to be shut."""
        self._is_open = False
        if self._ports and not self._is_shut:
            self._mailbox.start(self._shut(then), "shut ports")
        else:
            then()

    async def shut(self) -> None:
        self._is_open = False
        await self._filter.cut()

    async def run(self) -> None:
        """Look for ever, and put back what others have removed."""
        while True:
            if self._ports:
                self._filter.keep(self._ports)
            self._tell()
            await asyncio.sleep(LOOK_EVERY_S)

    def close(self) -> None:
        """What the kernel enforces goes on."""
        self._filter.close()

    async def _shut(self, then: Callable[[], None]) -> None:
        if not self._is_open:  # else it was called off meanwhile
            await self._filter.cut()
            self._is_shut = not self._is_open
        self._mailbox.put(then)

    def _tell(self) -> None:
        trouble = self._filter.trouble if self._ports else ""
        said = f"{trouble}; if agent and guard died, ports could be served here after the lease"
        remedy = "run a kernel with nf_tables, nft_reject and nft_fib (Linux 5.9 or later)"
        self._alert(Alert(NO_FILTER, said, remedy), is_raised=bool(trouble))
        given = sorted(self._filter.ephemeral(self._ports))
        names = ", ".join(port.name for port in given)
        numbers = ",".join(str(port.number) for port in given)
        said = (
            f"this machine gives {names} to connections of its own too, which would be cut while "
            "it is not active"
        )
        remedy = f"sysctl -w net.ipv4.ip_local_reserved_ports={numbers}, and keep it in sysctl.d"
        self._alert(Alert(EPHEMERAL, said, remedy), is_raised=bool(given))

    def _alert(self, alert: Alert, *, is_raised: bool) -> None:
        if is_raised:
            self._sink.raise_alert(_SOURCE, alert)
        else:
            self._sink.clear_alert(_SOURCE, alert.reason)


def ports_of(resources: Sequence[ResourceSpec]) -> frozenset[Port]:
    """All ports that are declared."""
    return frozenset(
        Port(port.number, Transport(port.protocol))
        for resource in resources
        if isinstance(resource, Systemd | Postgresql)
        for port in resource.ports
    )


def _nothing() -> None:
    """Nobody waits for it."""
