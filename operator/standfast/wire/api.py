"""The HTTPS API of a member (agent or witness), as typed JSON structures.

The operator and the command line build requests from these and read answers into them; the members
serve them. camelCase on the wire. Unknown fields are ignored, so that an operator may be one
version ahead of its agents; an unknown resource type is refused, because half a group is not safe.
Resources have a file of their own: `wire.resources`.

Every request of the operator carries `TOKEN_HEADER`: the `leaseTransitions` of its leader lease. A
member refuses (409) a lower one than the highest it has seen for that cluster. Errors are a
`Problem` with status 400 (a person must change something), 409 (refused), 503 (try again).
"""

from datetime import datetime
from typing import Literal

import msgspec

from standfast.wire.resources import ResourceSpec

PORT = 7380
"""Where every member listens: links between members and this API, one port, mutual TLS."""

TOKEN_HEADER = "Standfast-Token"  # noqa: S105 a counter, not a secret
"""Header with the operator's fencing token."""

CSR_PATH = "/v1/csr"
CERTIFICATE_PATH = "/v1/certificate"
CONFIG_PATH = "/v1/config"
RESOURCES_PATH = "/v1/resources"
STATUS_PATH = "/v1/status"
RELEASE_PATH = "/v1/release"
STAND_PATH = "/v1/stand"
QUIESCE_PATH = "/v1/quiesce"
FENCED_PATH = "/v1/fenced"
BRACE_PATH = "/v1/brace"
LOG_PATH = "/v1/log"
RECORD_PATH = "/v1/record"
JOIN_PATH = "/v1/join"
CHANGE_PATH = "/v1/config-change"
CHALLENGE_PATH = "/v1/challenge"
CONSENT_PATH = "/v1/consent"
ATTESTED_PATH = "/v1/attested"
RECOVER_PATH = "/v1/recover"
WITNESS_PATH = "/v1/witness"

WAIT_S_MAX = 60
"""Longest `wait` of a status request."""

LOG_ENTRIES_MAX = 1000
"""How many entries a member keeps; older ones are dropped."""


def cluster_path(cluster_uid: str, member_uid: str = "") -> str:
    """`DELETE`: let a member leave a cluster that has removed it, and forget its votes.

    With a member's uid, nothing happens to whoever has joined under another one since.
    """
    path = f"/v1/clusters/{cluster_uid}"
    return f"{path}?member={member_uid}" if member_uid else path


def enrol_csr_path(cluster_uid: str) -> str:
    """`POST`: make a key and answer with its signing request (`CsrAnswer`)."""
    return f"/v1/clusters/{cluster_uid}/csr"


def enrol_certificate_path(cluster_uid: str) -> str:
    """`PUT`: hand over the signed certificate (`CertificateRequest`)."""
    return f"/v1/clusters/{cluster_uid}/certificate"


class Wire(msgspec.Struct, rename="camel", frozen=True):
    """Base of all structures of the API: frozen, camelCase on the wire."""


class Problem(Wire, frozen=True, kw_only=True):
    """An error: what and why, what to type, and a word for programs."""

    problem: str
    remedy: str = ""
    reason: str = ""


class Done(Wire, frozen=True, kw_only=True):
    """An empty answer."""


class Accepted(Wire, frozen=True, kw_only=True):
    """Whether a request was taken.

    Attributes:
        config_id: Of the config in force, `term.seq` (`PUT /v1/config` only).
    """

    accepted: bool
    config_id: str = ""


# ------------------------------------------------------------------ identity


class CsrAnswer(Wire, frozen=True, kw_only=True):
    """A signing request made by the member.

    Attributes:
        member_uid: Drawn by the member at enrolment; stays for life.
        csr: PEM; its subject alternative name is what the certificate must carry.
    """

    member_uid: str
    csr: str
    boot_id: str


class CertificateRequest(Wire, frozen=True, kw_only=True):
    """A signed certificate and the CA it stems from, PEM."""

    ca: str
    certificate: str


# ------------------------------------------------------------------ config and requests


