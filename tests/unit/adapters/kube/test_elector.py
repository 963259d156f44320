"""Which replica holds the Lease, from when on, and the token that comes of it."""

from typing import cast

from standfast.adapters.fakes import FakeClock
from standfast.adapters.kube import elector as electors
from standfast.adapters.kube.elector import Elector
from standfast.adapters.kube.endpoint import Endpoint
from standfast.adapters.kube.paths import Document


class Lease:
    """One Lease of an API server, with conditional writes."""

    def __init__(self) -> None:
        self.spec: Document | None = None
        self.version = 0

    def read(self) -> Document | None:
        if self.spec is None:
            return None
        return {"metadata": {"resourceVersion": str(self.version)}, "spec": self.spec}

    def create(self, spec: Document) -> Document:
        return self.replace({"metadata": {"resourceVersion": str(self.version)}}, spec)

    def replace(self, lease: Document, spec: Document) -> Document:
        if lease["metadata"]["resourceVersion"] != str(self.version):
            raise electors._ConflictError
        self.version += 1
        self.spec = spec
        found = self.read()
        assert found is not None
        return found


def replica(name: str, lease: Lease, clock: FakeClock | None = None) -> Elector:
    made = Elector(
        Endpoint("https://127.0.0.1:6443"),
        clock or FakeClock(),
        namespace="standfast",
        name="standfast-operator",
        identity=name,
        on_elected=lambda _: None,
    )
    made._api = cast("electors._LeaseApi", lease)
    return made


def test_a_lease_that_began_anew_is_raised_above_what_members_have_seen() -> None:
    """F79: etcd was restored from a backup, or somebody deleted the Lease."""
    lease = Lease()
    acting = replica("a", lease)
    acting._once()
    assert acting.token == 1
    acting.outbid(7)
    acting._once()
    assert acting.token == 8
    acting._once()
    assert acting.token == 8
    assert lease.spec is not None
    assert lease.spec["leaseTransitions"] == 8


def test_a_replica_that_was_replaced_outbids_nobody() -> None:
    lease = Lease()
    frozen, acting = replica("a", lease), replica("b", lease)
    frozen._once()
    assert lease.spec is not None
    lease.spec = {**lease.spec, "holderIdentity": ""}
    lease.version += 1
    acting._once()
    assert (frozen.token, acting.token) == (1, 2)
    frozen.outbid(2)
    for _ in range(3):
        frozen._once()
    assert frozen.token == 1
    assert lease.spec["leaseTransitions"] == 2


def test_a_lease_that_is_over_is_taken_when_it_is_over_and_not_a_pause_later() -> None:
    """F73: how long a takeover takes is the duration of the lease and little else."""
    lease, clock = Lease(), FakeClock()
    acting, other = replica("a", lease), replica("b", lease, clock)
    acting._once()
    other._once()
    paused_ms = []
    while other.token == 0:
        paused_ms.append(round(1000 * other._pause_s()))
        clock.advance(paused_ms[-1])
        other._once()
    assert sum(paused_ms) == electors.DURATION_MS
    assert paused_ms[:-1] == [2_000] * 7
    assert other._pause_s() == electors.RETRY_S


def test_a_lease_that_is_renewed_is_not_taken_and_one_that_cannot_be_is_tried_again() -> None:
    lease, clock = Lease(), FakeClock()
    acting, other = replica("a", lease), replica("b", lease, clock)
    for _ in range(10):
        acting._once()
        other._once()
        assert other._pause_s() == electors.RETRY_S
        clock.advance(electors.DURATION_MS - 1)
    assert other.token == 0
    clock.advance(1)
    assert other._pause_s() == electors.RETRY_S, "it is over: no haste when that was tried in vain"
