"""A disk that every VM has, and that its storage lets one of them write to.

The storage itself is asked to shut everybody else out (a SCSI-3 persistent reservation), so a
takeover needs neither vCenter nor the old node: as soon as this node has won the lease it throws
the others out, and that is the proof `Reserved` for this disk. What the old node still has under
way is ended by the storage, and what it sends later is refused, whatever its clock says.

A stop gives the reservation back once nothing uses the disk any more, except while somebody is
suspected of running still: he is shut out by it alone. A reboot does not give it back, and need
not: the next holder takes it.

That another node took it is seen by asking; then the lease is over, and everything stops.
"""

import asyncio
from pathlib import Path

from standfast.adapters.disks import keys
from standfast.adapters.disks.config import ReservedDiskConfig
from standfast.adapters.disks.keys import Key, key_of
from standfast.adapters.disks.reservation import Abilities, OutrankedError, Reservation
from standfast.adapters.drivers.host import DriverHost
from standfast.adapters.drivers.shared_disk import SharedDiskDriver, nodes_of
from standfast.adapters.linux.programs import Programs
from standfast.errors import StandfastError, TransientError, UserError
from standfast.ports.events import Alert
from standfast.ports.resource import Change, Claim, Health, Report, ResourceState, Verdict

LOOK_S = 1.0
"""Between two questions whether this node still has it. Nothing hangs on it: what another node
took is refused by the storage at once."""
FLUSH_S = 5.0
VOLATILE = "ReservationVolatile"


