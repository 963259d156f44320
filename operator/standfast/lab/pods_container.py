"""One container of a pod: started, restarted with back-off, stopped with grace.

Called by `pods_pod`. Everything the API shows of it is `view()`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from standfast.errors import TransientError
from standfast.lab.kube_client import ApiError, Json
from standfast.lab.pods_health import Health
from standfast.lab.pods_probes import Target, passes
from standfast.lab.pods_process import Files, Kept, Order, target_of
from standfast.lab.pods_spec import NotStartableError
from standfast.lab.pods_status import ContainerView, Ended, Running, State, Waiting, now
from standfast.lab.program import Process

RESTART_FIRST_S = 1.0
RESTART_MAX_S = 30.0
STEADY_S = 60.0
"""A container that ran this long starts its back-off anew. All three are shorter than usual."""

RETRY_S = 1.0

log = logging.getLogger(__name__)


class Container:
    """One container.

    Args:
        manifest: Its entry in the pod's spec.
        files: Where its files are.
        restarts_after: Whether it is started again after an exit code, by the pod's policy.
        order: Makes what is to be run, anew for every start: secrets may have changed.
        changed: Called after every change of what `view` shows.
    """

    def __init__(
        self,
        manifest: Json,
        files: Files,
        restarts_after: Callable[[int], bool],
        order: Callable[[Json], Coroutine[Any, Any, Order]],
        changed: Callable[[], None],
    ) -> None:
        self._manifest = manifest
        self._files = files
        self._restarts_after = restarts_after
        self._order = order
        self._changed = changed
        self._state: State = Waiting("ContainerCreating")
        self._last: Ended | None = None
        self._restarts = 0
        self._process: Process | None = None
        self._target: Target | None = None
        self._health: Health | None = None
        self._stopping = asyncio.Event()

    @property
    def name(self) -> str:
        return str(self._manifest["name"])

    def view(self) -> ContainerView:
        """The container at this moment."""
        health = self._health
        return ContainerView(
            name=self.name,
            image=self._manifest["image"],
            state=self._state,
            last=self._last,
            restarts=self._restarts,
            ready=health is not None and health.ready,
            started=health is not None and health.started,
        )

    async def run(self) -> None:
        """Keeps it running as its policy says; returns when it has ended for good."""
        backoff_s = RESTART_FIRST_S
        kept = self._files.kept()
        while not self._stopping.is_set():
            began = time.monotonic()
            ended = await self._attend(kept)
            kept = None
            self._show(ended)
            log.info("Ended container=%s code=%d %s", self.name, ended.code, ended.message)
            if self._stopping.is_set() or not self._restarts_after(ended.code):
                return
            if time.monotonic() - began > STEADY_S:
                backoff_s = RESTART_FIRST_S
            await self._back_off(ended, backoff_s)
            backoff_s = min(2 * backoff_s, RESTART_MAX_S)

    async def stop(self, grace_s: float) -> None:
        """Stops it: `preStop`, SIGTERM, and SIGKILL when `grace_s` is over."""
        self._stopping.set()
        process, target = self._process, self._target
        if process is None:
            return
        deadline = time.monotonic() + grace_s
        hook = self._manifest.get("lifecycle", {}).get("preStop")
        if hook is not None and target is not None:
            await _run_hook(hook, target, grace_s)
        await process.end(max(0.0, deadline - time.monotonic()))

    async def _attend(self, kept: Kept | None) -> Ended:
        """Starts it, or adopts what was started before, and stays with it until it has ended."""
        if kept is not None:
            self._process, self._restarts = kept.process, kept.restarts
        health, order = await self._prepare()
        if kept is None and self._stopping.is_set():
            return Ended(0, "Completed", "stopped before it was started", now(), now())
        if kept is None:
            kept = self._files.spawn(order, self._restarts)
            self._process = kept.process
        pid = await self._files.first_pid(kept.process)
        if pid is not None:
            self._target, self._health = target_of(order, pid), health
            self._show(Running(kept.since))
            await self._watch(kept.process, health, self._target)
        await kept.process.gone()
        self._process = self._target = self._health = None
        return self._files.ending(kept)

    async def _prepare(self) -> tuple[Health, Order]:
        """What to run; while that cannot be known, the container shows why."""
        while True:
            try:
                return Health(self._manifest, self._changed, self._kill), await self._order(
                    self._manifest
                )
            except NotStartableError as error:
                self._show(Waiting(error.reason, error.problem))
            except ApiError as error:
                self._show(Waiting("CreateContainerConfigError", error.problem))
            except TransientError:
                log.info("Waiting for the API server container=%s", self.name)
            await asyncio.sleep(RETRY_S)

    async def _watch(self, process: Process, health: Health, target: Target) -> None:
        async with asyncio.TaskGroup() as group:
            probing = group.create_task(health.watch(target))
            await process.gone()
            probing.cancel()

    async def _back_off(self, ended: Ended, seconds: float) -> None:
        self._last = ended
        self._restarts += 1
        if seconds > RESTART_FIRST_S:
            message = f"back-off {seconds:g}s restarting failed container={self.name}"
            self._show(Waiting("CrashLoopBackOff", message))
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _kill(self, why: str) -> None:
        log.warning("Killing container=%s reason=%s", self.name, why)
        if self._process is not None:
            await self._process.end(10)

    def _show(self, state: State) -> None:
        self._state = state
        self._changed()


async def _run_hook(hook: Json, target: Target, grace_s: float) -> None:
    if "sleep" in hook:
        await asyncio.sleep(min(hook["sleep"]["seconds"], grace_s))
    else:
        await passes(hook, target, grace_s)
