"""What the operator may ask of an infrastructure: facts with an age, and power with proof.

Facts are a cache of what the infrastructure believes and never a proof; `Evidence` is one, and
only `power_off_with_proof` and `verify_off` make it. An infrastructure that cannot be heard leaves
facts UNKNOWN: a dead feed must not look like a quiet one. Moments are CLOCK_BOOTTIME milliseconds
of this machine (`ports.clock`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from standfast.core.fencing import Contact, Power
from standfast.errors import StandfastError, TransientError, UserError


@dataclass(frozen=True, slots=True)
class VmFacts:
    """What is known of one VM.

    Attributes:
        uuid: Its instance UUID.
        name: What people call it there.
        power: As last told.
        contact: With the VM, in the infrastructure's own judgement.
        contact_word: The vendor's word for it, for messages.
        host: Identity of the host it runs on; empty when unknown.
        host_name: What people call the host.
        host_contact: With that host.
        boot_time: Power-on as the infrastructure knows it; its clock, for people only.
        power_since_ms: Since when the feed, unbroken, has shown this power.
        on_from_ms: When OFF: since when the same unbroken feed had shown ON before; None when it
            did not see the VM on.
        tasks: Running tasks on the VM by name (a migration, a snapshot).
    """

    uuid: str
    name: str
    power: Power = Power.UNKNOWN
    contact: Contact = Contact.UNKNOWN
    contact_word: str = "unknown"
    host: str = ""
    host_name: str = ""
    host_contact: Contact = Contact.UNKNOWN
    boot_time: datetime | None = None
    power_since_ms: int = 0
    on_from_ms: int | None = None
    tasks: tuple[str, ...] = ()

    @property
    def reads_off(self) -> bool:
        """Off by a source that hears both VM and host: worth verifying."""
        return (
            self.power is Power.OFF
            and self.contact is Contact.CONNECTED
            and self.host_contact is Contact.CONNECTED
        )


@dataclass(frozen=True, slots=True)
class Inventory:
    """All facts of one infrastructure at one moment.

    Attributes:
        endpoint: Where they come from.
        heard_at_ms: When the feed last spoke, even if only to say that nothing changed.
        problem: Why the feed is silent now; None while it speaks.
        version: Product and version of the infrastructure.
        identity: Its own identity, which makes VM identities unique.
        vms: By instance UUID, those found.
        missing: By instance UUID, why a watched VM is not among them.
        vms_in_scope: How many VMs the account sees; none when they were not counted.
    """

    endpoint: str
    heard_at_ms: int | None = None
    problem: StandfastError | None = None
    version: str = ""
    identity: str = ""
    vms: Mapping[str, VmFacts] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    vms_in_scope: int | None = None

    def age_ms(self, now_ms: int) -> int | None:
        """How old every fact here may be; None when nothing was ever heard."""
        return None if self.heard_at_ms is None else now_ms - self.heard_at_ms

    def speaks(self, now_ms: int, age_ms_max: int) -> bool:
        """Whether the feed is alive, so that its facts may be used."""
        age_ms = self.age_ms(now_ms)
        return self.problem is None and age_ms is not None and age_ms <= age_ms_max

    def vm(self, uuid: str, now_ms: int, age_ms_max: int) -> VmFacts:
        """Facts of a VM; all UNKNOWN when the feed is silent or the VM was not found."""
        found = self.vms.get(uuid)
        if found is None:
            return VmFacts(uuid=uuid, name="")
        return found if self.speaks(now_ms, age_ms_max) else VmFacts(uuid=uuid, name=found.name)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A VM was powered off, by a fresh read through a host that is heard.

    Attributes:
        uuid: Instance UUID of the VM.
        vm_name: Its name.
        ordered: True when a power-off that was asked for after this call began ended in success:
            every boot known before the call is over. False when the VM was found off: what that
            says about a boot is for `core.fencing.boot_is_over` to judge.
        task: Identity of that power-off task; empty when found off.
        host_name: The host that says so.
        read_at_ms: When the fresh read was made.
        seen_at: The same for people.
        took_ms: From the call to the proof.
    """

    uuid: str
    vm_name: str
    ordered: bool
    task: str
    host_name: str
    read_at_ms: int
    seen_at: datetime
    took_ms: int

    def sentence(self) -> str:
        """What was seen, for the record."""
        how = f"power-off task {self.task} succeeded" if self.ordered else "found powered off"
        return (
            f"VM {self.vm_name} ({self.uuid}): {how}; read back poweredOff, VM connected, host "
            f"{self.host_name} connected, at {self.seen_at:%Y-%m-%dT%H:%M:%SZ}"
        )