class Signed(Wire, frozen=True, kw_only=True):
    """Something of which the cluster's CA key says one thing: the purpose is signed with it.

    Attributes:
        payload: base64 of what `wire.durable` encodes.
        signature: base64 of the Ed25519 signature over purpose and decoded payload.
    """

    payload: str
    signature: str


class SignedConfig(Signed, frozen=True, kw_only=True):
    """The first config of a cluster (purpose `config`)."""


class ConfigRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/config`. Another first config for the same cluster is refused (409)."""

    config: SignedConfig


class ChangeRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/config-change`, to the active node: the next config of the cluster.

    One voter more or one less, or other timers, order, addresses. The same again is accepted.

    Attributes:
        config: Purpose `change`; its `id` is that of the config it was made from.
    """

    config: Signed


class RecordAnswer(Wire, frozen=True, kw_only=True):
    """`GET /v1/record`: the newest record of a member, for one that joins.

    Attributes:
        record: base64 of `wire.durable.encode_record(record)`.
    """

    record: str


class JoinRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/join`: become a member that the config does not name yet.

    Attributes:
        record: Purpose `join`; a record of the cluster, with the config in force.
    """

    record: Signed


class ChallengeAnswer(Wire, frozen=True, kw_only=True):
    """`POST /v1/challenge`: what a consent must name, drawn by the candidate itself.

    Attributes:
        challenge: Answered once, and not after `valid_ms`.
        record: `term.seq` of the record that the candidate holds.
        record_holder: Who wrote that record, by uid.
        term_min: No lower term is won with the consent.
        position: How far the candidate's copy reaches; none when unknown.
        record_position: How far the data were known to reach.
        hindrance: Why the candidate may not lead without a consent; "" when it may.
    """

    challenge: str
    valid_ms: int
    boot: str
    record: str
    record_holder: str = ""
    term_min: int
    position: int | None = None
    record_position: int | None = None
    hindrance: str = ""


class ConsentRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/consent`: a person accepts a loss so that this candidate may lead.

    Attributes:
        consent: Purpose `consent`; base64 of `wire.durable.encode_consent`.
    """

    consent: Signed


class AttestedRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/attested`: a person vouches that a boot of a member is off.

    Attributes:
        attested: Purpose `attested`; base64 of `wire.durable.encode_attestation`.
    """

    attested: Signed


class RecoverRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/recover`: take part in a new incarnation, after a majority was lost for good.

    Attributes:
        config: Purpose `recover`; the config of the new incarnation, which names whoever is left.
    """

    config: Signed


class GroupRequest(Wire, frozen=True, kw_only=True):
    """`PUT /v1/resources`: the declared group; the agent keeps it and goes on with it alone.

    Attributes:
        generation: Grows with every change; a lower one than the accepted is refused.
        resources: All of them; what is missing here is stopped and forgotten.
        maintenance: A person works on this node: it does not stand.
        eligible: The operator's word on whether this node may stand; `ineligible_reason` says why
            not.
    """

    generation: int
    resources: tuple[ResourceSpec, ...] = ()
    maintenance: bool = False
    eligible: bool = True
    ineligible_reason: str = ""


class ReleaseRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/release`: a planned switchover. `DELETE` with the same id calls it off.

    Attributes:
        successor: Member uid of who should follow; none lets the members choose.
        request_id: The same id again is the same request.
    """

    successor: str | None = None
    reason: str = ""
    request_id: str


class StandRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/stand`: stand now, without the rank delay."""

    request_id: str


class QuiesceRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/quiesce`: this VM is about to be stopped for a moment. `DELETE`: that is over.

    Asked again it begins anew. It ends by itself.

    Attributes:
        for_ms: After this it is over, whoever has forgotten it.
        stun_ms: For how long the VM is expected to stand still at most.
        freeze: Hold the file systems of the resources' data still, for at most `FREEZE_MS_MAX`.
    """

    for_ms: int
    stun_ms: int = 10_000
    freeze: bool = False


