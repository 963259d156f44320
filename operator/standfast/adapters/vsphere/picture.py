"""From property updates to facts: what the feed has heard so far, without any connection.

`take` applies one update set; `vms` makes facts of it. Between two pages of one set the picture
is half old, so the feed asks for facts only after the last page. A property that may not be read
or has no value is absent, and its fact UNKNOWN.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pyVmomi import vim, vmodl

from standfast.adapters.vsphere.search import moid, refuse_dead_session
from standfast.core.fencing import Contact, Power
from standfast.ports.hypervisor import VmFacts

VM_PATHS = (
    "name",
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.host",
    "runtime.bootTime",
    "recentTask",
)
HOST_PATHS = ("name", "runtime.connectionState")
TASK_PATHS = ("info.state", "info.descriptionId")

_POWER = {"poweredOn": Power.ON, "poweredOff": Power.OFF, "suspended": Power.SUSPENDED}
_CONTACT = {"connected": Contact.CONNECTED}
_UNFINISHED = frozenset({"queued", "running"})

Update = vmodl.query.PropertyCollector.ObjectUpdate


@dataclass(frozen=True, slots=True)
class _Span:
    """How long the feed, unbroken, has shown one power."""

    power: Power
    since_ms: int
    on_from_ms: int | None = None

    def next(self, power: Power, now_ms: int) -> "_Span":
        if power is self.power:
            return self
        on_from_ms = self.since_ms if self.power is Power.ON else None
        return _Span(power, now_ms, on_from_ms if power is Power.OFF else None)


class Picture:
    """Everything heard in one unbroken feed.

    Args:
        watched: Managed object id of each watched VM to its instance UUID.
    """

    def __init__(self, watched: Mapping[str, str]) -> None:
        self._watched = watched
        self._values: dict[str, dict[str, object]] = {}
        self._spans: dict[str, _Span] = {}

    def take(self, updates: Iterable[Update]) -> None:
        """Apply one set of object updates.

        Raises:
            SessionLostError: The session died while vCenter collected them.
        """
        for update in updates:
            refuse_dead_session(update.missingSet or ())
            key = moid(update.obj)
            if update.kind == "leave":
                self._values.pop(key, None)
                self._spans.pop(key, None)
                continue
            values = self._values.setdefault(key, {})
            for change in update.changeSet or ():
                if change.op in ("assign", "add"):
                    values[change.name] = change.val
                else:
                    values.pop(change.name, None)

    def vms(self, now_ms: int) -> dict[str, VmFacts]:
        """Facts by instance UUID of the watched VMs that are in the picture."""
        return {
            uuid: self._vm(key, uuid, now_ms)
            for key, uuid in self._watched.items()
            if key in self._values
        }

    def _vm(self, key: str, uuid: str, now_ms: int) -> VmFacts:
        values = self._values[key]
        power = _POWER.get(str(values.get("runtime.powerState")), Power.UNKNOWN)
        span = self._spans.get(key, _Span(power, now_ms)).next(power, now_ms)
        self._spans[key] = span
        facts = VmFacts(
            uuid=uuid,
            name=str(values.get("name", "")),
            power=power,
            contact=contact(values.get("runtime.connectionState")),
            contact_word=str(values.get("runtime.connectionState", "unknown")),
            boot_time=_moment(values.get("runtime.bootTime")),
            power_since_ms=span.since_ms,
            on_from_ms=span.on_from_ms,
            tasks=self._tasks(values.get("recentTask")),
        )
        host = values.get("runtime.host")
        return self._on_host(facts, moid(host)) if isinstance(host, vim.HostSystem) else facts

    def _on_host(self, facts: VmFacts, key: str) -> VmFacts:
        host = self._values.get(key, {})
        return replace(
            facts,
            host=key,
            host_name=str(host.get("name", key)),
            host_contact=contact(host.get("runtime.connectionState")),
        )

    def _tasks(self, recent: object) -> tuple[str, ...]:
        known = [self._values.get(moid(task), {}) for task in _references(recent)]
        return tuple(
            str(task.get("info.descriptionId", "task"))
            for task in known
            if str(task.get("info.state")) in _UNFINISHED
        )


def contact(word: object) -> Contact:
    """What `connected`, `notResponding`, `disconnected`… mean; absent is UNKNOWN."""
    return Contact.UNKNOWN if word is None else _CONTACT.get(str(word), Contact.LOST)


def power(word: object) -> Power:
    return _POWER.get(str(word), Power.UNKNOWN)


def _moment(value: object) -> datetime | None:
    return value if isinstance(value, datetime) else None


def _references(value: object) -> list[vim.Task]:
    return (
        [each for each in value if isinstance(each, vim.Task)] if isinstance(value, list) else []
    )
