"""By what this process is a member: its uid, its key, the certificate for it, and the authority.

The uid is drawn once. A key is made before its certificate is asked for, and put in force together
with it; what the authority has signed for the cluster is verified here.
"""

import base64
import binascii
import ssl
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidSignature

from standfast.adapters import pki
from standfast.adapters.pki import Identity, ServerIdentities, client_context, dns_name
from standfast.adapters.pki.certificates import public_key, read_certificate, read_key
from standfast.core.ids import BootId, ClusterUid, MemberUid
from standfast.errors import RefusedError, UserError
from standfast.member.chronicle import Chronicle, values
from standfast.member.store import Enrolment, Store
from standfast.ports.events import Alert
from standfast.wire.api import CertificateRequest, CsrAnswer, Signed

CERTIFICATE_LOOK_MS = 600_000
EXPIRES_SOON = timedelta(days=30)
_SOURCE = "identity"


class Credentials:
    """Of this member of one cluster.

    Attributes:
        enrolment: Under which uid; none before the first request.
        identity: In force; none before the first certificate.
        not_after: When the certificate ends.
        introduction: What the bundle says of the way to the operator, kept with the enrolment.
        on_enrolled: Called when a certificate has come into force.
    """

    def __init__(
        self, cluster: ClusterUid, store: Store, chronicle: Chronicle, servers: ServerIdentities
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._chronicle = chronicle
        self._servers = servers
        self.enrolment: Enrolment | None = store.enrolment()
        self.identity: Identity | None = None
        self.not_after: datetime | None = None
        self.introduction: tuple[str, str, tuple[str, ...]] = ("", "", ())
        self.on_enrolled: Callable[[], None] = _nothing
        self._context: ssl.SSLContext | None = None
        self._look_ms = 0

    def open(self) -> None:
        """Take up what an earlier run left."""
        identity = self._store.identity()
        if identity is not None:
            self._serve(identity)

    def forget(self) -> None:
        """Nobody is answered under this name any more."""
        if self.enrolment is not None:
            self._servers.remove(self.name_of(self.enrolment.member_uid))

    @property
    def member_uid(self) -> str:
        """Empty before the first request."""
        return "" if self.enrolment is None else self.enrolment.member_uid

    def name_of(self, uid: MemberUid) -> str:
        """What the certificate of a member of this cluster says."""
        return dns_name(pki.Member(uid, self._cluster))

    def client_context(self) -> ssl.SSLContext:
        assert self._context is not None, "links begin after enrolment"
        return self._context

    # ---------------------------------------------------------------- enrolment

    def make_request(self, boot: BootId) -> CsrAnswer:
        """A signing request for this member; its uid is drawn the first time and then stays."""
        if self.enrolment is None:
            uid = MemberUid(str(uuid.uuid4()))
            enrolment = Enrolment(self._cluster, uid, *self.introduction)
            self._store.save_enrolment(enrolment)
            self.enrolment = enrolment
        key = self._store.pending_key(pki.new_key)
        uid = self.enrolment.member_uid
        request = pki.make_request(key, pki.Member(uid, self._cluster))
        return CsrAnswer(member_uid=uid, csr=request, boot_id=boot)

    def take_certificate(self, request: CertificateRequest) -> None:
        """Put a signed certificate in force, for the key whose request was made last.

        Raises:
            UserError: It is not ours, or not signed by the authority that comes with it.
        """
        if self.enrolment is None:
            raise RefusedError(
                f"no signing request was made for cluster {self._cluster}",
                remedy="ask for one first (POST csr)",
            )
        certificate = read_certificate(request.certificate)
        key = self._store.pending_key(pki.new_key)
        expected = self.name_of(self.enrolment.member_uid)
        found = pki.facts(request.certificate)
        if found.name != expected:
            raise UserError(
                f"the certificate names {found.name}, and this member is {expected}",
                remedy="sign the request that this member answered with",
            )
        if public_key(certificate) != read_key(key).public_key():
            raise UserError(
                "the certificate belongs to another key than that of the last request",
                remedy="ask for a new request (POST csr) and sign that",
            )
        try:
            certificate.verify_directly_issued_by(read_certificate(request.ca))
        except (ValueError, TypeError, InvalidSignature) as error:
            raise UserError(
                "the certificate is not signed by the authority that comes with it",
                remedy="send the authority of this cluster with its certificate",
            ) from error
        identity = Identity(request.ca, request.certificate, key)
        self._store.save_identity(identity)
        self._serve(identity)
        fields = values(not_after=f"{found.not_after:%Y-%m-%d}")
        self._chronicle.note("Enrolled", "A certificate is in force", fields)
        self.on_enrolled()

    def _serve(self, identity: Identity) -> None:
        self._servers.put(identity)
        self.identity = identity
        self._context = client_context(identity)
        self.not_after = pki.facts(identity.certificate).not_after
        self._look_ms = 0

    # ---------------------------------------------------------------- the authority's word

    def verified(self, purpose: str, signed: Signed) -> bytes:
        """The payload of what the cluster's authority signed for this purpose.

        Raises:
            RefusedError: There is no certificate yet, or the signature is not the authority's.
            UserError: It does not read.
        """
        if self.identity is None or self.enrolment is None:
            raise RefusedError(
                f"this member has no certificate of cluster {self._cluster} yet",
                remedy="enrol it first",
            )
        try:
            payload = base64.b64decode(signed.payload, validate=True)
            signature = base64.b64decode(signed.signature, validate=True)
        except binascii.Error as error:
            raise UserError(
                f"the {purpose} is not base64: {error}", remedy="send it as the API says"
            ) from error
        pki.verify(self.identity.ca, purpose, payload, signature)
        return payload

    # ---------------------------------------------------------------- time

    def next_ms(self, now_ms: int) -> int:
        """When the certificate is looked at next."""
        return self._look_ms or now_ms

    def tick(self, now_ms: int) -> None:
        """Expiry never stops a member; it is said weeks before (F92)."""
        if now_ms < self._look_ms:
            return
        self._look_ms = now_ms + CERTIFICATE_LOOK_MS
        if self.not_after is None:
            return
        left = self.not_after - datetime.now(UTC)
        if left > EXPIRES_SOON:
            self._chronicle.clear_alert(_SOURCE, "CertificateExpires")
            return
        when = "expired" if left < timedelta(0) else "expires"
        self._chronicle.raise_alert(
            _SOURCE,
            Alert(
                "CertificateExpires",
                f"this member's certificate {when} at {self.not_after:%Y-%m-%d %H:%M} UTC",
                "the operator renews it; see why it does not reach this member",
            ),
        )


def _nothing() -> None:
    """Nobody waits for it."""
