"""systemd's units: started, stopped, killed, and followed by signal rather than by polling.

A job's end comes as the signal JobRemoved, a unit's death as PropertiesChanged, both within
milliseconds. A signal may be read before the answer that names its job: ends of jobs are kept as
long as anybody is waiting for such an answer. Source: org.freedesktop.systemd1(5).
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from dbus_fast import Message, unpack_variants

from standfast.adapters.linux.manager_bus import (
    MANAGER,
    MANAGER_PATH,
    SYSTEMD,
    BusRefusalError,
    ManagerBus,
    unreachable,
)
from standfast.adapters.linux.unit_cgroups import control_group
from standfast.errors import TransientError
from standfast.ports.units import UnitFacts, UnitProcess, UnitState

_UNIT, _SERVICE = f"{SYSTEMD}.Unit", f"{SYSTEMD}.Service"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_NO_SUCH_UNIT = frozenset({f"{SYSTEMD}.NoSuchUnit", f"{SYSTEMD}.NoSuchProcess"})
_SIGKILL = 9
_Follower = tuple[Callable[[UnitState], None], asyncio.Future[None]]


class SystemdUnits:
    """The `Units` port.

    Args:
        bus_address: Address of the bus; None for the system bus of this machine.
    """

    def __init__(self, bus_address: str | None = None) -> None:
        self._bus = ManagerBus(bus_address, self._heard, self._lost)
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._asking = 0
        self._ended: dict[str, str] = {}
        self._followers: dict[str, list[_Follower]] = {}

    async def state(self, unit: str) -> UnitState:
        general = await self._properties(await self._path(unit), _UNIT)
        return UnitState(str(general["ActiveState"]), str(general["SubState"]))

    async def facts(self, unit: str) -> UnitFacts:
        path = await self._path(unit)
        general = await self._properties(path, _UNIT)
        service = await self._properties(path, _SERVICE) if unit.endswith(".service") else {}
        _, load_error = cast("tuple[str, str]", general["LoadError"])
        return UnitFacts(
            state=UnitState(str(general["ActiveState"]), str(general["SubState"])),
            load=str(general["LoadState"]),
            load_error=load_error,
            file=str(general["UnitFileState"]),
            kind=str(service.get("Type", "")),
            restart=str(service.get("Restart", "")),
            remains=bool(service.get("RemainAfterExit", False)),
            triggered_by=tuple(cast("list[str]", general["TriggeredBy"])),
            result=str(service.get("Result", "")),
            exit_status=cast("int", service.get("ExecMainStatus", 0)),
            control_group=_control_group(unit, service),
        )

    async def processes(self, unit: str) -> list[UnitProcess]:
        try:
            (found,) = await self._manager("GetUnitProcesses", "s", unit)
        except BusRefusalError as error:
            if error.name in _NO_SUCH_UNIT:
                return []
            raise unreachable(str(error)) from error
        rows = cast("list[tuple[str, int, str]]", found)
        return [UnitProcess(pid, command) for _, pid, command in rows]

    async def disable(self, unit: str) -> None:
        try:
            await self._manager("DisableUnitFiles", "asb", [unit], False)
            await self._manager("Reload", "")
        except BusRefusalError as error:
            raise TransientError(
                f"systemd does not disable {unit}: {error}", remedy=f"systemctl disable {unit}"
            ) from error

    async def forget_failures(self, unit: str) -> None:
        with contextlib.suppress(BusRefusalError):  # never loaded: nothing to forget
            await self._manager("ResetFailedUnit", "s", unit)

    async def start(self, unit: str) -> str:
        return await self._job("StartUnit", unit)

    async def stop(self, unit: str) -> str:
        return await self._job("StopUnit", unit)

    async def ask_stop(self, unit: str) -> None:
        with contextlib.suppress(BusRefusalError):  # not loaded: nothing to stop
            await self._manager("StopUnit", "ss", unit, "replace")

    async def kill(self, unit: str) -> None:
        with contextlib.suppress(BusRefusalError):  # no process is an error there
            await self._manager("KillUnit", "ssi", unit, "all", _SIGKILL)

    async def follow(self, unit: str, report: Callable[[UnitState], None]) -> None:
        path = await self._path(unit)
        loss: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        follower = (report, loss)
        followers = self._followers.setdefault(path, [])
        try:
            await self._bus.match(
                f"type='signal',sender='{SYSTEMD}',interface='{_PROPERTIES}',path='{path}'"
            )
            report(await self.state(unit))
            followers.append(follower)
            await loss
        finally:
            if follower in followers:
                followers.remove(follower)

    async def close(self) -> None:
        """Drop the connection; the units stay as they are."""
        await self._bus.close()

    async def _manager(self, member: str, signature: str, *body: object) -> list[object]:
        return await self._bus.call(MANAGER_PATH, MANAGER, member, signature, *body)

    async def _path(self, unit: str) -> str:
        """Object of a unit; systemd loads it, and has one for names without a file as well."""
        try:
            (path,) = await self._manager("LoadUnit", "s", unit)
        except BusRefusalError as error:
            raise TransientError(
                f"systemd does not load {unit}: {error}", remedy=f"systemctl status {unit}"
            ) from error
        return str(path)

    async def _properties(self, path: str, interface: str) -> dict[str, object]:
        try:
            (found,) = await self._bus.call(path, _PROPERTIES, "GetAll", "s", interface)
        except BusRefusalError as error:
            raise unreachable(str(error)) from error
        return cast("dict[str, object]", found)

    async def _job(self, member: str, unit: str) -> str:
        """Queue a job and wait for its result.

        A refusal (`BusRefusalError`) counts as a result and is returned as a sentence.
        """
        self._asking += 1
        try:
            try:
                (job,) = await self._manager(member, "ss", unit, "replace")
            except BusRefusalError as error:
                return str(error)
            if str(job) in self._ended:
                return self._ended[str(job)]
        finally:
            self._asking -= 1
            if not self._asking:
                self._ended.clear()
        end = self._jobs.setdefault(str(job), asyncio.get_running_loop().create_future())
        try:
            return await end
        finally:
            self._jobs.pop(str(job), None)

    def _heard(self, signal: Message) -> None:
        if signal.member == "JobRemoved":
            _, job, _, result = signal.body
            if job in self._jobs and not self._jobs[job].done():
                self._jobs[job].set_result(result)
            elif self._asking:
                self._ended[job] = result
        elif signal.member == "PropertiesChanged" and signal.body[0] == _UNIT:
            changed = unpack_variants(signal.body[1])
            if "ActiveState" in changed and signal.path in self._followers:
                state = UnitState(changed["ActiveState"], changed.get("SubState", ""))
                for report, _ in list(self._followers[signal.path]):
                    report(state)

    def _lost(self) -> None:
        for end in self._jobs.values():
            if not end.done():
                end.set_exception(unreachable("the connection was closed"))
        for followers in self._followers.values():
            for _, loss in followers:
                if not loss.done():
                    loss.set_exception(unreachable("the connection was closed"))


def _control_group(unit: str, service: dict[str, object]) -> str:
    """Where the processes of a service are; before its first start, where they will be."""
    if not service:
        return ""
    present = str(service.get("ControlGroup", ""))
    return present or control_group(unit, str(service.get("Slice", "system.slice")))
