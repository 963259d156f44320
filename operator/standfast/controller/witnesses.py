"""A pass over one `Witness`: its authority, its identity, its objects, its addresses, its status.

Clusters ask here where a witness is and by which identity it can be met before it is a member.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standfast.adapters.kube.client import KubeClient
from standfast.adapters.kube.paths import (
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    Collection,
    Document,
    Owner,
)
from standfast.adapters.pki import WitnessProcess, dns_name, facts
from standfast.api.base import API_VERSION
from standfast.api.witness import ManagedWitness, ServiceType, Witness
from standfast.controller import witness_objects as objects
from standfast.controller.authorities import Authorities, Office
from standfast.controller.calling import Caller, Door, NotReachedError, with_port
from standfast.controller.store import Key
from standfast.core.explain import Claim
from standfast.core.reasons import Reason
from standfast.errors import StandfastError, UserError
from standfast.ports.clock import Clock
from standfast.wire.api import WITNESS_PATH, WitnessStatus

LOOK_AGAIN_MS = 300_000
"""Objects that nobody watches are looked at this often."""
SETTLING_MS = 2_000
"""And this often while the witness is not there yet."""


@dataclass(slots=True)
class Found:
    """What is known of one witness.

    Attributes:
        office: Its authority; none before the first pass.
        addresses: `host:port`, where nodes reach it.
        problem: Why it cannot be provided.
        answers: Whether its process answered the last time; none before.
        said: What it said of itself the last time.
    """

    key: Key
    office: Office | None = None
    addresses: tuple[str, ...] = ()
    problem: Claim | None = None
    answers: bool | None = None
    answer_problem: str = ""
    said: WitnessStatus | None = None
    applied_at_ms: int | None = None
    applied: tuple[object, ...] = ()
    shown: tuple[object, ...] = field(default=(), compare=False)

    def door(self) -> Door | None:
        """Its process, as it can be met before it is a member of any cluster."""
        if self.office is None or not self.addresses:
            return None
        uid = self.office.owner.uid
        name = dns_name(WitnessProcess(uid))
        return Door(name, self.addresses, self.office.context, self.key.name)


class Witnesses:
    """All of them.

    Args:
        client: The API server.
        authorities: Makes and opens authorities.
        caller: Asks a process whether it is there.
        clock: For ages.
        image: What a managed witness runs.
        on_change: Told which witness has another address or another state.
    """

    def __init__(
        self,
        client: KubeClient,
        authorities: Authorities,
        caller: Caller,
        clock: Clock,
        *,
        image: str,
        on_change: Callable[[Key], None],
    ) -> None:
        self._client = client
        self._authorities = authorities
        self._caller = caller
        self._clock = clock
        self._image = image
        self._on_change = on_change
        self._found: dict[Key, Found] = {}

    def of(self, key: Key) -> Found:
        return self._found.setdefault(key, Found(key))

    def drop(self, key: Key) -> None:
        found = self._found.pop(key, None)
        if found is not None and found.office is not None:
            self._authorities.forget(found.office.owner.uid)
            self._on_change(key)

    async def provide(self, witness: Witness) -> Found:
        """See to it that the witness is there; what stands in the way is in the answer."""
        namespace, name = witness.key
        found = self.of(Key("Witness", namespace, name))
        owner = Owner(API_VERSION, "Witness", name, witness.metadata.uid)
        if found.office is not None and found.office.owner.uid != owner.uid:
            found = self._found[found.key] = Found(found.key)
        try:
            found.office = await self._authorities.open(
                owner, namespace, f"{name}-witness-ca", is_used=False
            )
            await self._provide_objects(witness, found, owner)
            found.problem = await self._find_addresses(witness, found)
        except UserError as error:
            found.problem = Claim(False, Reason.NAME_CONFLICT, error.problem, error.remedy)
        await self._ask(found)
        shown = (found.addresses, found.answers, found.office is not None)
        if shown != found.shown:
            found.shown = shown
            self._on_change(found.key)
        return found

    async def _provide_objects(self, witness: Witness, found: Found, owner: Owner) -> None:
        now_ms = self._clock.now_ms()
        wanted = (witness.metadata.generation, self._image)
        is_fresh = found.applied_at_ms is not None and now_ms - found.applied_at_ms < LOOK_AGAIN_MS
        if is_fresh and found.applied == wanted:
            return
        assert found.office is not None, "opened before"
        await self._provide_identity(witness, found.office, owner)
        managed = witness.spec.managed
        if managed is not None and self._image:
            namespace, name = witness.key
            await self._put(
                SERVICES, namespace, name, owner, objects.service(witness, managed, owner)
            )
            pods = objects.stateful_set(witness, managed, self._image, owner)
            await self._put(STATEFUL_SETS, namespace, name, owner, pods)
        found.applied_at_ms, found.applied = now_ms, wanted

    async def _put(
        self, what: Collection, namespace: str, name: str, owner: Owner, document: Document
    ) -> None:
        there = await self._client.find(what, namespace, name)
        if there is not None:
            if not owner.owns(there):
                raise UserError(
                    f"{what.kind} {namespace}/{name} exists and does not belong to this Witness",
                    remedy="delete or rename it, or create the Witness under another name",
                )
            if objects.digest_of(there) == objects.digest_of(document):
                return
        await self._client.apply(what, namespace, name, document)

    async def _provide_identity(self, witness: Witness, office: Office, owner: Owner) -> None:
        namespace, name = witness.key
        secret = objects.identity_secret(name)
        now = datetime.now(UTC)
        there = await self._client.find(SECRETS, namespace, secret)
        if there is not None and not owner.owns(there):
            raise UserError(
                f"Secret {namespace}/{secret} exists and does not belong to this Witness",
                remedy="delete or rename it, or create the Witness under another name",
            )
        if there is not None and _still_good(there, office, now):
            return
        identity = office.authority.issue(WitnessProcess(owner.uid), now)
        texts = {
            "ca.crt": identity.ca,
            "tls.crt": identity.certificate,
            "tls.key": identity.key,
        }
        body: Document = {
            "metadata": {
                "labels": objects.labels(name),
                "ownerReferences": [owner.reference()],
            },
            "type": "kubernetes.io/tls",
            "data": {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()},
        }
        await self._client.apply(SECRETS, namespace, secret, body)

    async def _find_addresses(self, witness: Witness, found: Found) -> Claim | None:
        managed = witness.spec.managed
        if managed is None:
            assert witness.spec.agent is not None, "the union has one member set"
            found.addresses = tuple(map(with_port, witness.spec.agent.addresses))
            return None
        if not self._image:
            return Claim(
                False,
                Reason.IMAGE_MISSING,
                "the operator was not told which image a witness runs",
                "set witnessImage in the chart's values (STANDFAST_WITNESS_IMAGE)",
            )
        addresses = await self._managed_addresses(witness, managed)
        if not addresses:
            kind = managed.service.type.value
            what = "pod" if managed.service.type is ServiceType.HEADLESS else "Service"
            return Claim(
                False,
                Reason.NO_ADDRESS,
                f"the {what} of the witness has no address yet (service.type {kind})",
                f"kubectl describe {what.lower()} {witness.metadata.name}"
                f"{'-0' if what == 'pod' else ''}, or set spec.managed.advertise",
            )
        found.addresses = tuple(map(with_port, addresses))
        return None

    async def _managed_addresses(
        self, witness: Witness, managed: ManagedWitness
    ) -> tuple[str, ...]:
        namespace, name = witness.key
        if managed.advertise:
            return managed.advertise
        if managed.service.type is ServiceType.HEADLESS:
            return objects.address_of_pod(await self._client.find(PODS, namespace, f"{name}-0"))
        document = await self._client.find(SERVICES, namespace, name)
        return objects.addresses_of_service(document)

    async def _ask(self, found: Found) -> None:
        """Whether its process answers, and what it says of itself."""
        door = found.door()
        if door is None:
            found.answers = None
            return
        try:
            found.said = await self._caller.get(door, WITNESS_PATH, WitnessStatus)
        except NotReachedError as error:
            found.answers, found.answer_problem = False, error.problem
        except StandfastError as error:
            found.answers, found.answer_problem = True, error.problem
        else:
            found.answers, found.answer_problem = True, ""


def _still_good(document: Document, office: Office, now: datetime) -> bool:
    data = document.get("data") or {}
    try:
        ca = base64.b64decode(data["ca.crt"]).decode()
        certificate = facts(base64.b64decode(data["tls.crt"]).decode())
    except (KeyError, ValueError, UserError):
        return False
    return ca == office.authority.certificate and now < certificate.renew_at


def look_again_ms(found: Found) -> int:
    """When to make the next pass over a witness."""
    is_settled = found.problem is None and found.answers is True
    return LOOK_AGAIN_MS if is_settled else SETTLING_MS
