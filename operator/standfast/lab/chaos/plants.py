"""Faults planted in the pair itself: a checker that does not see them checks nothing.

Called by `python -m standfast.lab.chaos --plant NAME` and by the tests of the campaign. They are
what the product must never let happen, done by hand and past the product.
"""

from collections.abc import Mapping

from standfast.lab import databases
from standfast.lab.chaos.campaign import Plant
from standfast.lab.chaos.scene import Scene
from standfast.lab.cluster import settle

LASTS_S = 0.3


def second_address(scene: Scene, standby: str) -> None:
    """The standby answers for the address too, for a moment, past its packet filter."""
    vm = scene.lab.vm(standby)
    address = f"10.{scene.lab.state.addressing.octet}.1.100/24"
    for family in ("inet", "arp"):
        vm.exec(["nft", "delete", "table", family, "standfast"], check=False)
    vm.exec(["ip", "address", "add", address, "dev", "eth0"])
    settle(LASTS_S)
    vm.exec(["ip", "address", "del", address, "dev", "eth0"], check=False)


def second_process(scene: Scene, standby: str) -> None:
    """The application is started on the standby as well."""
    scene.lab.vm(standby).exec(["systemctl", "start", scene.app_unit])
    settle(LASTS_S)
    scene.lab.vm(standby).exec(["systemctl", "stop", scene.app_unit])


def lost_write(scene: Scene, _: str) -> None:
    """One write is taken out of the table."""
    settle(LASTS_S)
    statement = "DELETE FROM written WHERE number = (SELECT max(number) - 5 FROM written)"
    databases.sql(scene.lab.vm(scene.cluster.active), statement, databases.APP)


PLANTS: Mapping[str, Plant] = {
    "second-address": second_address,
    "second-process": second_process,
    "lost-write": lost_write,
}
