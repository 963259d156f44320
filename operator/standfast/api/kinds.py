"""The kinds of the group: their names, columns and models, in one table.

Who needs a plural, a short name or the list of all kinds reads it here: the generator, the store
of the operator, the command line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from standfast.api.base import GROUP, KubeObject
from standfast.api.cluster import HACluster
from standfast.api.infrastructure import Infrastructure
from standfast.api.record import FailoverRecord
from standfast.api.resource import HAResource
from standfast.api.switchover import Switchover
from standfast.api.witness import Witness


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`.

    Args:
        name: Its title.
        path: JSONPath of its value.
        description: What it shows.
        type: string, integer, date.
        wide: Shown by `-o wide` only.
    """

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since creation.", type="date")
_READY = '.status.conditions[?(@.type=="Ready")]'


def _reason(condition: str) -> Column:
    path = f'.status.conditions[?(@.type=="{condition}")].reason'
    return Column("Reason", path, f"Reason of {condition}.", wide=True)


def _ready(description: str) -> Column:
    return Column("Ready", f"{_READY}.status", description)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind as the API server knows it.

    Args:
        model: Its objects.
        plural: The resource name in paths.
        short: Short names for kubectl.
        columns: Of `kubectl get`.
    """

    model: type[KubeObject]
    plural: str
    short: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        return f"{self.plural}.{GROUP}"


INFRASTRUCTURE = Kind(
    Infrastructure,
    "infrastructures",
    ("hai",),
    (
        Column("Server", ".spec.vsphere.server", "The endpoint."),
        Column("Version", ".status.version", "What the server says it is."),
        _ready("Whether it answers and sends updates."),
        Column("VMs", ".status.virtualMachines", "VMs seen.", type="integer", wide=True),
        _reason("Ready"),
        _AGE,
    ),
)
WITNESS = Kind(
    Witness,
    "witnesses",
    ("haw",),
    (
        Column("Type", ".status.type", "How it is run."),
        _ready("Whether it runs and answers."),
        Column("Addresses", ".status.addresses", "Where nodes reach it."),
        Column("Version", ".status.version", "Version of the witness.", wide=True),
        _reason("Ready"),
        _AGE,
    ),
)
HACLUSTER = Kind(
    HACluster,
    "haclusters",
    ("hac",),
    (
        Column("Active", ".status.active", "The node that serves."),
        _ready("Whether service is up."),
        Column(
            "Protected",
            '.status.conditions[?(@.type=="Protected")].status',
            "Whether a standby would serve if the active node died now.",
        ),
        Column("Standbys", ".status.standbys", "Nodes that could take over, of those wanted."),
        Column("Witness", ".status.witness", "Witnesses that answer, of those listed."),
        Column("Term", ".status.term", "Number of the tenure.", type="integer", wide=True),
        Column(
            "Last-Failover",
            ".status.lastFailover.time",
            "Time since service last moved.",
            type="date",
            wide=True,
        ),
        _reason("Ready"),
        _AGE,
    ),
)
HARESOURCE = Kind(
    HAResource,
    "haresources",
    ("har",),
    (
        Column("Cluster", ".spec.clusterRef.name", "The cluster it belongs to."),
        Column("Type", ".status.type", "Its type."),
        Column("Target", ".status.target", "The thing itself."),
        Column("State", ".status.state", "What it does on the active node."),
        Column("Node", ".status.node", "The active node."),
        _ready("Whether it runs on the active node."),
        _reason("Ready"),
        _AGE,
    ),
)
SWITCHOVER = Kind(
    Switchover,
    "switchovers",
    ("hsw",),
    (
        Column("Cluster", ".spec.clusterRef.name", "The cluster whose service moves."),
        Column("From", ".status.from", "The node it left."),
        Column("To", ".status.to", "The node it moves to."),
        Column("Phase", ".status.phase", "How far it has come."),
        Column("Took-ms", ".status.tookMs", "Milliseconds of outage.", type="integer"),
        Column("Why", ".spec.reason", "Why it was asked for.", wide=True),
        Column("Reason", ".status.reason", "Why it is in this phase.", wide=True),
        _AGE,
    ),
)
FAILOVERRECORD = Kind(
    FailoverRecord,
    "failoverrecords",
    ("hfr",),
    (
        Column("Cluster", ".spec.clusterRef.name", "The cluster."),
        Column("Term", ".spec.term", "The term that began.", type="integer"),
        Column("From", ".status.from", "The node that failed."),
        Column("To", ".status.to", "The node that took over."),
        Column("Cause", ".status.cause", "Why."),
        Column("Took-ms", ".status.tookMs", "Milliseconds until service.", type="integer"),
        Column("Proof", ".status.proof", "The proof the start waited for.", wide=True),
        Column("Loss", ".status.dataLoss.known", "What is known of lost writes.", wide=True),
        _AGE,
    ),
)

KINDS = (INFRASTRUCTURE, WITNESS, HACLUSTER, HARESOURCE, SWITCHOVER, FAILOVERRECORD)
BY_NAME: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in KINDS})
