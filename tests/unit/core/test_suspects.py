"""Suspects: what is good against them for how long, and what stays to be read of them."""

from standfast.core import quorum
from standfast.core.events import (
    ClockSuspect,
    Declined,
    ProofFound,
    ProofHeld,
    ReleaseRequested,
    Stopped,
    Tick,
)
from standfast.core.ids import BootId, Version
from standfast.core.messages import Release
from standfast.core.record import (
    CLEARED_KEPT,
    Cleared,
    Proof,
    Suspect,
    WatchdogArmed,
    with_cleared,
    with_suspect,
)
from tests.unit.core.one_member import BOOT, One, record_of
from tests.unit.core.small_world import A, B, C, W, X, config_of

PAIR = config_of(A, B, W)
FIVE = config_of(A, B, C, W, X)
B1 = BootId("b-boot-1")


def suspicious() -> tuple[One, Suspect]:
    one = One(A, record=record_of(PAIR, Version(3, 1), B))
    one.win(W)
    return one, Suspect(B, B1, 3)


# --- reservations ------------------------------------------------------------------------------


def test_a_reservation_shuts_a_suspect_out_of_the_disk_that_it_names_and_of_no_other() -> None:
    one, suspect = suspicious()
    effects = one.tell(ProofHeld(suspect, Proof.RESERVED, disk="data"))
    assert ProofFound(suspect, Proof.RESERVED, "data") in effects
    assert one.state.reserved == {"data": {suspect}}
    assert one.state.proofs == {}
    assert one.record.suspects == (suspect,)
    assert one.tell(ProofHeld(suspect, Proof.RESERVED, disk="data")) == ()
    one.tell(ProofHeld(suspect, Proof.RESERVED, disk="logs"))
    assert set(one.state.reserved) == {"data", "logs"}


def test_a_reservation_that_names_no_disk_is_declined() -> None:
    one, suspect = suspicious()
    (declined,) = one.tell(ProofHeld(suspect, Proof.RESERVED))
    assert isinstance(declined, Declined)
    assert one.state.reserved == {}


def test_a_reservation_is_good_while_the_lease_lasts() -> None:
    one, suspect = suspicious()
    one.tell(ProofHeld(suspect, Proof.RESERVED, disk="data"))
    one.tell(ClockSuspect("the clocks differ"))
    assert one.state.reserved == {}
    (declined,) = one.tell(ProofHeld(suspect, Proof.RESERVED, disk="data"))
    assert isinstance(declined, Declined)
    one, suspect = suspicious()
    one.tell(ProofHeld(suspect, Proof.RESERVED, disk="data"))
    one.tell(ReleaseRequested())
    one.tell(Stopped())
    assert one.state.reserved == {}


# --- watchdogs ---------------------------------------------------------------------------------


def watched(timeout_ms: int | None = 5_000) -> One:
    """A holder after one whose record said that its watchdog was armed, or was not."""
    armed = None if timeout_ms is None else WatchdogArmed(timeout_ms)
    return One(A, record=record_of(PAIR, Version(3, 1), B, watchdog=armed))


def tick_for(one: One, for_ms: int) -> None:
    """Time passes with every renewal answered; a restart of this node's own clock is no matter."""
    end_ms = one.now_ms + for_ms
    while one.now_ms < end_ms:
        due_ms = quorum.wake_at_ms(one.state)
        assert due_ms is not None
        one.now_ms = min(end_ms, max(one.now_ms, due_ms))
        one.tell(Tick())
        one.ack(W)


def test_the_watchdog_of_a_suspect_is_proof_once_the_slowest_would_have_reset_it() -> None:
    one = watched()
    one.win(W)
    (suspect,) = one.record.suspects
    assert suspect.watchdog_ms == 5_000
    held = one.state.holding
    assert held is not None
    at_ms = held.won_at_ms + 10_204
    tick_for(one, at_ms - 1 - one.now_ms)
    assert one.state.proofs == {}
    assert quorum.wake_at_ms(one.state) == at_ms
    tick_for(one, 1)
    assert one.state.proofs == {suspect: Proof.WATCHDOG}
    assert one.record.suspects == (suspect,)


def test_no_watchdog_proves_nothing_however_long_it_takes() -> None:
    one = watched(None)
    one.win(W)
    tick_for(one, 20_000)
    assert one.state.proofs == {}


def test_the_watchdog_of_a_suspect_goes_from_record_to_record() -> None:
    armed = WatchdogArmed(5_000)
    one = One(A, FIVE, record=record_of(FIVE, Version(3, 1), B, watchdog=armed))
    one.win(W, X)
    third = One(C, FIVE, record=one.record)
    third.win(W, X)
    watchdogs = {s.member: s.watchdog_ms for s in third.record.suspects}
    assert watchdogs == {B: 5_000, A: None}


def test_a_later_suspicion_of_the_same_boot_goes_by_its_own_watchdog() -> None:
    old, new = Suspect(B, B1, 3, 5_000), Suspect(B, B1, 4, None)
    (kept,) = with_suspect((old,), new)
    assert (kept.term, kept.watchdog_ms) == (4, None)


# --- what was proven stays to be read ----------------------------------------------------------


def test_what_a_person_vouched_for_stays_in_every_later_record_with_the_name() -> None:
    one, suspect = suspicious()
    one.tell(ProofHeld(suspect, Proof.ATTESTED, approver="jane@example.com"))
    assert one.record.cleared == (Cleared(suspect, Proof.ATTESTED, "jane@example.com"),)
    other = One(B, record=one.record)
    other.hear(A, Release(A, BOOT, one.record.version.term, stopped=True))
    other.win(W)
    kept, released = other.record.cleared
    assert kept == Cleared(suspect, Proof.ATTESTED, "jane@example.com")
    assert released.proof is Proof.RELEASED
    third = One(A, record=other.record)
    third.win(W)
    assert third.record.cleared == (kept,)


def test_what_was_proven_is_kept_within_bounds_and_vouched_for_the_longest() -> None:
    vouched = Cleared(Suspect(A, B1, 1), Proof.ATTESTED, "jane@example.com")
    kept: tuple[Cleared, ...] = (vouched,)
    for term in range(2, 2 * CLEARED_KEPT):
        kept = with_cleared(kept, (Cleared(Suspect(B, B1, term), Proof.RELEASED),))
    assert len(kept) == CLEARED_KEPT
    assert kept[0] == vouched
    assert kept[-1].suspect.term == 2 * CLEARED_KEPT - 1
    for term in range(CLEARED_KEPT):
        kept = with_cleared(kept, (Cleared(Suspect(B, B1, term), Proof.ATTESTED),))
    assert len(kept) == CLEARED_KEPT
    assert vouched not in kept