class ReservedDiskDriver:
    """The `ResourceDriver` of one disk, and `Excluding`."""

    def __init__(self, config: ReservedDiskConfig, host: DriverHost) -> None:
        self._config = config
        self._host = host
        self._programs = Programs()
        self._reservation = Reservation(config.name, self._programs)
        self._disk = SharedDiskDriver(config.disk, host)
        self._claim: Claim | None = None
        self._held: Key | None = None
        self._one_at_a_time = asyncio.Lock()

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def disk(self) -> str:
        return self._config.uuid

    # ---------------------------------------------------------------- Excluding

    def claim(self, claim: Claim) -> None:
        self._claim = claim

    async def exclude(self) -> bool:
        async with self._one_at_a_time:
            return await self._take()

    # ---------------------------------------------------------------- ResourceDriver

    async def probe(self) -> ResourceState:
        return await self._disk.probe()

    async def start(self, lease_until_ms: int | None) -> None:
        async with self._one_at_a_time:
            await self._take()
            await self._forget_what_was_read()
        await self._disk.start(lease_until_ms)

    async def stop(self, budget_ms: int) -> None:
        await self._disk.stop(budget_ms)
        async with self._one_at_a_time:
            await self._give_back()

    async def kill(self) -> None:
        await self._disk.kill()

    def extend(self, lease_until_ms: int) -> None:
        """The reservation ends with nobody's lease: the next holder takes it."""

    async def watch(self, report: Report) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._disk.watch(report))
            both.create_task(self._watch_reservation(report))

    async def check(self) -> Health:
        health = await self._disk.check()
        if health.verdict is not Verdict.UP:
            return health
        try:
            async with self._one_at_a_time:
                lost = await self._lost()
        except OutrankedError as error:
            return Health(Verdict.GONE, error.problem)
        except StandfastError as error:
            return Health(Verdict.UNKNOWN, error.problem)
        return Health(Verdict.GONE, lost) if lost else health

    async def ready(self) -> list[str]:
        try:
            await self._abilities()
        except StandfastError as error:
            return [f"{error.problem} ({error.remedy})" if error.remedy else error.problem]
        return []

    async def concerns(self) -> list[Alert]:
        try:
            abilities = await self._abilities()
        except StandfastError:
            return []  # `ready` says so
        if abilities.persists:
            return []
        return [
            Alert(
                VOLATILE,
                f"the storage of {self._config.uuid} forgets reservations when it loses power, so "
                f"one is no proof: HAResource {self.name} is taken over only when the old node is "
                "proven off otherwise",
                "keep fencing.policy: WhenNeeded with an Infrastructure that can power VMs off, "
                "or use storage that reports PTPL_C: 1 (sg_persist --report-capabilities)",
            )
        ]

    async def close(self) -> None:
        await self._programs.end()
        await self._disk.close()

    # ---------------------------------------------------------------- the reservation

    def _device(self) -> Path:
        device = self._disk.device()
        if device is None:
            raise TransientError(
                f"{self.name}: disk {self._config.uuid} is not attached to this VM",
                remedy="attach it to every VM of the HACluster, and set disk.EnableUUID = TRUE in "
                f"their settings; then ls -l {self._config.disk.paths[0]}",
            )
        if device.resolve().name.startswith("dm-"):
            raise UserError(
                f"{self.name}: {device} is a device with several paths, and a reservation holds "
                "for one path only",
                remedy="give the VMs one path to the disk, as a VMDK has",
            )
        return device

    async def _abilities(self) -> Abilities:
        async with self._one_at_a_time:
            return await self._reservation.abilities(self._device())

    def _key(self) -> Key:
        if self._claim is None:
            raise TransientError(f"{self.name}: there is no lease under which the disk is taken")
        return key_of(self._claim)

    async def _take(self) -> bool:
        device, key = self._device(), self._key()
        stays = await self._reservation.take(device, key)
        self._held = key
        fields = {"resource": self.name, "device": str(device), "key": key.text}
        self._host.sink.note("DiskReserved", "The storage keeps the disk for this node", fields)
        return stays

    async def _forget_what_was_read(self) -> None:
        """What this machine has in memory of the disk may be older than what is on it."""
        for node in nodes_of(self._device()):
            done = await self._programs.run("blockdev", "--flushbufs", str(node), budget_s=FLUSH_S)
            if done.status != 0:
                raise TransientError(
                    f"{self.name}: what was read of {node} cannot be dropped: {done.said}",
                    remedy="dmesg | tail",
                )

    async def _give_back(self) -> None:
        claim, held, device = self._claim, self._held, self._disk.device()
        if claim is None or held is None or claim.suspected or device is None:
            return
        try:
            await self._reservation.give_back(device, held)
        except StandfastError as error:  # nothing uses it; the next holder takes it all the same
            fields = {"resource": self.name, "error": error.problem}
            self._host.sink.note("DiskNotGivenBack", "The reservation stays", fields)
        else:
            self._held = None

    async def _lost(self) -> str:
        """What became of the reservation; empty while this node has it."""
        device, key = self._device(), self._held
        if key is None:
            return f"{device} is not reserved for this node"
        held = await self._reservation.is_held(device, key)
        if held.holder == key.value and key.value in held.keys:
            if await self._reservation.is_granted(device, key):
                return ""
            held = await self._reservation.is_held(device, key)  # it was taken just now, perhaps
        if held.holder is None:
            return f"{device} is not reserved any more: its storage forgot it, or it was cleared"
        if held.holder == key.value:
            return (
                f"{device} is reserved under {key.text}, the key of this node, but its storage "
                "refuses this node: it knows it under another name since it connected anew"
            )
        return f"{device} is reserved under {keys.text(held.holder)} now, not {key.text}"

    async def _watch_reservation(self, report: Report) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._disk.is_up or self._one_at_a_time.locked():
                continue
            change, lost = await self._look()
            if lost and self._disk.is_up:
                self._disk.give_up(report, change, lost)

    async def _look(self) -> tuple[Change, str]:
        async with self._one_at_a_time:
            try:
                return Change.DIED, await self._lost()
            except OutrankedError as error:
                return Change.OUSTED, error.problem
            except StandfastError:
                return Change.DIED, ""  # it cannot be asked now; `check` tells that
