"""`Witness`: a voter outside the nodes, which can never be active."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from standfast.api.base import KubeObject, Model, ObservedGeneration
from standfast.api.conditions import Conditions
from standfast.api.markers import Clip, ListMap, ListSet, Rule, exactly_one, same_member_for_ever
from standfast.api.scalars import Endpoint, ObjectName, Truth, Uuid, Word

Endpoints = Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8), ListSet()]
"""Addresses of a witness; members use all of them at once."""

_LABEL_VALUE = Annotated[str, Field(max_length=63)]
_ANNOTATION_VALUE = Annotated[str, Field(max_length=1024)]


class ServiceType(StrEnum):
    """How the nodes' network reaches the witness's pod."""

    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"
    HEADLESS = "Headless"


class WitnessService(Model):
    """The Service in front of the witness's pod."""

    type: ServiceType = Field(
        default=ServiceType.LOAD_BALANCER,
        description="LoadBalancer: the address that the cluster's load balancer assigns. "
        "NodePort: a port of the Kubernetes nodes; advertise must say which addresses. Headless: "
        "the pod's own address, for networks that route pods.",
    )
    annotations: Annotated[dict[str, _ANNOTATION_VALUE], Field(max_length=32)] = Field(
        default={},
        description="Annotations of the Service, for the load balancer: internal, subnet, class.",
    )


class ManagedWitness(Model):
    """A witness that the operator runs as a pod, with a volume for its votes."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.service.type != 'NodePort' || has(self.advertise)",
            message="service.type is NodePort, but nothing says which Kubernetes nodes the VMs "
            "can reach: set advertise to their addresses with the port",
            holds=lambda w: w.service.type is not ServiceType.NODE_PORT or bool(w.advertise),
        ),
    )

    storage: Annotated[
        str, Field(min_length=2, max_length=16, pattern=r"^[1-9][0-9]{0,6}(Mi|Gi|Ti)$")
    ] = Field(
        default="1Gi",
        description="Size of the volume that keeps the witness's votes; a few megabytes are used.",
        examples=["1Gi"],
    )
    storage_class_name: ObjectName | None = Field(
        default=None,
        description="StorageClass of the volume; the default one when absent. Choose storage that "
        "does not live on the infrastructure of the nodes.",
    )
    service: WitnessService = Field(
        default=WitnessService(), description="How the nodes' network reaches the pod."
    )
    advertise: Endpoints | None = Field(
        default=None,
        description="Addresses at which the VMs reach the witness, when the Service cannot tell "
        "(NodePort, or a load balancer behind NAT). Port 7380 unless named.",
        examples=[["203.0.113.10:31738"]],
    )
    node_selector: Annotated[dict[str, _LABEL_VALUE], Field(max_length=16)] = Field(
        default={},
        description="Labels of the Kubernetes nodes that may run the pod: keep the witness away "
        "from the site of either VM.",
    )


class AgentWitness(Model):
    """A witness that somebody runs as a service on a machine at a third site."""

    addresses: Endpoints = Field(
        description="Addresses at which VMs and operator reach it. Port 7380 unless named.",
        examples=[["192.0.2.30:7380"]],
    )


class WitnessSpec(Model):
    """How the witness is run: exactly one member is set, and it stays that one."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        exactly_one("managed", "agent", of="kind of witness"),
        same_member_for_ever(
            "managed",
            "agent",
            what="a witness",
            remedy="create another Witness, list it in the cluster, then remove this one",
        ),
    )

    managed: ManagedWitness | None = Field(
        default=None, description="The operator runs it, as a pod of this Kubernetes cluster."
    )
    agent: AgentWitness | None = Field(
        default=None, description="It runs elsewhere as the service standfast-witness."
    )


class WitnessMembership(Model):
    """A cluster that this witness votes for."""

    name: ObjectName = Field(description="Name of the HACluster.")
    member_uid: Uuid | None = Field(
        default=None, description="Identity of this witness in that cluster, once enrolled."
    )
    reachable: Truth = Field(
        default=Truth.UNKNOWN, description="Whether the witness answers for that cluster."
    )


class WitnessStatus(Model):
    """Where the witness is, and whom it serves."""

    observed_generation: ObservedGeneration = -1
    type: Word | None = Field(default=None, description="The member of spec that is set.")
    addresses: Annotated[tuple[Word, ...], Field(max_length=8), ListSet()] = Field(
        default=(), description="Addresses at which nodes reach it, as found or declared."
    )
    version: Word | None = Field(default=None, description="Version of the running witness.")
    clusters: Annotated[tuple[WitnessMembership, ...], Field(max_length=256), ListMap("name")] = (
        Field(default=(), description="Clusters that list this witness.")
    )
    message: Annotated[str, Clip(1024)] | None = Field(
        default=None, description="What is being done about this object now, in one sentence."
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: the witness runs and answers. Reconciling and Stalled exist only "
        "while true.",
    )


class Witness(KubeObject):
    """A voter outside the protected VMs, for clusters to break ties with.

    It votes on who may be active and can never be active itself. One witness may serve many
    clusters. Run it where neither VM's failure takes it along.
    """

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="size(self.metadata.name) <= 45",
            message="metadata.name of a Witness has at most 45 characters, because its pods' "
            "names are made of it: choose a shorter name",
            holds=lambda witness: len(witness.metadata.name) <= 45,
        ),
    )

    kind: Literal["Witness"] = "Witness"
    spec: WitnessSpec = Field(description="What is declared.")
    status: WitnessStatus = Field(
        default=WitnessStatus(), description="What was found; written by the operator."
    )
