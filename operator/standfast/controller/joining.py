"""How a node or a witness becomes a member: bundle, request, certificate, first configuration.

Each function is one errand: idempotent, from what the register says to what the member says. The
order is always: write the register, then tell the member. A node is met by the identity in its
bundle, a witness by its process's own; from then on every member is met by a name of its own.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPMethod

import msgspec

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.paths import SECRETS, Document
from standfast.adapters.pki import Bootstrap, Bundle, Member, dns_name, facts, parse_bundle
from standfast.adapters.pki.authority import LONG_LIFE
from standfast.controller.authorities import Authorities, Entry, Office, Register
from standfast.controller.calling import Caller, Door, NotReachedError
from standfast.core import record
from standfast.core.ids import ClusterUid, MemberUid
from standfast.core.record import Config, DataMode, MemberKind
from standfast.core.timing import Timing
from standfast.errors import RefusedError, UserError
from standfast.wire import durable
from standfast.wire.api import (
    CERTIFICATE_PATH,
    CONFIG_PATH,
    CSR_PATH,
    STATUS_PATH,
    Accepted,
    CertificateRequest,
    ConfigRequest,
    CsrAnswer,
    Done,
    MemberStatus,
    SignedConfig,
    enrol_certificate_path,
    enrol_csr_path,
)

BUNDLE_KEY = "bundle.json"
BUNDLE_LEFT = timedelta(hours=8)
"""A bundle with less time left than this is made anew."""
CONFIG_PURPOSE = "config"


def bundle_secret(cluster: str, node: str) -> str:
    return f"{cluster}-{node}-bundle"


async def provide_bundle(
    client: KubeClient, office: Office, node: str, listen: Sequence[str]
) -> None:
    """See to it that the bundle's Secret holds a bundle that can be used."""
    name = bundle_secret(office.owner.name, node)
    document = await client.find(SECRETS, office.namespace, name)
    now = datetime.now(UTC)
    if document is not None:
        if not office.owner.owns(document):
            raise UserError(
                f"Secret {office.namespace}/{name} exists and does not belong to HACluster "
                f"{office.owner.name}",
                remedy="delete or rename it, or rename the node",
            )
        if _usable(document, office, tuple(listen), now):
            return
    identity = office.authority.issue(Bootstrap(office.owner.uid), now)
    bundle = Bundle(
        cluster_uid=office.owner.uid,
        cluster=f"{office.namespace}/{office.owner.name}",
        node=node,
        listen=tuple(listen),
        identity=identity,
    )
    body: Document = {
        "metadata": {"ownerReferences": [office.owner.reference()]},
        "type": "Opaque",
        "data": {BUNDLE_KEY: base64.b64encode(bundle.to_json().encode()).decode()},
    }
    await client.apply(SECRETS, office.namespace, name, body)


def _usable(document: Document, office: Office, listen: tuple[str, ...], now: datetime) -> bool:
    try:
        text = base64.b64decode((document.get("data") or {}).get(BUNDLE_KEY, ""))
        bundle = parse_bundle(text, now)
    except (UserError, ValueError):
        return False
    left = facts(bundle.identity.certificate).left(now)
    return (
        left > BUNDLE_LEFT
        and bundle.listen == listen
        and bundle.identity.ca == office.authority.certificate
    )


async def spend_bundle(client: KubeClient, office: Office, node: str) -> None:
    """Remove the bundle of a node that has joined."""
    name = bundle_secret(office.owner.name, node)
    document = await client.find(SECRETS, office.namespace, name)
    if document is not None and office.owner.owns(document):
        await client.delete(SECRETS, office.namespace, name, document["metadata"]["uid"])


def bootstrap_door(office: Office, node: str, addresses: tuple[str, ...]) -> Door:
    """A node that has a bundle and nothing else."""
    return Door(dns_name(Bootstrap(office.owner.uid)), addresses, office.context, node)


def member_door(office: Office, name: str, uid: str, addresses: tuple[str, ...]) -> Door:
    """An enrolled member."""
    return Door(dns_name(Member(uid, office.owner.uid)), addresses, office.context, name)


