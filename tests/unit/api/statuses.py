"""A full status of each kind: every field set, as the operator might write it.

Used to show that the API server takes what the models write, and to render screens from.
"""

from datetime import UTC, datetime

from standfast.api.base import Model
from standfast.api.cluster_status import (
    Alert,
    Decision,
    Enrolment,
    HAClusterStatus,
    LastFailover,
    NodeResource,
    NodeStatus,
    PathStatus,
    PowerState,
    ProofStatus,
    Role,
    TimingStatus,
    WitnessMember,
)
from standfast.api.conditions import Condition, ConditionType, with_condition
from standfast.api.infrastructure import InfrastructureStatus, Privilege
from standfast.api.record import DataLoss, FailoverRecordStatus, LossKnown, ProofUsed
from standfast.api.resource import HAResourceStatus, ResourceOnNode, ResourceState
from standfast.api.scalars import Truth
from standfast.api.switchover import Step, SwitchoverPhase, SwitchoverStatus
from standfast.api.witness import WitnessMembership, WitnessStatus
from standfast.core.record import Proof

AT = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
UID_A = "0b0f5d0e-6a38-4f2c-9d43-2f3b1a6f7a01"
UID_B = "0b0f5d0e-6a38-4f2c-9d43-2f3b1a6f7a02"
UID_W = "0b0f5d0e-6a38-4f2c-9d43-2f3b1a6f7a03"
BOOT = "7e1c7c0e-3c6f-4e8e-9a53-52d7f4b0c001"


def conditions(*claims: tuple[ConditionType, bool | None, str, str]) -> tuple[Condition, ...]:
    """Conditions from (type, status, reason, message), all since `AT`."""
    held: tuple[Condition, ...] = ()
    for kind, status, reason, message in claims:
        held = with_condition(
            held, kind, status, reason=reason, message=message, generation=1, now=AT
        )
    return held


def _paths(*peers: tuple[str, str]) -> tuple[PathStatus, ...]:
    return tuple(PathStatus(peer=peer, address=address, up=Truth.TRUE) for peer, address in peers)


def _node(name: str, uid: str, role: Role, state: ResourceState, peer: str) -> NodeStatus:
    other = "12" if name == "vm-a" else "11"
    return NodeStatus(
        name=name,
        member_uid=uid,
        enrolment=Enrolment.ENROLLED,
        role=role,
        reachable=Truth.TRUE,
        boot_id=BOOT,
        agent_version="0.1.0",
        certificate_not_after=AT,
        paths=_paths(
            (peer, f"10.77.1.{other}:7380"),
            (peer, f"10.77.2.{other}:7380"),
            ("third", "10.77.0.10:7380"),
        ),
        eligible=Truth.TRUE,
        in_sync=Truth.TRUE,
        vm_name=name,
        power_state=PowerState.ON,
        host="esx-1.lab" if name == "vm-a" else "esx-2.lab",
        resources=(
            NodeResource(name="web", type="systemd", state=state),
            NodeResource(name="web-vip", type="vip", state=state, message="10.77.1.100/24"),
        ),
    )


CLUSTER = HAClusterStatus(
    observed_generation=1,
    active="vm-a",
    term=3,
    standbys="1/1",
    witness="1/1",
    nodes=(
        _node("vm-a", UID_A, Role.ACTIVE, ResourceState.RUNNING, "vm-b"),
        _node("vm-b", UID_B, Role.STANDBY, ResourceState.STOPPED, "vm-a"),
    ),
    witnesses=(
        WitnessMember(
            name="third",
            member_uid=UID_W,
            enrolment=Enrolment.ENROLLED,
            role=Role.WITNESS,
            reachable=Truth.TRUE,
            boot_id=BOOT,
            agent_version="0.1.0",
        ),
    ),
    proofs=(
        ProofStatus(proof=Proof.RELEASED, available=Truth.TRUE, message="asks the old node"),
        ProofStatus(
            proof=Proof.POWERED_OFF,
            available=Truth.TRUE,
            expected_ms=900,
            message="vCenter answers and grants VirtualMachine.Interact.PowerOff",
        ),
    ),
    timing=TimingStatus(
        profile="Normal",
        heartbeat_ms=200,
        ttl_ms=1500,
        guard_ms=700,
        expected_failover_ms=1900,
        measured_failover_ms=1640,
    ),
    config_id="1.2",
    resources=2,
    last_failover=LastFailover(
        time=AT, from_="vm-b", to="vm-a", term=3, planned=False, took_ms=1640, record="web-3"
    ),
    decision=Decision(reason="Steady", message="vm-a holds the lease for term 3."),
    conditions=conditions(
        (ConditionType.READY, True, "Serving", "vm-a serves all 2 resources."),
        (
            ConditionType.PROTECTED,
            True,
            "FailoverPossible",
            "If vm-a died now, vm-b would serve in about 1.9 s and nothing would be lost.",
        ),
        (ConditionType.QUORATE, True, "AllAnswer", "3 of 3 voters answer."),
        (ConditionType.DEGRADED, False, "NothingMissing", "Nothing is missing."),
    ),
)

