"""A unit that systemd starts at boot by itself, and what this host's policy does about it.

Called by drivers of units when they say whether this node could take over. A node that comes up
with the application running has asked nobody; so, unless its administrator decided otherwise in
/etc/standfast/agent.toml, it does not count as one that could take over.
"""

from typing import assert_never

from standfast.adapters.drivers.host import DriverHost
from standfast.ports.units import AtBoot, UnitFacts

ENABLED = frozenset({"enabled", "enabled-runtime"})


async def settled_at_boot(host: DriverHost, unit: str, facts: UnitFacts) -> list[str]:
    """Act by the policy on a unit that is enabled.

    Returns:
        Why this node does not stand; empty when the unit is not in the way, or no longer.

    Raises:
        StandfastError: systemd did not disable it, or the policy does not read.
    """
    if facts.file not in ENABLED:
        return []
    match host.at_boot():
        case AtBoot.REPORT:
            return []
        case AtBoot.REFUSE:
            said = f"{unit} is {facts.file}: after a reboot it would run before anybody was asked"
            return [f"{said} (systemctl disable {unit})"]
        case AtBoot.DISABLE:
            await host.units.disable(unit)
            host.sink.note("UnitDisabled", "systemd starts it at boot no more", {"unit": unit})
            return []
        case _ as never:
            assert_never(never)
