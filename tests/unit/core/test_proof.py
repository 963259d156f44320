"""What must be proven before a start: every kind of need against every kind of proof."""

import itertools
from dataclasses import replace
from fractions import Fraction

import pytest

from standfast.core.ids import BootId, Version
from standfast.core.messages import Fenced, Release
from standfast.core.proof import (
    FULL,
    Need,
    default_need,
    enough,
    known_proof,
    unproven,
    watchdog_wait_ms,
)
from standfast.core.record import DataMode, Proof, Suspect
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, W, config_of

PAIR = config_of(A, B, W)
B1, B2 = BootId("b-boot-1"), BootId("b-boot-2")
SUSPECT = Suspect(B, B1, 3)

TABLE = {
    Proof.RELEASED: set(Need),
    Proof.ATTESTED: set(Need),
    Proof.POWERED_OFF: set(Need),
    Proof.REBOOTED: set(Need),
    Proof.OBSERVED: set(Need),
    Proof.RESERVED: {Need.ADDRESS, Need.EXCLUSIVE},
    Proof.WATCHDOG: {Need.ADDRESS, Need.REPLICATED},
    Proof.LEASE_EXPIRED: {Need.ADDRESS, Need.REPLICATED},
}
"""Section 6 of the protocol: what each proof is good for."""


@pytest.mark.parametrize(("proof", "need"), list(itertools.product(Proof, Need)))
def test_each_proof_is_good_for_what_the_table_says(proof: Proof, need: Need) -> None:
    assert (proof in enough(need)) is (need in TABLE[proof])


def test_a_watchdog_is_good_for_a_shared_disk_only_by_explicit_policy() -> None:
    assert Proof.WATCHDOG in enough(Need.EXCLUSIVE, watchdog_for_exclusive=True)
    assert enough(Need.ADDRESS, watchdog_for_exclusive=True) == enough(Need.ADDRESS)


@pytest.mark.parametrize("need", Need)
@pytest.mark.parametrize("held", [None, *Proof])
def test_every_suspect_must_be_proven(need: Need, held: Proof | None) -> None:
    other = Suspect(A, BootId("a-boot-1"), 2)
    record = record_of(PAIR, Version(4, 1), A, suspects=(SUSPECT, other))
    proofs = {other: Proof.RELEASED}
    if held is not None:
        proofs[SUSPECT] = held
    left = unproven(record, proofs, need)
    if Proof.LEASE_EXPIRED in enough(need):
        assert left == ()
    else:
        good = held is not None and need in TABLE[held]
        assert left == (() if good else (SUSPECT,))


def test_a_watchdog_is_waited_for_as_long_as_the_slowest_clock_needs() -> None:
    assert watchdog_wait_ms(SUSPECT, 10_000) is None
    armed = replace(SUSPECT, watchdog_ms=10_000)
    wait_ms = watchdog_wait_ms(armed, 10_000)
    assert wait_ms == 20_406
    # Fed at the end of the lease, and again as what fed it died: true time, by its own clock.
    slowest_end = Fraction(2 * 10_000) / (1 - Fraction(1, 100))
    assert wait_ms - 1 >= slowest_end * (1 + Fraction(1, 100))  # a fast clock, read too early


def test_a_reservation_is_good_for_its_disk_only() -> None:
    record = record_of(PAIR, Version(4, 1), A, suspects=(SUSPECT,))
    assert unproven(record, {}, Need.EXCLUSIVE, reserved={SUSPECT}) == ()
    assert unproven(record, {}, Need.EXCLUSIVE) == (SUSPECT,)


@pytest.mark.parametrize(
    ("mode", "exclusive", "need"),
    [
        (DataMode.NONE, False, Need.ADDRESS),
        (DataMode.NONE, True, Need.EXCLUSIVE),
        (DataMode.SHARED_DISK, False, Need.EXCLUSIVE),
        (DataMode.REPLICATED, False, Need.REPLICATED),
        (DataMode.REPLICATED, True, Need.EXCLUSIVE),
        (DataMode.REPLICATED_ASYNC, False, Need.REPLICATED),
    ],
)
def test_the_need_follows_from_where_the_data_are(
    mode: DataMode, exclusive: bool, need: Need
) -> None:
    assert default_need(mode, exclusive=exclusive) is need


@pytest.mark.parametrize(
    ("release", "proof"),
    [
        (None, None),
        (Release(B, B1, 3, stopped=True), Proof.RELEASED),
        (Release(B, B1, 4, stopped=True), Proof.RELEASED),
        (Release(B, B1, 3, stopped=False), None),
        (Release(B, B1, 2, stopped=True), None),
        (Release(B, B2, 3, stopped=True), None),
    ],
)
def test_a_release_that_is_known_proves_that_boot_and_term(
    release: Release | None, proof: Proof | None
) -> None:
    state = One(A).state
    if release is not None:
        state = replace(state, releases={B: release})
    assert known_proof(state, SUSPECT) is proof


def test_a_power_off_that_is_known_proves_that_boot() -> None:
    state = One(A).state
    off = replace(state.durable, fenced=(Fenced(B, B2), Fenced(A, B1)))
    assert known_proof(replace(state, durable=off), SUSPECT) is None
    off = replace(state.durable, fenced=(Fenced(B, B1),))
    assert known_proof(replace(state, durable=off), SUSPECT) is Proof.POWERED_OFF


def test_a_node_knows_that_its_own_earlier_boot_is_over() -> None:
    state = One(A).state
    assert known_proof(state, Suspect(A, BootId("before"), 3)) is Proof.REBOOTED
    assert known_proof(state, Suspect(A, BOOT, 3)) is None


@pytest.mark.parametrize("held", Proof)
def test_a_full_proof_that_is_held_is_named_and_a_lesser_one_only_for_want_of_better(
    held: Proof,
) -> None:
    state = replace(One(A).state, proofs={SUSPECT: held})
    assert known_proof(state, SUSPECT) is held
    better = replace(state, releases={B: Release(B, B1, 3, stopped=True)})
    assert known_proof(better, SUSPECT) is (held if held in FULL else Proof.RELEASED)