TROUBLED = CLUSTER.model_copy(
    update={
        "standbys": "0/1",
        "witness": "0/1",
        "nodes": (
            CLUSTER.nodes[0],
            NodeStatus(
                name="vm-b",
                member_uid=UID_B,
                enrolment=Enrolment.ENROLLED,
                reachable=Truth.FALSE,
                eligible=Truth.FALSE,
                ineligible_reasons=("web.service does not exist on vm-b.",),
                power_state=PowerState.OFF,
                alerts=(
                    Alert(
                        reason="UnitMissing",
                        message="web.service does not exist on vm-b.",
                        remedy="install the unit on vm-b, then systemctl daemon-reload",
                    ),
                ),
            ),
        ),
        "witnesses": (WitnessMember(name="third", enrolment=Enrolment.ENROLLED),),
        "decision": Decision(
            reason="NoStandby",
            message="vm-b is off and the witness is silent.",
            remedy="switch vm-b on",
        ),
        "conditions": (
            *conditions(
                (ConditionType.READY, True, "Serving", "vm-a serves all 2 resources."),
                (
                    ConditionType.QUORATE,
                    False,
                    "MajorityLost",
                    "1 of 3 voters answers; 2 are needed.",
                ),
                (ConditionType.FENCE_READY, None, "NoContact", "vCenter has not answered."),
            ),
            with_condition(
                (),
                ConditionType.PROTECTED,
                False,
                reason="NoStandby",
                message="If vm-a died now, nobody would serve.",
                remedy="switch vm-b on",
                generation=1,
                now=AT,
            )[0],
        ),
    }
)

STEPS = (
    Step(name="Preparing", started_at=AT, took_ms=40, message="vm-b can serve"),
    Step(name="Releasing", started_at=AT.replace(microsecond=40_000), took_ms=210),
    Step(name="Starting", started_at=AT.replace(microsecond=250_000), took_ms=180),
)

SWITCHOVER = SwitchoverStatus(
    observed_generation=1,
    phase=SwitchoverPhase.COMPLETED,
    from_="vm-a",
    to="vm-b",
    term_before=3,
    term=4,
    request_id="6f6d2f8e",
    started_at=AT,
    completed_at=AT.replace(microsecond=430_000),
    took_ms=390,
    steps=STEPS,
    reason="Completed",
    message="vm-b serves web.",
    remedy="",
    conditions=conditions((ConditionType.READY, True, "Completed", "vm-b serves web.")),
)

RECORD = FailoverRecordStatus(
    observed_generation=1,
    from_="vm-b",
    to="vm-a",
    cause="LeaseExpired",
    message="vm-b fell silent; vm-a took over in 1.6 s.",
    evidence=("vm-b was not heard by vm-a and third for 1.5 s.", "vCenter shows vm-b off."),
    proofs=(ProofUsed(suspect="vm-b", proof=Proof.POWERED_OFF, took_ms=620, message="task-27"),),
    proof="PoweredOff",
    started_at=AT,
    completed_at=AT.replace(second=1),
    took_ms=1640,
    data_loss=DataLoss(known=LossKnown.NONE, bytes_max=0, message="Nothing is kept on the nodes."),
    approved_by="nobody",
    timeline=(
        Step(name="Stood", started_at=AT, took_ms=30),
        Step(name="Won", started_at=AT.replace(microsecond=30_000), took_ms=50, message="term 3"),
    ),
    conditions=conditions((ConditionType.READY, True, "Complete", "All members have told.")),
)

STATUSES: dict[str, Model] = {
    "HACluster": CLUSTER,
    "HAResource": HAResourceStatus(
        observed_generation=1,
        type="vip",
        target="10.77.1.100/24",
        state=ResourceState.RUNNING,
        node="vm-a",
        nodes=(
            ResourceOnNode(
                node="vm-a",
                state=ResourceState.RUNNING,
                reason="Announced",
                message="eth1 carries it.",
                restarts=1,
                since=AT,
            ),
        ),
        message="Runs on vm-a.",
        conditions=conditions((ConditionType.READY, True, "Running", "Runs on vm-a.")),
    ),
    "Witness": WitnessStatus(
        observed_generation=1,
        type="managed",
        addresses=("10.77.0.10:7380",),
        version="0.1.0",
        clusters=(WitnessMembership(name="web", member_uid=UID_W, reachable=Truth.TRUE),),
        message="Runs.",
        conditions=conditions((ConditionType.READY, True, "Running", "Answers.")),
    ),
    "Infrastructure": InfrastructureStatus(
        observed_generation=1,
        version="VMware vCenter Server 8.0.3",
        instance_uuid="dbed6e0c-bd88-4ef6-b594-21283e1c677f",
        virtual_machines=2,
        privileges=(
            Privilege(
                name="VirtualMachine.Interact.PowerOff",
                granted=Truth.TRUE,
                needed_for="switching a failed VM off",
            ),
        ),
        message="Receives updates.",
        conditions=conditions(
            (ConditionType.READY, True, "Connected", "vCenter answers and sends updates."),
            (ConditionType.PRIVILEGED, True, "AllGranted", "All rights were found."),
        ),
    ),
    "Switchover": SWITCHOVER,
    "FailoverRecord": RECORD,
}
