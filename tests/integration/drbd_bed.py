"""A pair of agents whose DRBD is in two full VMs, a witness, and an operator to ask them.

A node is a VM and an agent's process that reaches into it; its power is cut to both at once.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import yaml
from typing_extensions import override

from standfast.api.parse import parse
from standfast.api.resource import HAResource
from standfast.controller.groups import to_wire
from standfast.core.record import DataMode, MemberKind
from standfast.core.timing import Profile
from standfast.wire import api
from standfast.wire.resources import Drbd
from tests.integration.drbd_machines import DrbdVm, Network, OrderError
from tests.integration.member_bed import NET, ROOT, Bed, Party

EXAMPLE = ROOT / "examples/04-drbd-mariadb/resources.yaml"
PATIENCE_S = 240.0
"""Emulated machines on a busy one: nothing is measured against it."""


def device() -> Drbd:
    """That of the example, with the patience of emulated machines."""
    for document in yaml.safe_load_all(EXAMPLE.read_text()):
        metadata = {"namespace": "test", "uid": "test", **document["metadata"]}
        resource = parse(HAResource, {**document, "metadata": metadata})
        made = to_wire(resource.metadata.name, resource.spec)
        if isinstance(made, Drbd):
            return msgspec.structs.replace(made, start_timeout_ms=240_000, stop_timeout_ms=60_000)
    raise AssertionError(f"no drbd in {EXAMPLE}")


@dataclass
class VmParty(Party):
    """A node: its agent here, its DRBD in a VM."""

    vm: DrbdVm | None = None

    @override
    def start(self) -> None:
        vm = self.vm
        assert vm is not None
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
            "STANDFAST_STATE": str(self.directory / "state"),
            "STANDFAST_RUN": str(self.directory / "run"),
            "STANDFAST_BUNDLE": str(self.directory / "bundle.json"),
            "STANDFAST_REAL_TIME": "no",
            "DRBD_VM": f"{vm.name}:{vm.number}",
            "DRBD_SHARE": str(vm.share),
        }
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.drbd_process"],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )


@dataclass
class DrbdBed:
    """The pair."""

    directory: Path
    vms: dict[str, DrbdVm] = field(init=False)
    net: Network = field(default_factory=Network)
    bed: Bed = field(init=False)

    def __post_init__(self) -> None:
        self.vms = {
            name: DrbdVm(name, number, self.directory / name)
            for name, number in (("a", 11), ("b", 12))
        }
        parties: dict[str, Party] = {
            name: VmParty(
                name, f"{NET}.7.{vm.number}", vm.directory / "agent", MemberKind.DATA, vm=vm
            )
            for name, vm in self.vms.items()
        }
        witness = self.directory / "w"
        parties["w"] = Party("w", f"{NET}.7.13", witness, MemberKind.WITNESS)
        self.bed = Bed(
            self.directory,
            7,
            timing=Profile.TOLERANT.timing,
            data=DataMode.REPLICATED,
            parties=parties,
            answer_s=PATIENCE_S,
        )

    async def up(self) -> None:
        """Switch everything on; the device is declared, with nothing on it."""
        self.net.up(tuple(self.vms.values()))
        for vm in self.vms.values():
            vm.directory.mkdir(parents=True, exist_ok=True)
            vm.on()
        for vm in self.vms.values():
            await asyncio.to_thread(vm.until_up, PATIENCE_S)
        await asyncio.gather(*(self.bed.enrol(each) for each in self.bed.parties.values()))
        await self.bed.configure()
        await self.bed.declare(device())

    async def close(self) -> None:
        await self.bed.close()
        for vm in self.vms.values():
            vm.off()
        self.net.down(tuple(self.vms.values()))

    def power_cut(self, name: str) -> None:
        """VM and agent are gone in one moment."""
        self.vms[name].off()
        self.bed.parties[name].signal(signal.SIGKILL)

    async def boot(self, name: str) -> None:
        vm = self.vms[name]
        vm.on()
        await asyncio.to_thread(vm.until_up, PATIENCE_S)
        self.bed.parties[name].start()

    async def active(self, besides: str = "") -> str:
        """The node on which the device runs."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for name in set(self.vms) - {besides}:
                    with contextlib.suppress(Exception):
                        status = await self.bed.status(self.bed.parties[name])
                        if any(each.state == "Running" for each in status.resources):
                            return name
                await asyncio.sleep(0.3)

    def other(self, name: str) -> str:
        return "b" if name == "a" else "a"

    async def until_in_sync(self, name: str, count: int) -> api.MemberStatus:
        """Until the record, as this node has it, counts so many nodes."""
        party = self.bed.parties[name]
        return await self.bed.until(party, lambda s: len(s.in_sync) == count, PATIENCE_S)

    async def until_compared(self, name: str) -> None:
        """Until this node says that both copies were compared, and that they are the same."""

        def told(status: api.MemberStatus) -> bool:
            (device,) = status.resources
            return device.replication is not None and "compared" in device.replication.message

        status = await self.bed.until(self.bed.parties[name], told, PATIENCE_S)
        assert "CopiesDiffer" not in {alert.reason for alert in status.alerts}

    def proc(self, name: str) -> str:
        """What DRBD in that VM says now; empty when nobody answers."""
        with contextlib.suppress(OrderError, OSError, ValueError):
            return self.vms[name].ask("read", "/proc/drbd", timeout_s=10)[1]
        return ""

    def acknowledged(self, name: str) -> list[tuple[int, int]]:
        """Numbers that the writer in that VM was told are safe, with the milliseconds it took."""
        file = self.vms[name].share / "acknowledged"
        rows = file.read_text().splitlines() if file.exists() else []
        pairs = (row.split() for row in rows)
        return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]
