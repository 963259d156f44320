"""Passes over what clusters stand on: `Infrastructure` and `Witness` objects, and their status."""

from standfast.adapters.vsphere.vcenter import PRIVILEGES
from standfast.api.cluster import HACluster
from standfast.api.conditions import ConditionType
from standfast.api.infrastructure import Infrastructure, InfrastructureStatus, Privilege
from standfast.api.scalars import Truth
from standfast.api.witness import Witness, WitnessMembership, WitnessStatus
from standfast.controller.infrastructures import (
    SECRET_READ_AGAIN_MS,
    WARM_MS,
    Connected,
)
from standfast.controller.parts import Parts
from standfast.controller.statuses import Judged
from standfast.controller.store import Key, read_held
from standfast.controller.witnesses import Found, look_again_ms
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.errors import StandfastError, UserError
from standfast.ports.hypervisor import (
    CertificateRefusedError,
    CredentialsRefusedError,
    PrivilegeMissingError,
)

TROUBLED_MS = 5_000
"""While something is wrong, Secret and certificates are read again this often."""
SHOWN_MAX = 256
"""How many of its clusters a `Witness` shows; it serves more."""


async def look_at_infrastructure(parts: Parts, key: Key) -> int | None:
    """One pass over an `Infrastructure`."""
    held = parts.store.held(key)
    if held is None:
        await parts.infrastructures.drop(key)
        _tell_clusters(parts, key)
        return None
    judged = Judged(key, held)
    infrastructure = read_held(Infrastructure, held)
    if isinstance(infrastructure, UserError):
        await parts.statuses.refuse(judged, infrastructure)
        return None
    connected = await parts.infrastructures.open(infrastructure)
    if connected.inventory.problem is None and connected.inventory.heard_at_ms is not None:
        _check(parts, key, connected)
    status = _infrastructure_status(judged, infrastructure, connected, parts.clock.now_ms())
    await parts.statuses.write(judged, status)
    _tell_news(parts, key, connected)
    trouble = connected.trouble(parts.clock.now_ms())
    return TROUBLED_MS if trouble is not None else min(SECRET_READ_AGAIN_MS, WARM_MS)


def _check(parts: Parts, key: Key, connected: Connected) -> None:
    """Rights and the fencing connection, beside the pass: they ask vCenter."""
    if not parts.infrastructures.is_check_due(connected):
        return

    async def act() -> None:
        await parts.infrastructures.check(connected)
        _tell_news(parts, key, connected)

    parts.errands.want(key, ("check",), act)


def _tell_news(parts: Parts, key: Key, connected: Connected) -> None:
    """Clusters look again if something is different that the feed has not told them."""
    if parts.infrastructures.is_news(connected):
        _tell_clusters(parts, key)


def _tell_clusters(parts: Parts, key: Key) -> None:
    """Clusters that name this infrastructure look again."""
    for cluster in parts.infrastructures.of(key).users:
        parts.queue.add(cluster)


def _infrastructure_status(
    judged: Judged, infrastructure: Infrastructure, connected: Connected, now_ms: int
) -> InfrastructureStatus:
    inventory = connected.inventory
    trouble = connected.trouble(now_ms)
    ready = _ready(connected, trouble)
    is_stalled = isinstance(trouble, UserError)
    before = infrastructure.status
    return InfrastructureStatus(
        observed_generation=infrastructure.metadata.generation,
        version=inventory.version or before.version,
        instance_uuid=inventory.identity or before.instance_uuid,
        virtual_machines=inventory.vms_in_scope
        if inventory.vms_in_scope is not None
        else before.virtual_machines,
        privileges=_privileges(connected),
        message=ready.message,
        conditions=judged.claimed(
            {
                ConditionType.READY: ready,
                ConditionType.PRIVILEGED: _privileged(connected),
                ConditionType.RECONCILING: ready
                if trouble is not None and not is_stalled
                else None,
                ConditionType.STALLED: Claim(True, ready.reason, ready.message, ready.remedy)
                if is_stalled
                else None,
            }
        ),
    )


def _ready(connected: Connected, trouble: StandfastError | None) -> Claim:
    if trouble is None:
        return Claim(
            True,
            Reason.LISTENING,
            f"vCenter {connected.inventory.endpoint} answers and sends updates",
        )
    if isinstance(trouble, UserError):
        return Claim(False, _reason(trouble), trouble.problem, trouble.remedy)
    if connected.inventory.heard_at_ms is None and connected.inventory.problem is None:
        return Claim(None, Reason.CONNECTING, "the first connection is being made")
    return Claim(
        False,
        Reason.UNREACHABLE,
        f"{trouble.problem}; power and hosts of VMs are unknown, agents fail over without it",
        trouble.remedy or "check the network between the operator and vCenter",
    )


