"""The lab's switch: a network namespace with one bridge per network, a router, and its cards.

Called by the hypervisor for VMs, by the pod runner for pods and by `standfast-lab net`. Everything
that is cut, lost or late is so on the switch's ports, never inside a VM: whoever is cut off sees
its carrier up and nobody answering. What is dropped is decided in `rules`; this module keeps the
rules in a file of the lab, so that the hypervisor and a command may both change them.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from standfast.errors import TransientError, UserError
from standfast.lab import rules
from standfast.lab.addressing import Addressing, Interface
from standfast.lab.commands import (
    NETNS_DIR,
    enter_network,
    ip_batch,
    ip_json,
    run,
    write_kernel_settings,
)
from standfast.lab.rules import Rules, Shape

BRIDGE = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
ROUTE_TABLE_FIRST = 100


class Switch:
    """One lab's switch.

    Args:
        addressing: The lab's network plan.
        rules_file: Where the rules in force are kept.
    """

    def __init__(self, addressing: Addressing, rules_file: Path) -> None:
        self.addressing = addressing
        self.rules_file = rules_file

    def create(self) -> None:
        """Makes the switch, the client and this machine's card; leaves a whole one as it is."""
        if self._is_whole():
            return
        self.delete()
        plan = self.addressing
        ip_batch([f"netns add {plan.switch_namespace}"])
        write_kernel_settings(
            plan.switch_namespace,
            {
                "ipv4.ip_forward": "1",
                "ipv6.conf.all.forwarding": "1",
                "ipv4.conf.all.send_redirects": "0",
            },
        )
        ip_batch(
            ["link set lo up"]
            + [
                line
                for network, bridge in enumerate(plan.bridges())
                for line in (
                    f"link add {bridge} {BRIDGE}",
                    f"addr add {plan.gateway(network)}/24 dev {bridge}",
                    f"addr add {plan.gateway6(network)}/64 dev {bridge} nodad",
                    f"link set {bridge} up",
                )
            ],
            plan.switch_namespace,
        )
        self._plug_host()
        self.plug(plan.client_namespace, [plan.client_interface()])
        self._store(Rules())
        self._apply(Rules())

    def delete(self) -> None:
        """Removes the switch, the client and this machine's card: all cards lose their carrier."""
        plan = self.addressing
        for namespace in (plan.client_namespace, plan.switch_namespace):
            if namespace_exists(namespace):
                delete_ports(namespace)
                run(["ip", "netns", "del", namespace])
        self.rules_file.unlink(missing_ok=True)

    def plug(self, namespace: str, cards: Sequence[Interface]) -> None:
        """Makes a network namespace with these cards, their addresses and routes, in the switch.

        A namespace of that name that exists already is deleted first: sockets that outlived a VM
        would go on sending in it.
        """
        self.unplug(namespace, cards)
        switch = self.addressing.switch_namespace
        ip_batch(
            [f"netns add {namespace}"]
            + [
                f"link add name {card.port} netns {switch} type veth"
                f" peer name {card.device} address {card.mac} netns {namespace}"
                for card in cards
            ]
        )
        ip_batch(_owner_side(cards), namespace)
        ip_batch([line for card in cards for line in _switch_side(card)], switch)
        self._reapply()

    def unplug(self, namespace: str, cards: Sequence[Interface]) -> None:
        """Takes the cards out of the switch and deletes the namespace; both may be gone."""
        present = self.ports()
        gone = [f"link del {card.port}" for card in cards if card.port in present]
        ip_batch(gone, self.addressing.switch_namespace)
        if namespace_exists(namespace):
            run(["ip", "netns", "del", namespace])

    def silence(self, cards: Sequence[Interface]) -> None:
        """Takes the carrier from the cards' ports: from here nobody hears a frame of theirs."""
        ip_batch(
            [f"link set {card.port} down" for card in cards], self.addressing.switch_namespace
        )

    def ports(self) -> dict[str, str]:
        """The ports of the switch: name -> owner."""
        if not namespace_exists(self.addressing.switch_namespace):
            return {}
        links = json.loads(ip_json(["link", "show"], self.addressing.switch_namespace))
        return {
            link["ifname"]: link.get("ifalias", link["ifname"])
            for link in links
            if "master" in link
        }

    def ports_of(self, owner: str, network: int | None = None) -> list[str]:
        """The ports of a VM, a pod, the client or this machine, off ones included.

        Args:
            owner: Its name.
            network: Only those on this network; on all when it is None.

        Raises:
            UserError: Nothing of that name is plugged in, or not in that network.
        """
        if owner in self.addressing.vms:
            cards = self.addressing.vm_interfaces(owner)
            found = {card.port: card.network for card in cards}
        else:
            alias = {port: name for port, name in self.ports().items() if name == owner}
            found = dict.fromkeys(alias, 1 if owner == "client" else 0)
        wanted = [port for port, number in found.items() if network in {None, number}]
        if not wanted:
            known = sorted({*self.addressing.vms, *self.ports().values()})
            where = "the switch" if network is None else f"network {network}"
            raise UserError(
                f"{owner!r} has no port in {where}; these are plugged in: {', '.join(known)}",
                remedy="standfast-lab status",
            )
        return wanted

    def rules(self) -> Rules:
        """The rules in force."""
        if not self.rules_file.exists():
            return Rules()
        return msgspec.json.decode(self.rules_file.read_bytes(), type=Rules)

    def change(self, step: Callable[[Rules], Rules]) -> Rules:
        """Replaces the rules in force by what `step` makes of them; one change at a time.

        Returns:
            The rules now in force.

        Raises:
            UserError: They ask for a delay and the kernel cannot delay.
        """
        with self._locked():
            before = self.rules()
            after = step(before)
            self._delay(before, after)
            self._apply(after)
            self._store(after)
        return after

    def cut(
        self,
        owner: str,
        *,
        network: int | None = None,
        other: str | None = None,
        one_way: bool = False,
    ) -> None:
        """Drops what passes between an owner and another, or everybody.

        Args:
            owner: VM, pod, `client` or `host`.
            network: Only its port on this network.
            other: Whom it is cut from; everybody when it is None.
            one_way: Only what `owner` sends is dropped.
        """
        others = None if other is None else self.ports_of(other)
        cuts = rules.cuts_between(self.ports_of(owner, network), others, one_way=one_way)
        self.change(lambda before: before.cut(cuts))

    def stun(self, cards: Sequence[Interface]) -> None:
        """Drops all from and to these cards until `unstun`, whatever is healed meanwhile."""
        ports = [card.port for card in cards]
        self.change(lambda before: before.stun(ports))

    def unstun(self, cards: Sequence[Interface]) -> None:
        """Ends a stun, if there is one."""
        ports = {card.port for card in cards}
        if ports & self.rules().stunned:
            self.change(lambda before: before.unstun(ports))

    def heal(self, owner: str | None = None) -> None:
        """Ends the cuts and shapes of an owner, or all of them."""
        ports = None if owner is None else self.ports_of(owner)
        self.change(lambda before: before.heal(ports))

    def shape(self, owner: str, shape: Shape, *, network: int | None = None) -> None:
        """Makes an owner's ports lose or delay frames."""
        ports = self.ports_of(owner, network)
        self.change(lambda before: before.shape(ports, shape))

    def _is_whole(self) -> bool:
        plan = self.addressing
        if not all(map(namespace_exists, (plan.switch_namespace, plan.client_namespace))):
            return False
        links = json.loads(ip_json(["link", "show"], plan.switch_namespace))
        wanted = {*plan.bridges(), "client", "host"}
        return self.rules_file.exists() and wanted <= {link["ifname"] for link in links}

    def _plug_host(self) -> None:
        plan = self.addressing
        card = plan.host_interface()
        peer = f"peer name {card.port} netns {plan.switch_namespace}"
        ip_batch(
            [
                f"link add name {card.device} address {card.mac} type veth {peer}",
                f"addr add {card.addresses[0]} dev {card.device}",
                f"link set {card.device} up",
            ]
        )
        ip_batch(list(_switch_side(card)), plan.switch_namespace)
        ip_batch([f"route replace {plan.cidr} via {card.gateway} dev {card.device}"])

    def _delay(self, before: Rules, after: Rules) -> None:
        old, new = before.delays(), after.delays()
        present = self.ports()
        for port in sorted((old.keys() | new.keys()) & present.keys()):
            if old.get(port) != new.get(port):
                self._set_delay(port, new.get(port, 0))

    def _set_delay(self, port: str, delay_ms: int) -> None:
        verb = ["replace", "dev", port, "root", "netem", "delay", f"{delay_ms}ms"]
        words = verb if delay_ms else ["del", "dev", port, "root"]
        try:
            run([*enter_network(self.addressing.switch_namespace), "tc", "qdisc", *words])
        except TransientError as error:
            raise UserError(
                f"{port} cannot be delayed by {delay_ms} ms: this kernel has no netem"
                f" (CONFIG_NET_SCH_NETEM): {error.problem}",
                remedy="use --loss, which needs no netem, or boot a kernel that has it",
            ) from error

    def _reapply(self) -> None:
        with self._locked():
            if self.rules_file.exists():
                self._apply(self.rules())

    def _apply(self, wanted: Rules) -> None:
        text = rules.ruleset(wanted, self.ports())
        run([*enter_network(self.addressing.switch_namespace), "nft", "-f", "-"], stdin=text)

    def _store(self, wanted: Rules) -> None:
        self.rules_file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.rules_file.with_suffix(".new")
        fresh.write_bytes(msgspec.json.encode(wanted))
        fresh.replace(self.rules_file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.rules_file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def namespace_exists(namespace: str) -> bool:
    return (NETNS_DIR / namespace).exists()


def delete_ports(namespace: str) -> None:
    """Deletes every virtual card in a namespace, and with it its other end, at once.

    Deleting only the namespace does the same some time later.
    """
    links = json.loads(ip_json(["-d", "link", "show"], namespace))
    veths = [
        link["ifname"] for link in links if link.get("linkinfo", {}).get("info_kind") == "veth"
    ]
    ip_batch([f"link del {name}" for name in veths], namespace)


def _switch_side(card: Interface) -> tuple[str, ...]:
    return (
        f"link set {card.port} alias {card.owner}",
        f"link set {card.port} master {card.bridge} up",
    )


def _owner_side(cards: Sequence[Interface]) -> list[str]:
    """Addresses and routes of a namespace's own side.

    What is sent from an address of a network leaves through the card of that network, VIPs
    included: an answer takes the path of its question, so that the networks fail independently.
    """
    lines = ["link set lo up"]
    for position, card in enumerate(cards):
        table = ROUTE_TABLE_FIRST + card.network
        subnet = f"{card.gateway.rsplit('.', 1)[0]}.0/24"
        metric = ROUTE_TABLE_FIRST * (position + 1)
        lines += [f"addr add {card.addresses[0]} dev {card.device}"]
        lines += [f"addr add {address} dev {card.device} nodad" for address in card.addresses[1:]]
        lines += [
            f"link set {card.device} up",
            f"route add default via {card.gateway} dev {card.device} metric {metric}",
            f"route add default via {card.gateway6} dev {card.device} metric {metric}",
        ]
        if len(cards) > 1:
            lines += [
                f"route add {subnet} dev {card.device} table {table}",
                f"route add default via {card.gateway} dev {card.device} table {table}",
                f"rule add from {subnet} lookup {table} pref {table}",
            ]
    return lines
