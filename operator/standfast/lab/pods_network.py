"""Where a pod's network card comes from: the lab's switch, or this machine's own network.

Called by the pod runner. Pods have numbers, unique in the lab, from which their addresses follow.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from standfast.lab.addressing import Addressing
from standfast.lab.commands import NETNS_DIR
from standfast.lab.network import Switch, namespace_exists

NUMBERS = range(10, 251)


@dataclass(frozen=True, slots=True)
class Card:
    """A pod in the network.

    Args:
        address: Its IPv4 address.
        namespace: File of its network namespace; None for this machine's own.
    """

    address: str
    namespace: Path | None


class PodNetwork(Protocol):
    """Gives pods their cards."""

    async def plug(self, number: int, pod: str) -> Card:
        """The card of a pod, made if it has none; calling it twice changes nothing."""

    async def unplug(self, number: int, pod: str) -> None:
        """Takes the card away; one that is gone is left alone."""


class SwitchNetwork:
    """Pods are plugged into the lab's switch, each with a namespace of its own.

    Args:
        addressing: The lab's network plan.
        rules_file: Where the switch keeps its rules.
    """

    def __init__(self, addressing: Addressing, rules_file: Path) -> None:
        self._switch = Switch(addressing, rules_file)
        self._one_at_a_time = asyncio.Lock()

    async def plug(self, number: int, pod: str) -> Card:
        card = self._switch.addressing.pod_interface(pod, number)
        namespace = self._namespace(number)
        async with self._one_at_a_time:
            if not namespace_exists(namespace):
                await asyncio.to_thread(self._switch.plug, namespace, [card])
        return Card(card.addresses[0].split("/")[0], NETNS_DIR / namespace)

    async def unplug(self, number: int, pod: str) -> None:
        card = self._switch.addressing.pod_interface(pod, number)
        async with self._one_at_a_time:
            await asyncio.to_thread(self._switch.unplug, self._namespace(number), [card])

    def _namespace(self, number: int) -> str:
        return self._switch.addressing.namespace(f"pod-{number}")


class HostNetwork:
    """Pods share this machine's network and have its address: for tests, and without a switch.

    Args:
        address: What they call their own.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    async def plug(self, number: int, pod: str) -> Card:  # noqa: ARG002 -- the port's shape
        return Card(self._address, None)

    async def unplug(self, number: int, pod: str) -> None:
        """Nothing to take away."""
