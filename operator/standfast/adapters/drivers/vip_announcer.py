"""Announces a VIP until it is told to stop: a burst after the start, then once in a while (F46).

A burst, because frames get lost and some switches learn only when a port has settled; the later
ones for machines that were away. Never past the lease.
"""

import asyncio
from collections.abc import Callable, Iterator

from standfast.adapters.drivers.config import VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.ports.network import Interface

ANNOUNCED_AT_MS = (0, 100, 500, 1000, 2000, 5000)


class Announcer:
    """The announcements of one VIP.

    Args:
        config: Which address, and how often.
        host: Clock, neighbours and event sink.
        lease_until_ms: The end of the lease at the time of asking.
    """

    def __init__(
        self, config: VipConfig, host: DriverHost, lease_until_ms: Callable[[], int]
    ) -> None:
        self._config = config
        self._host = host
        self._lease_until_ms = lease_until_ms
        self._task: asyncio.Task[None] | None = None

    def begin(self, interface: Interface) -> None:
        """Announce once now and go on by the schedule.

        Raises:
            OSError: The interface does not take the first one.
        """
        self.end()
        self._host.neighbours.announce(self._config.address.ip, interface)
        self._task = asyncio.create_task(self._go_on(interface))

    def end(self) -> None:
        """Announce no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _go_on(self, interface: Interface) -> None:
        begin_ms = self._host.clock.now_ms()
        for at_ms in _schedule(self._config.announce_every_ms):
            await asyncio.sleep(max(0, begin_ms + at_ms - self._host.clock.now_ms()) / 1000)
            if self._host.clock.now_ms() >= self._lease_until_ms():
                return
            try:
                self._host.neighbours.announce(self._config.address.ip, interface)
            except OSError as error:
                fields = {"resource": self._config.name, "error": str(error)}
                self._host.sink.note("NotAnnounced", "Address could not be announced", fields)


def _schedule(every_ms: int) -> Iterator[int]:
    """Moments after the start, without the first one."""
    yield from ANNOUNCED_AT_MS[1:]
    at_ms = ANNOUNCED_AT_MS[-1]
    while True:
        at_ms += every_ms
        yield at_ms