async def enrol(
    caller: Caller, authorities: Authorities, office: Office, name: str, first: Door
) -> None:
    """Give a member its identity in this cluster.

    Args:
        caller: Makes the calls.
        authorities: Writes the register.
        office: The cluster's authority.
        name: In spec.
        first: By which identity it can be met before it has one of this cluster.

    Raises:
        NotReachedError: It is not there yet.
        RefusedError: Another member carries this name already.
    """
    entry = office.register.members.get(name)
    if entry is not None and await _is_met(caller, office, name, entry, first.addresses):
        await _remember(authorities, office, name, Entry(uid=entry.uid, enrolled=True))
        return
    uid = office.owner.uid
    asked = await caller.send(first, HTTPMethod.POST, enrol_csr_path(uid), None, CsrAnswer)
    _refuse_second(office, name, asked.member_uid)
    now = datetime.now(UTC)
    certificate = office.authority.sign_request(asked.csr, Member(asked.member_uid, uid), now)
    await _remember(authorities, office, name, Entry(uid=asked.member_uid))
    request = CertificateRequest(ca=office.authority.certificate, certificate=certificate)
    await caller.send(first, HTTPMethod.PUT, enrol_certificate_path(uid), request, Done)
    door = member_door(office, name, asked.member_uid, first.addresses)
    await caller.get(door, STATUS_PATH, MemberStatus)
    await _remember(authorities, office, name, Entry(uid=asked.member_uid, enrolled=True))


async def _is_met(
    caller: Caller, office: Office, name: str, entry: Entry, addresses: tuple[str, ...]
) -> bool:
    """Whether the member answers by the name that was registered: it has its certificate."""
    try:
        door = member_door(office, name, entry.uid, addresses)
        await caller.get(door, STATUS_PATH, MemberStatus)
    except NotReachedError:
        return False
    return True


def _refuse_second(office: Office, name: str, uid: str) -> None:
    """One machine carries one name; a member in a signed configuration is not replaced."""
    for other, entry in office.register.members.items():
        if other != name and entry.uid == uid:
            raise RefusedError(
                f"{name} and {other} answer as one and the same member ({uid})",
                remedy="correct spec.nodes[].addresses: two nodes lead to one machine",
            )
    before = office.register.members.get(name)
    if before is not None and before.uid != uid and office.register.config is not None:
        raise RefusedError(
            f"{name} has lost the identity {before.uid} that it votes under (its disk was wiped?) "
            f"and asks to join as {uid}",
            remedy=f"kubectl standfast replace {office.owner.name} {name}",
        )


async def _remember(authorities: Authorities, office: Office, name: str, entry: Entry) -> None:
    def with_entry(register: Register) -> Register:
        members = {**register.members, name: entry}
        return msgspec.structs.replace(register, members=members)

    await authorities.update(office, with_entry)


async def renew(caller: Caller, office: Office, door: Door, uid: str) -> None:
    """Give a member a new certificate for the key that it makes."""
    asked = await caller.send(door, HTTPMethod.POST, CSR_PATH, None, CsrAnswer)
    role = Member(uid, office.owner.uid)
    certificate = office.authority.sign_request(asked.csr, role, datetime.now(UTC))
    request = CertificateRequest(ca=office.authority.certificate, certificate=certificate)
    await caller.send(door, HTTPMethod.PUT, CERTIFICATE_PATH, request, Done)


def is_due(not_after: datetime | None, now: datetime) -> bool:
    """Whether a member's certificate has passed two thirds of its life."""
    return not_after is not None and not_after - now < LONG_LIFE / 3


def first_config(
    cluster_uid: str,
    members: Sequence[record.Member],
    timing: Timing,
    data: DataMode,
    loss_max: int = 0,
) -> Config:
    """The configuration that a cluster begins with."""
    return Config(
        cluster=ClusterUid(cluster_uid),
        members=tuple(members),
        timing=timing,
        data=data,
        loss_max=loss_max,
    )


def config_member(
    name: str, uid: str, kind: MemberKind, addresses: tuple[str, ...]
) -> record.Member:
    return record.Member(MemberUid(uid), name, kind, addresses)


async def sign_config(authorities: Authorities, office: Office, config: Config) -> None:
    """Sign the first configuration and remember it; once, before anybody is told."""
    payload = durable.encode_config(config)
    signature = office.authority.sign(CONFIG_PURPOSE, payload)
    signed = SignedConfig(
        payload=base64.b64encode(payload).decode(),
        signature=base64.b64encode(signature).decode(),
    )
    await authorities.update(
        office,
        lambda register: (
            register
            if register.config is not None
            else msgspec.structs.replace(register, config=signed)
        ),
    )


def signed_config(office: Office) -> Config | None:
    """The first configuration as it was signed; none before."""
    signed = office.register.config
    return None if signed is None else durable.decode_config(base64.b64decode(signed.payload))


async def hand_config(caller: Caller, office: Office, door: Door) -> None:
    """Give a member the first configuration.

    Raises:
        RefusedError: It has another one.
    """
    signed = office.register.config
    assert signed is not None, "signed before it is handed over"
    request = ConfigRequest(config=signed)
    await caller.send(door, HTTPMethod.PUT, CONFIG_PATH, request, Accepted)
