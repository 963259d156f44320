"""Where a VIP goes: the interface that was named, or the one whose subnet it belongs to."""

from standfast.adapters.drivers.config import VipConfig
from standfast.errors import UserError
from standfast.ports.network import AddressTable, Interface


async def interface_for(config: VipConfig, addresses: AddressTable) -> Interface:
    """The interface for this VIP, whether it carries traffic now or not.

    Raises:
        UserError: There is none.
    """
    if config.interface is not None:
        return await _named(config.interface, config.name, addresses)
    candidates = await addresses.in_subnet(config.address)
    if not candidates:
        raise UserError(
            f"{config.name}: no interface of this node has another address whose subnet contains "
            f"{config.address.ip}",
            remedy=f"give this node an address in that subnet, or set spec.vip.interface of "
            f"HAResource {config.name}",
        )
    return min(candidates, key=lambda found: (bool(link_trouble(found)), found.index))


def link_trouble(interface: Interface) -> str:
    """Why this interface carries nothing, for the end of a sentence; empty when it does."""
    if not interface.is_up:
        return "that interface is down"
    return "" if interface.has_carrier or interface.is_loopback else "it has no carrier"


async def _named(wanted: str, resource: str, addresses: AddressTable) -> Interface:
    everything = await addresses.interfaces()
    for interface in everything:
        if interface.name == wanted:
            return interface
    names = ", ".join(sorted(found.name for found in everything))
    raise UserError(
        f"{resource}: there is no interface {wanted} on this node; it has {names}",
        remedy=f"correct spec.vip.interface of HAResource {resource}",
    )
