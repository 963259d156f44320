"""Every reason the operator gives, with what it means and what to do: one word, one row.

Conditions, decisions, Events, phases of a Switchover and logs use these words and no others. The
sentence with the values is made where the values are (`explain`, `placement`, the controller);
`ABOUT` is what the reference prints, and what stands as remedy where no better one is known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Reason(Enum):
    """One word in CamelCase, for machines."""

    # what the operator is doing
    STEADY = "Steady"
    PAUSED = "Paused"
    WAITING_FOR_NODES = "WaitingForNodes"
    CONFIGURING = "Configuring"
    ELECTING = "Electing"
    STARTING = "Starting"
    PROOF_MISSING = "ProofMissing"
    DISK_NOT_MOVED = "DiskNotMoved"
    FENCING = "Fencing"
    FENCE_FAILED = "FenceFailed"
    FENCE_REFUTED = "FenceRefuted"
    NODE_FOUND_OFF = "NodeFoundOff"
    FENCED = "Fenced"
    POWERING_ON = "PoweringOn"
    HANDING_OVER = "HandingOver"
    FAILING_BACK = "FailingBack"
    HANDOVER_WAITS = "HandoverWaits"
    SWITCHING_OVER = "SwitchingOver"
    RESUMING = "Resuming"
    NOBODY_HEARD = "NobodyHeard"

    # Ready
    SERVING = "Serving"
    RESOURCE_FAILED = "ResourceFailed"
    NO_ACTIVE_NODE = "NoActiveNode"
    ACTIVE_NOT_HEARD = "ActiveNotHeard"

    # Protected
    FAILOVER_POSSIBLE = "FailoverPossible"
    NO_STANDBY = "NoStandby"
    STANDBY_NOT_READY = "StandbyNotReady"
    STANDBY_BEHIND = "StandbyBehind"
    NO_WITNESS = "NoWitness"
    WITNESS_MISSING = "WitnessMissing"
    NO_MAJORITY_LEFT = "NoMajorityLeft"
    NO_PROOF = "NoProof"

    # Quorate, Degraded, the others
    MAJORITY = "Majority"
    NO_MAJORITY = "NoMajority"
    REDUNDANT = "Redundant"
    NODE_MISSING = "NodeMissing"
    NODE_POWERED_OFF = "NodePoweredOff"
    NODE_HALTED = "NodeHalted"
    PATH_DOWN = "PathDown"
    SAME_HOST = "SameHost"
    IN_MAINTENANCE = "InMaintenance"
    AGENT_ALERT = "AgentAlert"
    CERTIFICATE_EXPIRES = "CertificateExpires"
    CONVERGING = "Converging"
    IN_SYNC = "InSync"
    OUT_OF_SYNC = "OutOfSync"
    ANNOUNCED = "Announced"
    NOT_ANNOUNCED = "NotAnnounced"
    FENCE_POSSIBLE = "FencePossible"
    FENCE_NOT_POSSIBLE = "FenceNotPossible"

    # objects that cannot be acted on
    SPEC_REFUSED = "SpecRefused"
    TIMING_REFUSED = "TimingRefused"
    REFERENCE_MISSING = "ReferenceMissing"
    NAME_CONFLICT = "NameConflict"
    AUTHORITY_DAMAGED = "AuthorityDamaged"
    CONFIG_CHANGED = "ConfigChanged"
    CONFIG_CONFLICT = "ConfigConflict"
    CHANGING_MEMBERS = "ChangingMembers"
    VOTES_LOST = "VotesLost"
    WORD_REFUSED = "WordRefused"
    MEMBER_REFUSES = "MemberRefuses"
    SPEC_OLDER = "SpecOlder"
    VM_UNKNOWN = "VmUnknown"
    DEPENDENCY_CYCLE = "DependencyCycle"
    CREDENTIALS_REFUSED = "CredentialsRefused"
    CERTIFICATE_REFUSED = "CertificateRefused"
    UNREACHABLE = "Unreachable"
    PRIVILEGE_MISSING = "PrivilegeMissing"
    PRIVILEGED = "Privileged"
    LISTENING = "Listening"
    CONNECTING = "Connecting"

    # witnesses
    ANSWERING = "Answering"
    NOT_ANSWERING = "NotAnswering"
    POD_NOT_READY = "PodNotReady"
    NO_ADDRESS = "NoAddress"
    IMAGE_MISSING = "ImageMissing"
    NOT_USED = "NotUsed"

    # rolling maintenance
    ROLLING_OUT = "RollingOut"
    ROLLING_WORK = "RollingWork"
    ROLLING_BACK = "RollingBack"
    ROLLING_DONE = "RollingDone"
    NODE_NOT_BACK = "NodeNotBack"
    NODES_CHANGED = "NodesChanged"
    DONE_TOO_EARLY = "DoneTooEarly"
    SECOND_MOVE = "SecondMove"
    SERVICE_MOVED = "ServiceMoved"

    # resources on a node
    RUNNING = "Running"
    NOT_RUNNING = "NotRunning"

    # switchovers
    PENDING = "Pending"
    PREPARING = "Preparing"
    RELEASING = "Releasing"
    COMPLETED = "Completed"
    DRY_RUN = "DryRun"
    ALREADY_THERE = "AlreadyThere"
    UNKNOWN_NODE = "UnknownNode"
    TARGET_NOT_READY = "TargetNotReady"
    NOT_CONVERGED = "NotConverged"
    BUSY = "Busy"
    DEADLINE = "Deadline"
    ACTIVE_REFUSES = "ActiveRefuses"
    WENT_ELSEWHERE = "WentElsewhere"
    FAILED_OVER = "FailedOver"


@dataclass(frozen=True, slots=True)
class About:
    """What a reason means, for the reference.

    Attributes:
        meaning: One sentence.
        remedy: What to type or change; "Nothing." when nothing is to be done.
    """

    meaning: str
    remedy: str


_NOTHING = "Nothing."

_ABOUT: dict[Reason, About] = {
    Reason.STEADY: About("The declared state holds: one node serves.", _NOTHING),
    Reason.PAUSED: About(
        "spec.paused is true: the operator watches and does not act.",
        "kubectl standfast resume CLUSTER",
    ),
    Reason.WAITING_FOR_NODES: About(
        "Some nodes have not joined yet.",
        "kubectl standfast enroll CLUSTER NODE, and put the bundle on the node.",
    ),
    Reason.CONFIGURING: About("Members are being given their configuration.", _NOTHING),
    Reason.ELECTING: About("Members are choosing the active node.", _NOTHING),
    Reason.STARTING: About("A node has won the lease and is starting the resources.", _NOTHING),
    Reason.PROOF_MISSING: About(
        "A node has won the lease, but must not start before the old one is proven stopped.",
        "Power the old VM off, or bring it back so that it can say so itself.",
    ),
    Reason.DISK_NOT_MOVED: About(
        "A node waits for its shared disk, and vCenter does not attach it there.",
        "The message has vCenter's words: a right that lacks, a snapshot, a host that is lost.",
    ),
    Reason.FENCING: About(
        "A failed VM is being powered off through its infrastructure.", _NOTHING
    ),
    Reason.FENCE_FAILED: About(
        "The power-off could not be proven.",
        "Look at the VM and its host in the infrastructure; the fence is tried again.",
    ),
    Reason.FENCE_REFUTED: About(
        "The infrastructure calls the VM off, but its agent answers in the same boot.",
        "Correct vm.instanceUUID of the node: it names another VM.",
    ),
    Reason.NODE_FOUND_OFF: About("The VM of a node was found powered off.", _NOTHING),
    Reason.FENCED: About("A VM was powered off with proof, and the members were told.", _NOTHING),
    Reason.POWERING_ON: About("A fenced VM is being powered on again.", _NOTHING),
    Reason.HANDING_OVER: About("The active node is in maintenance and hands over.", _NOTHING),
    Reason.FAILING_BACK: About("Service returns to the preferred node by policy.", _NOTHING),
    Reason.HANDOVER_WAITS: About(
        "The active node is in maintenance, but no other node can serve.",
        "Make a standby ready, or set maintenance back to false.",
    ),
    Reason.SWITCHING_OVER: About("A Switchover is being executed.", _NOTHING),
    Reason.RESUMING: About("An interrupted action is being finished.", _NOTHING),
    Reason.NOBODY_HEARD: About(
        "The operator hears no member; agents go on by themselves.",
        "Check the network between the operator and the nodes, TCP port 7380.",
    ),
    Reason.SERVING: About("All critical resources run on the active node.", _NOTHING),
    Reason.RESOURCE_FAILED: About(
        "A resource does not run on the active node.", "kubectl describe haresource NAME"
    ),
    Reason.NO_ACTIVE_NODE: About(
        "No node serves.", "kubectl standfast explain CLUSTER says what is missing."
    ),
    Reason.ACTIVE_NOT_HEARD: About(
        "The active node is not heard by the operator, so nothing measured says that it serves.",
        "Check the network between the operator and that node, TCP port 7380.",
    ),
    Reason.FAILOVER_POSSIBLE: About(
        "If the active node died now, a standby would serve.", _NOTHING
    ),
    Reason.NO_STANDBY: About("No other node is there.", "Power a standby on and start its agent."),
    Reason.STANDBY_NOT_READY: About(
        "A standby is there, but says that it could not serve.",
        "kubectl standfast status CLUSTER lists its reasons.",
    ),
    Reason.STANDBY_BEHIND: About(
        "The standby's copy lacks acknowledged writes.", "Wait until it has caught up."
    ),
    Reason.NO_WITNESS: About(
        "Without a witness the survivor of two nodes is no majority.",
        "Create a Witness at a third place and list it in spec.witnesses.",
    ),
    Reason.WITNESS_MISSING: About(
        "A witness does not answer, and without it the survivors are no majority.",
        "kubectl describe witness NAME",
    ),
    Reason.NO_MAJORITY_LEFT: About(
        "Without the active node the remaining members are no majority.",
        "Bring the missing members back.",
    ),
    Reason.NO_PROOF: About(
        "The data needs a proof that the old node is off, and none could be had now.",
        "kubectl describe infrastructure NAME",
    ),
    Reason.MAJORITY: About("A majority of voters answers.", _NOTHING),
    Reason.NO_MAJORITY: About(
        "Fewer than a majority of voters answer: nobody can become active.",
        "Bring nodes or witnesses back.",
    ),
    Reason.REDUNDANT: About("Nothing is missing.", _NOTHING),
    Reason.NODE_MISSING: About("A node is not heard.", "Check its VM and its agent."),
    Reason.NODE_POWERED_OFF: About("The VM of a node is off.", "Power it on."),
    Reason.NODE_HALTED: About(
        "A member found that its state went back in time or was copied, and takes no part.",
        "Remove the node and add it under another name.",
    ),
    Reason.PATH_DOWN: About("A communication path is down.", "Check that network."),
    Reason.SAME_HOST: About(
        "Nodes run on one physical host: its failure takes them all.",
        "Move one VM to another host, or declare an anti-affinity rule.",
    ),
    Reason.IN_MAINTENANCE: About(
        "A node is in maintenance and will not take over.",
        "Set maintenance back to false when the work is done.",
    ),
    Reason.AGENT_ALERT: About("An agent reports what needs a person.", "The message says what."),
    Reason.CERTIFICATE_EXPIRES: About(
        "A member's certificate ends soon and could not be renewed.",
        "Make the member reachable for the operator, TCP port 7380.",
    ),
    Reason.CONVERGING: About("What is declared is being put into effect.", _NOTHING),
    Reason.IN_SYNC: About("Every standby has every acknowledged write.", _NOTHING),
    Reason.OUT_OF_SYNC: About(
        "A standby lacks acknowledged writes.", "Wait, or check its network."
    ),
    Reason.ANNOUNCED: About("The addresses are on the active node.", _NOTHING),
    Reason.NOT_ANNOUNCED: About(
        "An address is not on the active node.", "kubectl describe haresource NAME"
    ),
    Reason.FENCE_POSSIBLE: About(
        "Every VM could be powered off now: seen, allowed, connected.", _NOTHING
    ),
    Reason.FENCE_NOT_POSSIBLE: About(
        "A VM could not be powered off now.", "kubectl describe infrastructure NAME"
    ),
    Reason.SPEC_REFUSED: About("The spec cannot be acted on.", "kubectl edit the object."),
    Reason.TIMING_REFUSED: About(
        "The timers would let two nodes serve at once, or lose the lease to one lost packet.",
        "Choose a profile, or a longer targetFailoverSeconds.",
    ),
    Reason.REFERENCE_MISSING: About("Another object is named that does not exist.", "Create it."),
    Reason.NAME_CONFLICT: About(
        "An object of that name exists and belongs to somebody else.",
        "Delete or rename it.",
    ),
    Reason.AUTHORITY_DAMAGED: About(
        "The Secret of the cluster's authority cannot be read.",
        "Restore it from a backup; without it every node must be enrolled anew.",
    ),
    Reason.CONFIG_CHANGED: About(
        "The addresses of a node were changed, but its agent listens where it was enrolled.",
        "Set them back, or kubectl standfast replace CLUSTER NODE and enrol it again.",
    ),
    Reason.CHANGING_MEMBERS: About(
        "Members are being added or removed, or timers changed, one committed step at a time.",
        _NOTHING,
    ),
    Reason.VOTES_LOST: About(
        "A member has its certificate but not its votes (its disk was wiped or went back): under "
        "its old identity it could vote twice.",
        "kubectl standfast replace CLUSTER NODE.",
    ),
    Reason.WORD_REFUSED: About(
        "A consent, an attestation or a recovery that a person asked for is not carried out.",
        "The message says why; ask again when that has changed.",
    ),
    Reason.CONFIG_CONFLICT: About(
        "A member has another first configuration of this cluster.",
        "Remove the member's state and enrol it anew.",
    ),
    Reason.MEMBER_REFUSES: About("A member refuses what it was given.", "The message says why."),
    Reason.SPEC_OLDER: About(
        "What is declared is older than what the agents have accepted: the API server was "
        "restored from a backup. The agents go on with the newer.",
        "Look at the spec; any change of it is taken as the newest word.",
    ),
    Reason.VM_UNKNOWN: About(
        "The infrastructure shows no such VM, or more than one.",
        "Correct vm.instanceUUID (govc vm.info -json NAME), or the user's rights.",
    ),
    Reason.DEPENDENCY_CYCLE: About(
        "dependsOn of resources leads in a circle or to nothing.", "Correct dependsOn."
    ),
    Reason.CREDENTIALS_REFUSED: About(
        "The infrastructure refuses user name and password.", "Correct the Secret."
    ),
    Reason.CERTIFICATE_REFUSED: About(
        "The infrastructure's certificate is not trusted or has expired.",
        "Correct spec.vsphere.caBundle, or renew the certificate.",
    ),
    Reason.UNREACHABLE: About(
        "The infrastructure does not answer: power and hosts of VMs are unknown. Agents fail over "
        "without it.",
        "Check the network between the operator and the infrastructure.",
    ),
    Reason.PRIVILEGE_MISSING: About("The user lacks a right.", "Grant it on the VMs' folder."),
    Reason.PRIVILEGED: About("The user has all the rights that are needed.", _NOTHING),
    Reason.LISTENING: About("The infrastructure answers and sends updates.", _NOTHING),
    Reason.CONNECTING: About("The first connection is being made.", _NOTHING),
    Reason.ANSWERING: About("The witness answers.", _NOTHING),
    Reason.NOT_ANSWERING: About(
        "The witness does not answer the operator.", "Check that it runs, TCP port 7380."
    ),
    Reason.POD_NOT_READY: About("The witness's pod does not run.", "kubectl describe pod NAME-0"),
    Reason.NO_ADDRESS: About(
        "The Service of the witness has no address yet.",
        "Wait for the load balancer, or set spec.managed.advertise.",
    ),
    Reason.IMAGE_MISSING: About(
        "The operator was not told which image a witness runs.",
        "Set witnessImage in the chart's values.",
    ),
    Reason.NOT_USED: About("No HACluster lists this witness.", _NOTHING),
    Reason.ROLLING_OUT: About(
        "Rolling maintenance: a node is being taken out; if it serves, it hands over first.",
        _NOTHING,
    ),
    Reason.ROLLING_WORK: About(
        "Rolling maintenance: a node is out, and the work on it may be done.",
        "Do the work; then kubectl standfast rolling CLUSTER done NODE, where until is Told.",
    ),
    Reason.ROLLING_BACK: About(
        "Rolling maintenance: the work is done, and the node is coming back as a standby.",
        _NOTHING,
    ),
    Reason.ROLLING_DONE: About("Rolling maintenance: every node has had its turn.", _NOTHING),
    Reason.NODE_NOT_BACK: About(
        "A node did not become able to take over again after the work on it; the round stopped.",
        "Mend the node (kubectl standfast explain CLUSTER), then kubectl standfast rolling "
        "CLUSTER go-on.",
    ),
    Reason.NODES_CHANGED: About(
        "Nodes were added or removed in the middle of a round; it stopped.",
        "kubectl standfast rolling CLUSTER end, then begin another round.",
    ),
    Reason.DONE_TOO_EARLY: About(
        "rolling.done names a node whose turn has not come.",
        "Remove it from spec.rolling.done; it is named there once its work is done.",
    ),
    Reason.SECOND_MOVE: About(
        "The round would have to move service a second time; it stopped.",
        "kubectl standfast rolling CLUSTER go-on allows one more move.",
    ),
    Reason.SERVICE_MOVED: About(
        "Service moved in the middle of a round, and not because of it; the round stopped.",
        "kubectl standfast history CLUSTER says why; then kubectl standfast rolling CLUSTER "
        "go-on, or end.",
    ),
    Reason.RUNNING: About("It runs on the active node.", _NOTHING),
    Reason.NOT_RUNNING: About("It does not run on the active node.", "The message says why."),
    Reason.PENDING: About("The switchover has not begun.", "Delete it to cancel it."),
    Reason.PREPARING: About("The target is being checked.", _NOTHING),
    Reason.RELEASING: About("The active node is stopping its resources.", _NOTHING),
    Reason.COMPLETED: About("Service runs on the target.", _NOTHING),
    Reason.DRY_RUN: About("It was checked only; nothing moved.", "Create it without dryRun."),
    Reason.ALREADY_THERE: About("The target is active already.", _NOTHING),
    Reason.UNKNOWN_NODE: About("The target is not a node of the cluster.", "Correct spec.to."),
    Reason.TARGET_NOT_READY: About(
        "The target could not serve.", "kubectl standfast status CLUSTER lists its reasons."
    ),
    Reason.NOT_CONVERGED: About(
        "The cluster has no settled active node to move from.",
        "kubectl wait hac/CLUSTER --for=condition=Ready",
    ),
    Reason.BUSY: About(
        "Another move of this cluster is under way.", "Create it again afterwards."
    ),
    Reason.DEADLINE: About("It had not begun when its deadline passed.", "Create it again."),
    Reason.ACTIVE_REFUSES: About("The active node refuses to hand over.", "The message says why."),
    Reason.WENT_ELSEWHERE: About(
        "Service moved to another node than the target.", "kubectl standfast history CLUSTER"
    ),
    Reason.FAILED_OVER: About("A standby took over from a node that failed.", _NOTHING),
}

ABOUT: Mapping[Reason, About] = MappingProxyType(_ABOUT)
