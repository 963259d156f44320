"""An agent whose DRBD is in a VM: everything real but its arm, which reaches into the VM.

Started as a process of its own by `drbd_bed`: real member, real quorum, the driver as it is; its
programs run in the VM, /proc/drbd is read there, and DRBD's handlers there ask here.
"""

import asyncio
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_interface
from pathlib import Path

from typing_extensions import override

from standfast.adapters.disks.clearing import Clearing
from standfast.adapters.drbd import keeping
from standfast.adapters.drbd.config import DrbdConfig
from standfast.adapters.drbd.reading import Seen, read_proc
from standfast.adapters.drbd.text import Ends
from standfast.adapters.drbd.tools import Drbd
from standfast.adapters.drivers import DriverHost
from standfast.adapters.drivers.drbd import DrbdDriver
from standfast.adapters.drivers.guarded import Plan
from standfast.adapters.fakes import (
    FakeClock,
    FakeGuard,
    FakeMachine,
    FakePorts,
    FakeUnits,
    FakeWire,
)
from standfast.adapters.linux.programs import Done, Programs
from standfast.agent.agent import Settings
from standfast.agent.allowed import parse
from standfast.agent.machine import Machine, MakeDriver
from standfast.agent.service import serve
from standfast.agent.specs import config_of
from standfast.core.group_spec import Spec
from standfast.errors import TransientError
from standfast.ports.clock import Clock
from standfast.ports.events import EventSink
from tests.integration.drbd_machines import CONTROL, PORT, REPLICATION, RUN

NAME, NUMBER = os.environ.get("DRBD_VM", "a:11").split(":")
SHARE = Path(os.environ.get("DRBD_SHARE", "/nowhere"))
LINE_BYTES = 1 << 20


async def ask(*words: str) -> tuple[int, str, str]:
    """One request to the VM."""
    try:
        reader, writer = await asyncio.open_connection(
            f"{CONTROL}.{NUMBER}", PORT, limit=LINE_BYTES
        )
        try:
            writer.write(json.dumps(words).encode() + b"\n")
            status, out, err = json.loads(await reader.readline())
        finally:
            writer.close()
    except (OSError, ValueError) as error:
        raise TransientError(f"the VM does not answer: {error}") from error
    return int(status), str(out), str(err)


class RemotePrograms(Programs):
    """Programs of the VM."""

    @override
    async def run(self, *argv: str, budget_s: float | None = None) -> Done:
        try:
            async with asyncio.timeout(budget_s and budget_s * 3):
                status, out, err = await ask("run", *argv)
        except TimeoutError as late:
            raise TransientError(f"{' '.join(argv)} was not done in time") from late
        rows = (err.strip() or out.strip()).splitlines()
        return Done(status, "; ".join(rows[-3:])[-400:])


class RemoteDrbd(Drbd):
    """DRBD of the VM."""

    def __init__(self, config: DrbdConfig) -> None:
        super().__init__(config)
        self._programs = RemotePrograms()

    @override
    async def seen(self) -> Seen:
        _, proc, _ = await ask("read", "/proc/drbd")
        return read_proc(proc, self._config.minor)

    @override
    async def is_blank(self) -> bool:
        done = await self._programs.run("blkid", "-p", str(self._config.disk))
        return done.status != 0


class RemoteClearing(Clearing):
    """Ends what uses the device in the VM."""

    @override
    async def hard(self, paths: tuple[Path, ...], point: Path | None) -> None:
        del paths, point
        await ask("clear")


async def take_questions(socket: Path) -> None:
    """What DRBD's handlers in the VM ask, taken to the driver's socket."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            row = await reader.readline()
            mine, ours = await asyncio.open_unix_connection(str(socket))
            ours.write(row)
            writer.write(await mine.readline())
            await writer.drain()
            ours.close()
        except OSError:
            pass  # DRBD's handler asks again
        writer.close()

    await asyncio.start_server(take, f"{CONTROL}.1", PORT + int(NUMBER))


class RemoteDriver(DrbdDriver):
    """The driver, with its arm in the VM."""

    def __init__(self, config: DrbdConfig, host: DriverHost) -> None:
        super().__init__(config, host)
        self._clearing = RemoteClearing(RemotePrograms())
        self._taking = asyncio.get_running_loop().create_task(take_questions(config.socket))


def ends_of(config: DrbdConfig, mine: Iterable[str], theirs: Iterable[str]) -> Ends:
    """The copies are in the VMs, not where the agents are: the last byte is the same."""
    del config
    last = [next(iter(hosts)).rpartition(".")[2] for hosts in (mine, theirs)]
    return Ends(f"{REPLICATION}.{last[0]}", f"{REPLICATION}.{last[1]}")


def _no_problem(config: DrbdConfig) -> str:
    """The disk is in the VM."""
    del config
    return ""


def main() -> None:
    settings = Settings.from_environment()
    vars(keeping).update(Drbd=RemoteDrbd, ends_of=ends_of, disk_problem=_no_problem)

    def drivers(clock: Clock, sink: EventSink, plan: Plan) -> MakeDriver:
        del plan  # the guard is not what is tested here
        machine = FakeMachine(FakeClock(), FakeWire(), ip_interface("10.0.0.1/24"))
        host = DriverHost(clock, sink, machine, machine, machine, machine, FakeUnits())

        def make(spec: Spec) -> DrbdDriver:
            config = config_of(spec)
            assert isinstance(config, DrbdConfig)
            places = replace(
                config,
                etc=SHARE / "drbd.d",
                state=settings.state.parent / "drbd",
                run=Path(RUN.format(name=NAME)),
            )
            return RemoteDriver(places, host)

        return make

    guard = FakeGuard()
    allowed = parse('[allow]\ndirectories = ["/srv"]\ndevices = ["/dev/mapper/*"]\n')
    serve(settings, Machine(drivers, lambda member: guard, FakePorts, lambda: allowed))


if __name__ == "__main__":
    main()
