"""The authorities of clusters and witnesses, each in a Secret with what it has issued.

The Secret of a cluster (`<cluster>-ca`) holds the key that signs, and the register: which member
carries which name, the first configuration that was signed, the number of the resource group that
was last declared. What members must be told twice in the same words is written here first and said
afterwards. A Secret that vanished while members carry certificates of it is never replaced
silently: that would cut the operator off from all of them for good.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from standfast.adapters.kube.client import ConflictError, KubeClient
from standfast.adapters.kube.paths import SECRETS, Document, Owner
from standfast.adapters.pki import Authority, Operator, client_context
from standfast.errors import TransientError, UserError
from standfast.wire.api import Signed, SignedConfig

OPERATOR_RENEWED_AFTER = timedelta(hours=12)
REGISTER_KEY = "register.json"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One member as registered.

    Attributes:
        uid: Drawn by the member.
        enrolled: It has its certificate.
        spent: The bundle that it joined with was removed; not looked for again.
    """

    uid: str
    enrolled: bool = False
    spent: bool = False


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as it was last declared.

    Attributes:
        spec: As JSON for the agents; text, so that a register outlives a type it does not know.
        target: The thing itself, to see whether another resource has taken it over.
        stop: It is stopped when its HAResource is deleted; otherwise the agents keep it.
    """

    spec: str
    target: str
    stop: bool = False


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """What was declared of a member, for the time in which it leaves.

    Attributes:
        node: The node as JSON; "" of a witness.
    """

    node: str = ""


class Departed(msgspec.Struct, frozen=True, kw_only=True):
    """A member that a config has removed and that has not forgotten the cluster yet."""

    name: str
    addresses: tuple[str, ...] = ()


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """What the authority of a cluster remembers.

    Attributes:
        members: By name in spec.
        config: The first configuration, once signed.
        seats: What was declared of each member, by name.
        lost: Uids of members that are being replaced, because their votes are lost.
        departed: Removed members by uid, until they have been told.
        said: Digests of consents that were acted on: each is used once.
        recovery: The record of the newest recovery, the same words for everybody.
        group: Number of the declared resource group.
        group_digest: Of its content.
        declared: Its resources by name: what is kept when the objects vanish.
    """

    members: dict[str, Entry] = {}
    config: SignedConfig | None = None
    seats: dict[str, Seat] = {}
    lost: tuple[str, ...] = ()
    departed: dict[str, Departed] = {}
    said: tuple[str, ...] = ()
    recovery: Signed | None = None
    group: int = 0
    group_digest: str = ""
    declared: dict[str, Declared] = {}


@dataclass(slots=True)
class Office:
    """An authority in use.

    Attributes:
        authority: Signs.
        register: What it remembers; replaced as a whole.
        version: resourceVersion of the Secret.
    """

    owner: Owner
    namespace: str
    secret: str
    authority: Authority
    register: Register
    version: str
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _context: ssl.SSLContext | None = None
    _made_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def context(self) -> ssl.SSLContext:
        """Our own client context, remade twice a day."""
        now = datetime.now(UTC)
        if self._context is None or now - self._made_at > OPERATOR_RENEWED_AFTER:
            self._context = client_context(self.authority.issue(Operator(self.owner.uid), now))
            self._made_at = now
        return self._context


class Authorities:
    """All authorities, each read once and kept.

    Args:
        client: The API server.
    """

    def __init__(self, client: KubeClient) -> None:
        self._client = client
        self._offices: dict[str, Office] = {}

    def known(self, uid: str) -> Office | None:
        """The authority of an object, if it was opened before."""
        return self._offices.get(uid)

    def forget(self, uid: str) -> None:
        self._offices.pop(uid, None)

    async def open(self, owner: Owner, namespace: str, secret: str, *, is_used: bool) -> Office:
        """Read an authority, or make it.

        Args:
            owner: The cluster or witness it belongs to.
            namespace: Of both.
            secret: Its name.
            is_used: Members carry certificates of it: a missing one is not made anew.

        Raises:
            UserError: It is damaged, missing while used, or somebody else's.
            TransientError: The API server cannot be asked.
        """
        office = self._offices.get(owner.uid)
        if office is not None:
            return office
        document = await self._client.find(SECRETS, namespace, secret)
        if document is None:
            if is_used:
                raise UserError(
                    f"Secret {namespace}/{secret}, the authority of {owner.kind} {owner.name}, is "
                    "gone, but members carry certificates that it signed",
                    remedy=f"restore Secret {secret} from a backup; the members go on meanwhile. "
                    f"Without a backup: delete and create the {owner.kind}, and enrol every node",
                )
            document = await self._create(owner, namespace, secret)
        office = self._offices[owner.uid] = _read(owner, namespace, secret, document)
        return office

    async def update(self, office: Office, change: Callable[[Register], Register]) -> None:
        """Change the register; written on return. One change at a time.

        Args:
            office: Whose.
            change: From the register as it stands to the one that is wanted.

        Raises:
            TransientError: It was not written: we are not alone, or the API server is away. The
                office is read anew next time.
        """
        async with office.lock:
            register = change(office.register)
            if register == office.register:
                return
            data = {REGISTER_KEY: _encode(msgspec.json.encode(register))}
            document: Document = {"metadata": {"resourceVersion": office.version}, "data": data}
            try:
                after = await self._client.merge(
                    SECRETS, office.namespace, office.secret, document
                )
            except TransientError:
                self.forget(office.owner.uid)
                raise
            office.register = register
            office.version = str(after["metadata"]["resourceVersion"])

    async def _create(self, owner: Owner, namespace: str, secret: str) -> Document:
        authority = Authority.create(owner.uid, datetime.now(UTC))
        document: Document = {
            "metadata": {"name": secret, "ownerReferences": [owner.reference()]},
            "type": "kubernetes.io/tls",
            "data": {
                "tls.crt": _encode(authority.certificate.encode()),
                "tls.key": _encode(authority.key.encode()),
                REGISTER_KEY: _encode(msgspec.json.encode(Register())),
            },
        }
        try:
            return await self._client.create(SECRETS, namespace, document)
        except ConflictError:
            return await self._client.get(SECRETS, namespace, secret)


def _read(owner: Owner, namespace: str, secret: str, document: Document) -> Office:
    where = f"Secret {namespace}/{secret}"
    if not owner.owns(document):
        raise UserError(
            f"{where} exists and does not belong to {owner.kind} {owner.name}",
            remedy=f"delete or rename it, or rename the {owner.kind}",
        )
    data: Mapping[str, str] = document.get("data") or {}
    try:
        texts = {name: base64.b64decode(value) for name, value in data.items()}
        authority = Authority.load(texts["tls.crt"].decode(), texts["tls.key"].decode())
        register = msgspec.json.decode(texts.get(REGISTER_KEY, b"{}"), type=Register)
    except (KeyError, ValueError, msgspec.DecodeError, UserError) as error:
        said = error.problem if isinstance(error, UserError) else f"{error!r}"
        raise UserError(
            f"{where}, the authority of {owner.kind} {owner.name}, cannot be read: {said}",
            remedy=f"restore Secret {secret} from a backup; the members go on meanwhile",
        ) from error
    version = str(document["metadata"]["resourceVersion"])
    return Office(owner, namespace, secret, authority, register, version)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()