def _reason(trouble: UserError) -> Reason:
    match trouble:
        case CredentialsRefusedError():
            return Reason.CREDENTIALS_REFUSED
        case CertificateRefusedError():
            return Reason.CERTIFICATE_REFUSED
        case PrivilegeMissingError():
            return Reason.PRIVILEGE_MISSING
        case _:
            return Reason.REFERENCE_MISSING


def _privileged(connected: Connected) -> Claim:
    if connected.lacking is None:
        return Claim(None, Reason.CONNECTING, "vCenter was not asked yet")
    lacking = {name: vms for name, vms in connected.lacking.items() if vms}
    if not lacking:
        return Claim(True, Reason.PRIVILEGED, "every right that is needed was found granted")
    name, vms = next(iter(lacking.items()))
    return Claim(
        False,
        Reason.PRIVILEGE_MISSING,
        f"{name} lacks on {', '.join(vms)}: needed for {PRIVILEGES[name]}",
        f"grant {name} on the VMs' folder, propagating",
    )


def _privileges(connected: Connected) -> tuple[Privilege, ...]:
    lacking = connected.lacking
    return tuple(
        Privilege(
            name=name,
            granted=Truth.of(None if lacking is None else not lacking.get(name)),
            needed_for=needed_for,
        )
        for name, needed_for in PRIVILEGES.items()
    )


async def look_at_witness(parts: Parts, key: Key) -> int | None:
    """One pass over a `Witness`."""
    held = parts.store.held(key)
    if held is None:
        parts.witnesses.drop(key)
        return None
    judged = Judged(key, held)
    witness = read_held(Witness, held)
    if isinstance(witness, UserError):
        await parts.statuses.refuse(judged, witness)
        return None
    if witness.metadata.deletion_timestamp is not None:
        return None
    found = await parts.witnesses.provide(witness)
    await parts.statuses.write(judged, _witness_status(parts, judged, witness, found))
    return look_again_ms(found)


def _witness_status(parts: Parts, judged: Judged, witness: Witness, found: Found) -> WitnessStatus:
    namespace, name = witness.key
    users = [
        cluster
        for cluster in parts.store.all(HACluster, namespace)
        if any(ref.name == name for ref in cluster.spec.witnesses)
    ]
    ready = _witness_ready(found, is_used=bool(users))
    is_stalled = found.problem is not None and found.problem.reason in {
        Reason.NAME_CONFLICT,
        Reason.IMAGE_MISSING,
    }
    said = found.said
    return WitnessStatus(
        observed_generation=witness.metadata.generation,
        type="managed" if witness.spec.managed is not None else "agent",
        addresses=found.addresses,
        version=said.agent_version if said is not None else witness.status.version,
        clusters=tuple(_membership(cluster, name) for cluster in users[:SHOWN_MAX]),
        message=ready.message,
        conditions=judged.claimed(
            {
                ConditionType.READY: ready,
                ConditionType.RECONCILING: ready
                if ready.holds is not True and not is_stalled
                else None,
                ConditionType.STALLED: found.problem
                and Claim(True, found.problem.reason, found.problem.message, found.problem.remedy)
                if is_stalled
                else None,
            }
        ),
    )


def _membership(cluster: HACluster, witness: str) -> WitnessMembership:
    shown = next((each for each in cluster.status.witnesses if each.name == witness), None)
    return WitnessMembership(
        name=cluster.metadata.name,
        member_uid=shown.member_uid if shown is not None else None,
        reachable=shown.reachable if shown is not None else Truth.UNKNOWN,
    )


def _witness_ready(found: Found, *, is_used: bool) -> Claim:
    if found.problem is not None:
        return found.problem
    if found.answers is None:
        return Claim(None, Reason.CONNECTING, "the witness was not asked yet")
    if not found.answers:
        return Claim(
            False,
            Reason.NOT_ANSWERING,
            found.answer_problem,
            "check that it runs and that TCP port 7380 is open",
        )
    use = "" if is_used else "; no HACluster lists it"
    where = ", ".join(found.addresses)
    return Claim(True, Reason.ANSWERING, f"the witness answers at {where}{use}")
