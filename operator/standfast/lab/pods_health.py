"""Whether a running container has started, is ready and lives, by its probes.

One `Health` lives as long as one process of a container. The rules are the kubelet's with one
exception: until a container has passed for the first time, startup and readiness are tried more
often than their periods say, though for no longer in all, because people wait for them.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from standfast.lab.kube_client import Json
from standfast.lab.pods_probes import Probe, Target, passes

EAGER_S = 0.25


class Health:
    """The probes of one container.

    Args:
        manifest: Its entry in the pod's spec.
        changed: Called when `started` or `ready` has changed.
        kill: Ends the container, with the reason; returns when it is gone.

    Raises:
        NotStartableError: A probe is of a kind that the lab does not know, or of no port.
    """

    def __init__(
        self,
        manifest: Json,
        changed: Callable[[], None],
        kill: Callable[[str], Coroutine[Any, Any, None]],
    ) -> None:
        ports = {port.get("name") for port in manifest.get("ports", [])}
        self._startup, self._readiness, self._liveness = (
            Probe.of(manifest[key], ports) if key in manifest else None
            for key in ("startupProbe", "readinessProbe", "livenessProbe")
        )
        self._changed = changed
        self._kill = kill
        self.started = self._startup is None
        self.ready = self.started and self._readiness is None

    async def watch(self, target: Target) -> None:
        """Tries the container until it is cancelled."""
        if self._startup is not None:
            if not await self._starts_in_time(self._startup, target):
                await self._kill("startup probe failed")
                return
            self.started = True
            self.ready = self._readiness is None
            self._changed()
        await asyncio.gather(self._watch_readiness(target), self._watch_liveness(target))

    async def _watch_readiness(self, target: Target) -> None:
        probe = self._readiness
        if probe is None:
            return
        await asyncio.sleep(probe.delay_s)
        last, in_a_row, passed_once = False, 0, False
        while True:
            good = await passes(probe.action, target, probe.timeout_s)
            in_a_row = in_a_row + 1 if good == last else 1
            last, passed_once = good, passed_once or good
            if good != self.ready and in_a_row >= (probe.successes if good else probe.failures):
                self.ready = good
                self._changed()
            await asyncio.sleep(probe.period_s if passed_once else min(EAGER_S, probe.period_s))

    async def _watch_liveness(self, target: Target) -> None:
        probe = self._liveness
        if probe is None:
            return
        await asyncio.sleep(probe.delay_s)
        while True:
            if not await self._passes_in_time(probe, target):
                await self._kill("liveness probe failed")
                return
            await asyncio.sleep(probe.period_s)

    async def _starts_in_time(self, probe: Probe, target: Target) -> bool:
        await asyncio.sleep(probe.delay_s)
        deadline = time.monotonic() + probe.failures * probe.period_s
        while True:
            if await passes(probe.action, target, probe.timeout_s):
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(min(EAGER_S, probe.period_s))

    async def _passes_in_time(self, probe: Probe, target: Target) -> bool:
        """Tries until it has passed once (True) or failed as often in a row as it may (False)."""
        for attempt in range(probe.failures):
            if attempt:
                await asyncio.sleep(probe.period_s)
            if await passes(probe.action, target, probe.timeout_s):
                return True
        return False