@dataclass(frozen=True, slots=True)
class DiskMoved:
    """A disk is attached to one VM, and to none of the others that were named.

    Attributes:
        vmdk: The disk.
        left: Names of the VMs that had it before.
        to: Name of the VM that has it now.
        attached: False when it had it already.
        took_ms: For all of it.
    """

    vmdk: str
    left: tuple[str, ...]
    to: str
    attached: bool
    took_ms: int


class CredentialsRefusedError(UserError):
    """User name and password are wrong or missing."""


class CertificateRefusedError(UserError):
    """The server's certificate is not trusted, or what should vouch for it does not read."""


class PrivilegeMissingError(UserError):
    """The account lacks a right."""


class NotProvenError(TransientError):
    """The VM may be off, but nothing that was read proves it."""


class PowerTask(Protocol):
    """Is told about a power task before it is waited for, so that it can be persisted."""

    def __call__(self, task: str) -> None:
        """Take the task's identity; called from another thread, returns at once."""
        ...


class Hypervisor(Protocol):
    """One infrastructure, one session."""

    @property
    def inventory(self) -> Inventory:
        """The newest facts. Costs nothing, never blocks."""
        ...

    def watch(self, uuids: frozenset[str]) -> None:
        """Follow exactly these VMs from now on; may be called at any time and often."""
        ...

    async def power_off_with_proof(
        self, uuid: str, budget_ms: int, on_task: PowerTask | None = None
    ) -> Evidence:
        """Power the VM off; returns only when that is proven.

        Safe to call again after any outcome. Never acts on a VM whose identity is ambiguous.

        Raises:
            NotProvenError: Not proven within the budget; the message says what was seen.
            UserError: A right, a password, a certificate, or the identity is wrong.
            TransientError: The infrastructure cannot be asked now.
        """
        ...

    async def verify_off(self, uuid: str) -> Evidence:
        """Read the VM's power afresh, without changing it. Raises as above."""
        ...

    async def clock(self) -> datetime:
        """The infrastructure's own time, now. Raises as above."""
        ...

    async def verify_since(self, uuid: str, since: datetime) -> Evidence:
        """Proof by a power-off task that was asked for at `since` or later, whoever asked.

        Its success, then a fresh read: for an order of an earlier run that did not see the end.

        Args:
            uuid: Instance UUID of the VM.
            since: By the infrastructure's own clock.

        Raises as above; NotProvenError also when there is no such task.
        """
        ...

    async def power_on(self, uuid: str, budget_ms: int) -> None:
        """Power the VM on; true on return. A VM that is on already is left alone."""
        ...

    async def move_disk(
        self,
        vmdk: str,
        uuid: str,
        to: str,
        others: frozenset[str],
        budget_ms: int,
        *,
        still: Callable[[], Awaitable[None]],
    ) -> DiskMoved:
        """Attach a disk to one VM, after it was detached from the others; true on return.

        Safe to call again after any outcome. The caller knows that none of the others may write.

        Args:
            vmdk: The disk in its datastore.
            uuid: What it must be known as in the guest.
            to: Instance UUID of the VM that shall have it.
            others: Instance UUIDs of VMs it may be taken from; no other VM is touched.
            budget_ms: For all of it.
            still: Asked right before it is taken from a VM: whether that is wanted still, because
                looking where it is may have taken long. What it raises ends the move.

        Raises:
            UserError: A snapshot holds it, it has another UUID, a right lacks, ...
            TransientError: Not done within the budget, or the infrastructure cannot be asked now.
        """
        ...

    async def check_rights(self, uuids: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
        """By privilege, the VMs that the account lacks it on; empty means granted everywhere."""
        ...

    async def keep_warm(self) -> None:
        """Prove that power could be switched now: the connection for it works."""
        ...

    async def close(self) -> None:
        """End the session. Idempotent."""
        ...
