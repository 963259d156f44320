"""One connection per `Infrastructure`: opened, kept with its Secret, watched, judged.

A pass over an `Infrastructure` reads its Secret and certificates, opens or updates the connection,
and reports what was found. Clusters ask here for facts about their VMs and for power. The VMs to
watch are those that any cluster names.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.paths import CONFIG_MAPS, SECRETS
from standfast.adapters.vsphere.access import Access
from standfast.adapters.vsphere.scope import Scope
from standfast.adapters.vsphere.vcenter import Vcenter
from standfast.api.infrastructure import Infrastructure, Vsphere
from standfast.controller.store import Key
from standfast.errors import StandfastError, UserError
from standfast.ports.clock import Clock
from standfast.ports.hypervisor import (
    CertificateRefusedError,
    CredentialsRefusedError,
    Inventory,
    VmFacts,
)

SECRET_READ_AGAIN_MS = 60_000
"""A rotated password is taken up within this time, and at once when a login fails."""
RIGHTS_READ_AGAIN_MS = 3_600_000
WARM_MS = 60_000
FACTS_AGE_MS_MAX = 30_000
"""The feed speaks every 20 s even when nothing happens; older facts are no facts."""


@dataclass(slots=True)
class Connected:
    """One infrastructure in use.

    Attributes:
        problem: Why it cannot be used, as found outside the feed (Secret, certificates).
        lacking: By privilege, the VMs that it lacks on; none before the first answer.
    """

    key: Key
    vcenter: Vcenter | None = None
    access: Access | None = None
    scope: Scope | None = None
    problem: StandfastError | None = None
    lacking: Mapping[str, tuple[str, ...]] | None = None
    rights_for: frozenset[str] = frozenset()
    read_at_ms: int = 0
    rights_at_ms: int = 0
    warm_at_ms: int = 0
    warm_problem: StandfastError | None = None
    shown: "_Shown | None" = None
    read_before: tuple[object, ...] = ()
    users: dict[Key, frozenset[str]] = field(default_factory=dict)

    @property
    def inventory(self) -> Inventory:
        if self.vcenter is None:
            return Inventory(endpoint="", problem=self.problem)
        return self.vcenter.inventory

    @property
    def watched(self) -> frozenset[str]:
        return frozenset().union(*self.users.values())

    def trouble(self, now_ms: int) -> StandfastError | None:
        """Why nothing can be asked of it now; none while the feed speaks."""
        if self.problem is not None:
            return self.problem
        inventory = self.inventory
        if inventory.problem is not None:
            return inventory.problem
        return None if inventory.speaks(now_ms, FACTS_AGE_MS_MAX) else SILENT


SILENT = StandfastError("the infrastructure has not been heard yet")
"""Neither trouble nor facts: nothing may be claimed."""


class Infrastructures:
    """All of them.

    Args:
        client: For Secrets and ConfigMaps.
        clock: For ages.
        on_change: Told which infrastructure has news, and whose VMs' facts they are (none: all).
    """

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        on_change: Callable[[Key, frozenset[str] | None], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._on_change = on_change
        self._held: dict[Key, Connected] = {}

    def of(self, key: Key) -> Connected:
        """The connection of an infrastructure, whether it exists yet or not."""
        return self._held.setdefault(key, Connected(key))

    def use(self, key: Key, cluster: Key, uuids: frozenset[str]) -> None:
        """A cluster names these VMs of an infrastructure."""
        held = self.of(key)
        if held.users.get(cluster, frozenset()) == uuids:
            return
        if uuids:
            held.users[cluster] = uuids
        else:
            held.users.pop(cluster, None)
        if held.vcenter is not None:
            held.vcenter.watch(held.watched)
        self._on_change(key, frozenset())

    def unused_by(self, cluster: Key, kept: frozenset[Key] = frozenset()) -> None:
        """A cluster names VMs of these infrastructures only."""
        for key, held in self._held.items():
            if key not in kept and cluster in held.users:
                self.use(key, cluster, frozenset())

    async def open(self, infrastructure: Infrastructure) -> Connected:
        """Bring the connection to what is declared; never raises for what it finds."""
        namespace, name = infrastructure.key
        held = self.of(Key("Infrastructure", namespace, name))
        vsphere = infrastructure.spec.vsphere
        assert vsphere is not None, "the only kind of infrastructure there is"
        now_ms = self._clock.now_ms()
        scope = Scope(vsphere.scope.datacenter or "", vsphere.scope.folder or "")
        try:
            access = await self._access(namespace, vsphere)
        except StandfastError as error:
            held.problem = error
            return held
        held.problem, held.read_at_ms = None, now_ms
        if held.vcenter is not None and (held.scope != scope or _moved(held.access, access)):
            await held.vcenter.close()
            held.vcenter = None
        if held.vcenter is None:
            held.vcenter = self._connect(held, access, scope)
        elif access != held.access:
            held.vcenter.use(access)
        held.access, held.scope = access, scope
        return held

    def is_check_due(self, held: Connected) -> bool:
        """Whether `check` would ask anything."""
        now_ms = self._clock.now_ms()
        return (
            held.warm_problem is not None
            or now_ms - held.warm_at_ms >= WARM_MS
            or held.lacking is None
            or held.rights_for != held.watched
            or now_ms - held.rights_at_ms >= RIGHTS_READ_AGAIN_MS
        )

    async def check(self, held: Connected) -> None:
        """Prove that power could be switched, and hourly that the rights are there (F84)."""
        vcenter = held.vcenter
        if vcenter is None:
            return
        now_ms = self._clock.now_ms()
        try:
            if now_ms - held.warm_at_ms >= WARM_MS or held.warm_problem is not None:
                await vcenter.keep_warm()
                held.warm_at_ms = now_ms
            watched = held.watched
            if (
                held.lacking is None
                or held.rights_for != watched
                or now_ms - held.rights_at_ms >= RIGHTS_READ_AGAIN_MS
            ):
                held.lacking = await vcenter.check_rights(watched)
                held.rights_for, held.rights_at_ms = watched, now_ms
        except StandfastError as error:
            held.warm_problem = error
        else:
            held.warm_problem = None

    def is_news(self, held: Connected) -> bool:
        """Whether what clusters read beside the inventory differs from when last asked."""
        trouble = held.trouble(self._clock.now_ms())
        problems = (trouble, held.warm_problem)
        words = tuple(each.problem if each is not None else "" for each in problems)
        now = (*words, tuple(sorted((held.lacking or {}).items())))
        before, held.read_before = held.read_before, now
        return now != before

    async def drop(self, key: Key) -> None:
        """It is not declared any more."""
        held = self._held.get(key)
        if held is None:
            return
        vcenter, held.vcenter, held.access = held.vcenter, None, None
        held.problem = UserError(
            f"Infrastructure {key.name} does not exist",
            remedy="create it, or correct infrastructureRef",
        )
        if vcenter is not None:
            await vcenter.close()

    async def close(self) -> None:
        for held in self._held.values():
            if held.vcenter is not None:
                await held.vcenter.close()

    def _connect(self, held: Connected, access: Access, scope: Scope) -> Vcenter:
        def changed(inventory: Inventory) -> None:
            shown = _shown(inventory)
            if shown != held.shown:
                before, held.shown = held.shown, shown
                self._on_change(held.key, _changed_vms(before, shown))

        vcenter = Vcenter(access, self._clock, changed, scope)
        vcenter.watch(held.watched)
        vcenter.start()
        return vcenter

    async def _access(self, namespace: str, vsphere: Vsphere) -> Access:
        name = vsphere.credentials_secret_ref.name
        document = await self._client.find(SECRETS, namespace, name)
        if document is None:
            raise CredentialsRefusedError(
                f"Secret {namespace}/{name} with vCenter's user does not exist",
                remedy=f"kubectl create secret generic {name} -n {namespace} "
                "--from-literal=username=… --from-literal=password=…",
            )
        data: Mapping[str, str] = document.get("data") or {}
        missing = [key for key in ("username", "password") if not data.get(key)]
        if missing:
            raise CredentialsRefusedError(
                f"Secret {namespace}/{name} has no key {' and '.join(missing)}",
                remedy=f"kubectl edit secret {name} -n {namespace}",
            )
        return Access(
            server=vsphere.server,
            username=base64.b64decode(data["username"]).decode().strip(),
            password=base64.b64decode(data["password"]).decode().rstrip("\r\n"),
            ca_pem=await self._authorities(namespace, vsphere),
            secret=f"{namespace}/{name}",
        )

    async def _authorities(self, namespace: str, vsphere: Vsphere) -> str:
        ref = vsphere.ca_bundle_config_map_ref
        if ref is None:
            return vsphere.ca_bundle or ""
        document = await self._client.find(CONFIG_MAPS, namespace, ref.name)
        text = ((document or {}).get("data") or {}).get(ref.key, "")
        if not text:
            lacks = "does not exist" if document is None else f"has no key {ref.key}"
            raise CertificateRefusedError(
                f"ConfigMap {namespace}/{ref.name} with vCenter's authorities {lacks}",
                remedy=f"kubectl create configmap {ref.name} -n {namespace} "
                f"--from-file={ref.key}=…",
            )
        return str(text)


def _moved(before: Access | None, after: Access) -> bool:
    return before is not None and before.server != after.server


@dataclass(frozen=True, slots=True)
class _Shown:
    """What of an inventory anybody decides or reports by; not the moment it was heard."""

    common: tuple[object, ...]
    vms: Mapping[str, VmFacts]


def _shown(inventory: Inventory) -> _Shown:
    problem = inventory.problem.problem if inventory.problem is not None else ""
    return _Shown(
        (
            problem,
            inventory.heard_at_ms is not None,
            inventory.version,
            inventory.identity,
            tuple(sorted(inventory.missing.items())),
        ),
        inventory.vms,
    )


def _changed_vms(before: _Shown | None, now: _Shown) -> frozenset[str] | None:
    """The VMs whose facts differ; none, which means all, when more than facts differs."""
    if before is None or before.common != now.common:
        return None
    uuids = before.vms.keys() | now.vms.keys()
    return frozenset(uuid for uuid in uuids if before.vms.get(uuid) != now.vms.get(uuid))
