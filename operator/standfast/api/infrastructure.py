"""`Infrastructure`: where VMs run, and the rights to see them and to switch them off."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from standfast.api.base import KubeObject, Model, ObservedGeneration
from standfast.api.conditions import Conditions
from standfast.api.markers import Clip, ListMap, Rule, exactly_one
from standfast.api.scalars import Count, Endpoint, ObjectName, Sentence, Truth, Word

_INVENTORY_PATH = Annotated[str, Field(min_length=1, max_length=512)]


class SecretRef(Model):
    """A Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret; it is in the same namespace.")


class CaBundleConfigMapRef(Model):
    """A ConfigMap in the same namespace that holds certificates of authorities."""

    name: ObjectName = Field(description="Name of the ConfigMap; it is in the same namespace.")
    key: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._A-Za-z0-9]+$")] = Field(
        default="ca.crt", description="Key of the ConfigMap that holds the PEM text."
    )


class VsphereScope(Model):
    """The part of the inventory that is looked at."""

    datacenter: _INVENTORY_PATH | None = Field(
        default=None,
        description="Name of the datacenter; all of them when absent.",
        examples=["SDDC-Datacenter"],
    )
    folder: _INVENTORY_PATH | None = Field(
        default=None,
        description="Inventory path of the VM folder; VMs outside it are not seen.",
        examples=["/SDDC-Datacenter/vm/Workloads"],
    )


class Vsphere(Model):
    """A vCenter, on premises or of VMware Cloud on AWS."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(has(self.caBundle) && has(self.caBundleConfigMapRef))",
            message="caBundle and caBundleConfigMapRef are both set, but vCenter's certificate is "
            "checked against one of them: remove the other",
            holds=lambda v: v.ca_bundle is None or v.ca_bundle_config_map_ref is None,
        ),
    )

    server: Endpoint = Field(
        description="Host name or address of vCenter, with a port when it is not 443. Its "
        "certificate must carry this name.",
        examples=["vcenter.example.vmwarevmc.com"],
    )
    credentials_secret_ref: SecretRef = Field(
        description="Secret with the keys username and password of vCenter's user. A changed "
        "password is taken up without a restart."
    )
    ca_bundle: (
        Annotated[
            str,
            Field(min_length=1, max_length=65_536),
            Rule(
                cel="self.contains('-----BEGIN CERTIFICATE-----')",
                message="must be PEM text with at least one -----BEGIN CERTIFICATE-----: "
                "vCenter offers its authorities at https://SERVER/certs/download.zip",
                holds=lambda text: "-----BEGIN CERTIFICATE-----" in text,
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Certificates (PEM) that vCenter's certificate is checked against. The "
        "system's store is used when neither this nor caBundleConfigMapRef is set; there is no "
        "way to switch the check off.",
    )
    ca_bundle_config_map_ref: CaBundleConfigMapRef | None = Field(
        default=None, description="The same certificates, kept in a ConfigMap."
    )
    scope: VsphereScope = Field(
        default=VsphereScope(),
        description="The part of the inventory that is looked at; everything the user may see "
        "when absent. A narrow scope costs vCenter less.",
    )


class InfrastructureSpec(Model):
    """A place that runs VMs: exactly one member is set."""

    RULES: ClassVar[tuple[Rule, ...]] = (exactly_one("vsphere", of="kind of infrastructure"),)

    vsphere: Vsphere | None = Field(
        default=None, description="A vCenter, on premises or of VMware Cloud on AWS."
    )


class Privilege(Model):
    """A right of vCenter's user, as vCenter answered when asked."""

    name: Word = Field(description="The privilege's identifier.")
    granted: Truth = Field(description="Whether the user has it; Unknown when nobody could ask.")
    needed_for: Sentence = Field(default="", description="What does not work without it.")


class InfrastructureStatus(Model):
    """What was found behind the endpoint."""

    observed_generation: ObservedGeneration = -1
    version: Word | None = Field(
        default=None, description="What the server says it is.", examples=["VMware vCenter 8.0.3"]
    )
    instance_uuid: Word | None = Field(
        default=None, description="vCenter's own identity; another one is another vCenter."
    )
    virtual_machines: Count | None = Field(
        default=None, description="VMs that the user sees within the scope."
    )
    privileges: Annotated[tuple[Privilege, ...], Field(max_length=64), ListMap("name")] = Field(
        default=(), description="Rights that this product needs, and which of them are granted."
    )
    message: Annotated[str, Clip(1024)] | None = Field(
        default=None, description="What is being done about this object now, in one sentence."
    )
    conditions: Conditions = Field(
        default=(),
        description="Ready: the endpoint answers and sends updates. Privileged: the rights for "
        "fencing were found. Reconciling and Stalled exist only while true.",
    )


class Infrastructure(KubeObject):
    """A place that runs VMs, such as a vCenter: its endpoint, its credentials, its scope.

    Clusters refer to it. It is used to see whether a VM and its host are alive, and to switch a
    failed VM off with proof.
    """

    kind: Literal["Infrastructure"] = "Infrastructure"
    spec: InfrastructureSpec = Field(description="What is declared.")
    status: InfrastructureStatus = Field(
        default=InfrastructureStatus(), description="What was found; written by the operator."
    )
