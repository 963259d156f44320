"""The deed: takes everything of a plan away, outermost layer first, and looks whether it is gone.

Addresses, then processes, then mounts: clients lose the node first, and nothing writes to a file
system that is being detached. All leases that are due at once are treated as one, so that none
waits for another's mounts. A refusal of the kernel is written down and the rest goes on.

`Restart=` or a person may bring something back: `look` finds it and takes it away again.
Source: `docs/protocol.md`, section 7.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from standfast.guard import mounts
from standfast.guard.addresses import Addresses, packed
from standfast.guard.cgroups import Cgroups
from standfast.guard.mounts import Detacher
from standfast.guard.protocol import (
    AddressTarget,
    CgroupTarget,
    MountTarget,
    Outcome,
    Target,
)
from standfast.guard.service_manager import ServiceManager
from standfast.guard.status import LeaseStatus

PROBLEMS_MAX = 8


class SelfFence:
    """Takes resources away. Not for several threads.

    Args:
        now_ns: Elapsed time.
    """

    def __init__(
        self,
        now_ns: Callable[[], int],
        addresses: Addresses,
        cgroups: Cgroups,
        detacher: Detacher,
        service_manager: ServiceManager,
    ) -> None:
        self._now_ns = now_ns
        self._addresses = addresses
        self._cgroups = cgroups
        self._detacher = detacher
        self._service_manager = service_manager

    def objection(self, targets: Iterable[Target]) -> str:
        """Why a plan with these cannot be carried out, as a sentence; empty when it can."""
        for target in targets:
            found = self._objection(target)
            if found:
                return found
        return ""

    def prepare(self) -> None:
        """A strike is near."""
        self._service_manager.prepare()

    def strike(self, due: Sequence[LeaseStatus]) -> dict[str, Outcome]:
        """Take away what these leases protect.

        Returns:
            Lease -> what was done; not verified yet.
        """
        began_ns = self._now_ns()
        targets = [target for lease in due for target in lease.targets]
        problems: list[str] = []
        self._take_addresses(targets, problems)
        addresses_ns = self._now_ns()
        self._kill(targets, problems)
        cgroups_ns = self._now_ns()
        self._detach(targets)
        mounts_ns = self._now_ns()
        said = tuple(problems[:PROBLEMS_MAX])
        return {
            lease.lease: Outcome(
                term=lease.term,
                due_ms=lease.until_ms,
                late_us=_since_us(lease.until_ms, began_ns),
                addresses_us=_since_us(lease.until_ms, addresses_ns),
                cgroups_us=_since_us(lease.until_ms, cgroups_ns),
                mounts_us=_since_us(lease.until_ms, mounts_ns),
                problems=said,
            )
            for lease in due
        }

    def look(self, lease: LeaseStatus) -> Outcome:
        """What is known of an ended lease after one more look; takes away what is there."""
        outcome = lease.outcome
        assert outcome is not None, "a fired lease has an outcome"
        left = self.left(lease.targets)
        if not left:
            if outcome.verified_us is not None:
                return outcome
            verified_us = _since_us(outcome.due_ms, self._now_ns())
            return replace(outcome, verified_us=verified_us, left=())
        problems: list[str] = []
        self._take_addresses(lease.targets, problems)
        self._kill(lease.targets, problems)
        self._detach(lease.targets)
        problems += self._detacher.problems()
        return replace(
            outcome,
            verified_us=None,
            left=left,
            problems=tuple(dict.fromkeys([*outcome.problems, *problems]))[:PROBLEMS_MAX],
            again=outcome.again + (outcome.verified_us is not None),
        )

    def left(self, targets: Sequence[Target]) -> tuple[str, ...]:
        """What of it is here, as sentences; what cannot be seen counts as here."""
        addresses = [target for target in targets if isinstance(target, AddressTarget)]
        points = [target.path for target in targets if isinstance(target, MountTarget)]
        found: list[str] = []
        try:
            held = self._addresses.held(addresses)
            found += [f"{it.address} is on interface {index}" for it, _, index in held]
        except OSError as error:
            found.append(f"the kernel does not list addresses: {error}")
        found += [
            f"{target.path} has processes"
            for target in targets
            if isinstance(target, CgroupTarget) and self._cgroups.is_populated(target.path)
        ]
        try:
            found += [f"{path} is mounted" for path in mounts.mounted(points)]
        except OSError as error:
            found.append(f"the kernel does not list mounts: {error}")
        return tuple(found)

    def rest(self) -> None:
        """No strike is near, and nothing of any ended lease is left."""
        self._service_manager.close()

    def _objection(self, target: Target) -> str:
        match target:
            case AddressTarget(address, prefix):
                try:
                    bits = 8 * len(packed(address))
                except (OSError, ValueError):
                    return f"{address!r} is no IP address"
                return "" if prefix <= bits else f"{address} has no prefix of {prefix} bits"
            case CgroupTarget(path):
                return self._cgroups.objection(path)
            case MountTarget(path):
                return mounts.objection(path)

    def _take_addresses(self, targets: Sequence[Target], problems: list[str]) -> None:
        addresses = [target for target in targets if isinstance(target, AddressTarget)]
        try:
            problems += self._addresses.take(addresses)
        except OSError as error:
            problems.append(f"the kernel does not take addresses away: {error}")

    def _kill(self, targets: Sequence[Target], problems: list[str]) -> None:
        """Tell systemd first: a death that it did not expect is what `Restart=` waits for."""
        groups = [target for target in targets if isinstance(target, CgroupTarget)]
        problem = self._service_manager.ask_stop(group.unit for group in groups if group.unit)
        if problem:
            problems.append(problem)
        problems += filter(None, [self._cgroups.kill(group.path) for group in groups])

    def _detach(self, targets: Sequence[Target]) -> None:
        for target in targets:
            if isinstance(target, MountTarget):
                self._detacher.detach(target.path)


def _since_us(due_ms: int, now_ns: int) -> int:
    return max(0, now_ns // 1000 - due_ms * 1000)
