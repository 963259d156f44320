"""Whether another machine answers for a VIP that is ours: asked while we hold it (F47).

Before an address is taken the wire is asked once; a stranger may come later: a machine that was
off, a clone, a typing error. We go on serving, because we hold the lease and the stranger asked
nobody; a person has to take the address from it, and the alert says from which machine.
"""

import asyncio

from standfast.adapters.drivers.config import VipConfig
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.linux.frames import readable
from standfast.errors import TransientError
from standfast.ports.events import Alert
from standfast.ports.network import Interface

ASK_EVERY_S = 5.0
WINDOW_MS = 200
CONFLICT = "AddressConflict"


class Rival:
    """Looks for a second owner of one VIP until told to stop.

    Args:
        config: Which address.
        host: Neighbours and event sink.
    """

    def __init__(self, config: VipConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._task: asyncio.Task[None] | None = None
        self._is_told = False

    def begin(self, interface: Interface) -> None:
        """The address is ours on this interface from now on."""
        self.end()
        self._task = asyncio.create_task(self._keep_asking(interface))

    def end(self) -> None:
        """It is ours no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._calm()

    async def _keep_asking(self, interface: Interface) -> None:
        neighbours, ip = self._host.neighbours, self._config.address.ip
        while True:
            await asyncio.sleep(ASK_EVERY_S)
            try:
                mac = await neighbours.probe(ip, interface, WINDOW_MS)
            except (OSError, TransientError):
                continue  # the interface has gone; `check` says so
            if mac is None:
                self._calm()
            else:
                self._tell(interface, mac)

    def _tell(self, interface: Interface, mac: bytes) -> None:
        self._is_told = True
        name, ip = self._config.name, self._config.address.ip
        alert = Alert(
            CONFLICT,
            f"the machine with MAC {readable(mac)} on {interface.name} answers for {ip} as well, "
            "so some clients reach that one",
            f"find that machine and take {ip} from it",
        )
        self._host.sink.raise_alert(name, alert)

    def _calm(self) -> None:
        if self._is_told:
            self._is_told = False
            self._host.sink.clear_alert(self._config.name, CONFLICT)