class QuiesceAnswer(Wire, frozen=True, kw_only=True):
    """What was done for it.

    Attributes:
        active: Whether this node serves.
        stun_ms: For so long the VM may stand still without a failover.
        frozen: Directories whose file systems are frozen.
        notes: What could not be done, and why.
    """

    active: bool
    stun_ms: int
    frozen: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class FencedRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/fenced`: a boot of a member is powered off, confirmed by its infrastructure.

    Attributes:
        boot: Known before the power-off was asked for.
    """

    member: str
    boot: str
    evidence: str


class BraceRequest(Wire, frozen=True, kw_only=True):
    """`POST /v1/brace`: this node may stand still soon; its lease is to bear that.

    Attributes:
        for_ms: For so long it asks for the longest promises; 0 ends it.
        reason: What is going on, for the node's log.
    """

    for_ms: int
    reason: str = ""


# ------------------------------------------------------------------ log


class LogEntry(Wire, frozen=True, kw_only=True):
    """One thing that happened. `seq` grows by one and is never used twice by a member."""

    seq: int
    at: datetime
    kind: str
    message: str
    fields: dict[str, str | int] = {}


class LogAnswer(Wire, frozen=True, kw_only=True):
    """Entries newer than `after`, oldest first; a gap after `after` means they were dropped."""

    entries: tuple[LogEntry, ...]


# ------------------------------------------------------------------ status

Role = Literal["Active", "Holding", "Candidate", "Standby", "Unconfigured"]
"""`Holding`: the lease is won, the service not yet up. `Active`: lease, record and service."""

State = Literal["Stopped", "Standby", "Starting", "Running", "Stopping", "Failed", "Unknown"]
"""`Standby`: what keeps a copy of its data on every node follows the active one here."""


class HolderStatus(Wire, frozen=True, kw_only=True):
    """Who holds the lease, in which boot."""

    member: str
    boot: str


class SuspectStatus(Wire, frozen=True, kw_only=True):
    """A former holder that is not yet proven stopped."""

    member: str
    boot: str
    term: int


class PathStatus(Wire, frozen=True, kw_only=True):
    """One address of a peer.

    Attributes:
        rtt_ms: Last measured, none when down.
        problem: Why it is down, as far as known.
    """

    address: str
    up: bool
    rtt_ms: float | None = None
    problem: str = ""


class PeerStatus(Wire, frozen=True, kw_only=True):
    """Another member as this one sees it.

    Attributes:
        boot: Newest seen of it; "" when none was.
        last_heard_ms: Since anything was heard of it; none when never in this run.
    """

    member: str
    name: str = ""
    reachable: bool
    boot: str = ""
    paths: tuple[PathStatus, ...] = ()
    last_heard_ms: int | None = None


class ReplicationStatus(Wire, frozen=True, kw_only=True):
    """The copy on this node of a resource that keeps one on every node.

    Attributes:
        position: How far it reaches, in the unit of its type (bytes of the log).
        lag_bytes: How far a standby is behind the active, as far as it knows.
        lag_ms: The same in time.
        percent: Progress while it is being built.
        following: Nodes that follow this one, by uid.
        lacks: Nodes that should and do not, by uid: how many bytes each lacks.
    """

    role: Literal["Active", "Standby", "Building", "Down", "Unknown"]
    message: str = ""
    position: int | None = None
    lag_bytes: int | None = None
    lag_ms: int | None = None
    percent: int | None = None
    following: tuple[str, ...] = ()
    lacks: dict[str, int] = {}


class ResourceStatus(Wire, frozen=True, kw_only=True):
    """One resource on this node.

    Attributes:
        restarts: In the present window.
        failed_checks: Among the newest that are remembered (`monitor`).
        since: When `state` began.
        replication: Of what keeps a copy on every node.
    """

    name: str
    type: str
    state: State
    message: str = ""
    reason: str = ""
    restarts: int = 0
    failed_checks: int = 0
    since: datetime
    replication: ReplicationStatus | None = None


class ProofStatus(Wire, frozen=True, kw_only=True):
    """A proof that this member holds, and how long after the lease was won it came."""

    suspect: SuspectStatus
    proof: str
    took_ms: int


class TakeoverStatus(Wire, frozen=True, kw_only=True):
    """The last time this member took over, with what it cost.

    Attributes:
        won_ms: From standing to the majority; the others likewise from standing; none: not yet.
        proof: That let the first resource start, "" when none was needed.
    """

    term: int
    started_at: datetime
    won_ms: int | None = None
    record_ms: int | None = None
    proof_ms: int | None = None
    serving_ms: int | None = None
    proof: str = ""


class AlertStatus(Wire, frozen=True, kw_only=True):
    """Something that stays true until somebody changes it."""

    reason: str
    message: str
    remedy: str = ""
    source: str = ""


class AttestedStatus(Wire, frozen=True, kw_only=True):
    """A former holder that a person vouched for: kept for ever in the record."""

    member: str
    boot: str
    term: int
    approver: str = ""


class MemberStatus(Wire, frozen=True, kw_only=True):
    """`GET /v1/status?after=<seq>&run=<run>&wait=<s>`: the next change after that of this run.

    At once when `seq > after`, or when this is another run: its seq is counted from the beginning,
    and a client may repeat a request to a process that was started meanwhile without being told.

    Attributes:
        seq: Grows with every change worth reporting, within one `run`.
        boot_id: Of the machine.
        run: Of the process.
        holder: Who holds the lease now, as far as this member knows; none when nobody does.
        record_holder: Who wrote the newest record: the last one who held, dead or alive.
        record_version: `(term, seq)` of the newest record it holds.
        config_id: Of the config in force, `term.seq`; "" when unconfigured.
        config_digest: Tells two first configs apart.
        config: The config in force, base64 of `wire.durable.encode_config`.
        config_committed: This member holds the lease, and a majority has that config.
        incarnation: Of the config; higher after a recovery.
        data_hindrance: Why its data do not let it lead unless a person consents; "" when they do.
        position: How far its copy reaches; none when unknown.
        record_position: How far the data were known to reach.
        attested: Whom people vouched for.
        lease_remaining_ms: While it holds.
        operator_token: Highest fencing token seen.
        halted: Why this member may take no part any more, or "".
    """

    seq: int
    member_uid: str
    name: str
    kind: Literal["data", "witness"]
    boot_id: str
    run: str
    agent_version: str
    role: Role
    term: int = 0
    holder: HolderStatus | None = None
    record_holder: HolderStatus | None = None
    record_version: tuple[int, int] = (0, 0)
    in_sync: tuple[str, ...] = ()
    suspects: tuple[SuspectStatus, ...] = ()
    config_id: str = ""
    config_digest: str = ""
    config: str = ""
    config_committed: bool = False
    incarnation: int = 1
    data_hindrance: str = ""
    position: int | None = None
    record_position: int | None = None
    attested: tuple[AttestedStatus, ...] = ()
    lease_remaining_ms: int | None = None
    voted_for: str | None = None
    eligible: bool = False
    ineligible_reasons: tuple[str, ...] = ()
    peers: tuple[PeerStatus, ...] = ()
    resources: tuple[ResourceStatus, ...] = ()
    resources_generation: int = 0
    proofs: tuple[ProofStatus, ...] = ()
    last_takeover: TakeoverStatus | None = None
    certificate_not_after: datetime | None = None
    cpu_percent: float = 0.0
    rss_bytes: int = 0
    alerts: tuple[AlertStatus, ...] = ()
    operator_token: int = 0
    log_seq: int = 0
    releasing: bool = False
    halted: str = ""


class WitnessCluster(Wire, frozen=True, kw_only=True):
    """One cluster of a witness."""

    cluster_uid: str
    member_uid: str
    configured: bool
    halted: str = ""


class WitnessStatus(Wire, frozen=True, kw_only=True):
    """`GET /v1/witness`, over the witness's own identity: the process and all its clusters."""

    witness_uid: str
    boot_id: str
    run: str
    agent_version: str
    clusters: tuple[WitnessCluster, ...] = ()
    certificate_not_after: datetime | None = None
    cpu_percent: float = 0.0
    rss_bytes: int = 0
