"""What must be proven before a resource starts.

Holding the lease is permission. A resource that could write to the same data also needs proof
that each suspect, every former holder not yet proven stopped, cannot write any more. Proofs are
sought in parallel; the first that suffices wins, and the record of the failover names it.

Source: `docs/protocol.md`, section "Proof before start". Safety: S2, S3.
"""

from collections.abc import Collection, Mapping
from enum import Enum

from standfast.core.messages import Release
from standfast.core.record import DataMode, Proof, Record, Suspect
from standfast.core.state import State
from standfast.core.timing import READ_MS

FULL = frozenset(
    {Proof.RELEASED, Proof.ATTESTED, Proof.POWERED_OFF, Proof.REBOOTED, Proof.OBSERVED}
)
"""Proofs that the suspect runs nothing at all; they take it off the record.

`OBSERVED` is a node's own look at itself in the same boot: everything of the earlier run is
stopped, or adopted as its own.
"""


class Need(Enum):
    """What a resource could do wrong if an old holder still ran."""

    ADDRESS = "Address"
    """Nothing that the kernel does not take away when the lease ends: addresses, services
    without data of their own."""

    REPLICATED = "Replicated"
    """Write to its own copy, where the replication refuses the old side by itself."""

    EXCLUSIVE = "Exclusive"
    """Write to data that it does not own alone: a shared disk, an outside system."""


_ENOUGH: Mapping[Need, frozenset[Proof]] = {
    Need.ADDRESS: FULL | {Proof.RESERVED, Proof.WATCHDOG, Proof.LEASE_EXPIRED},
    Need.REPLICATED: FULL | {Proof.WATCHDOG, Proof.LEASE_EXPIRED},
    Need.EXCLUSIVE: FULL | {Proof.RESERVED},
}


def enough(need: Need, *, watchdog_for_exclusive: bool = False) -> frozenset[Proof]:
    """Proofs that suffice for a need.

    Args:
        need: What the resource could do wrong.
        watchdog_for_exclusive: The owner's explicit policy; a stunned VM runs no watchdog either.
    """
    if need is Need.EXCLUSIVE and watchdog_for_exclusive:
        return _ENOUGH[need] | {Proof.WATCHDOG}
    return _ENOUGH[need]


def unproven(
    record: Record,
    proofs: Mapping[Suspect, Proof],
    need: Need,
    *,
    reserved: Collection[Suspect] = (),
    watchdog_for_exclusive: bool = False,
) -> tuple[Suspect, ...]:
    """Suspects in the way of a start; none means go.

    A member that has won the lease holds `LEASE_EXPIRED` for every suspect by that alone.

    Args:
        record: In force.
        proofs: `State.proofs`.
        need: What the resource could do wrong.
        reserved: `State.reserved` of the disk that the resource uses: `Reserved` is good for that
            disk only.
        watchdog_for_exclusive: As for `enough`.
    """
    good = enough(need, watchdog_for_exclusive=watchdog_for_exclusive)
    if Proof.LEASE_EXPIRED in good:
        return ()
    shut_out = reserved if Proof.RESERVED in good else ()
    return tuple(s for s in record.suspects if proofs.get(s) not in good and s not in shut_out)


def watchdog_wait_ms(suspect: Suspect, drift_ppm: int) -> int | None:
    """How long after the new holder won a suspect's armed watchdog has reset it; none without.

    The watchdog was last fed under the suspect's lease, so before anybody else won; and once more,
    at most one timeout later, should what feeds it die: the kernel feeds a watchdog whose device
    is closed without being disarmed (drivers/watchdog/watchdog_dev.c, `watchdog_release`). Its
    clock may be slow and the new holder's fast.
    """
    if suspect.watchdog_ms is None:
        return None
    fast_ppm, slow_ppm = 1_000_000 + drift_ppm, 1_000_000 - drift_ppm
    return -(-2 * suspect.watchdog_ms * fast_ppm // slow_ppm) + READ_MS


def known_proof(state: State, suspect: Suspect) -> Proof | None:
    """The proof that this member has against a suspect: a full one if there is any."""
    held = state.proofs.get(suspect)
    if held in FULL:
        return held
    releases = (state.releases.get(suspect.member), state.stopped.get(suspect.member))
    if any(_released(release, suspect) for release in releases):
        return Proof.RELEASED
    if any((f.member, f.boot) == (suspect.member, suspect.boot) for f in state.durable.fenced):
        return Proof.POWERED_OFF
    if suspect.member == state.me and suspect.boot != state.boot:
        return Proof.REBOOTED
    return held


def _released(release: Release | None, suspect: Suspect) -> bool:
    return (
        release is not None
        and release.stopped
        and release.boot == suspect.boot
        and release.term >= suspect.term
    )


def default_need(mode: DataMode, *, exclusive: bool) -> Need:
    """What a resource needs unless its kind says otherwise."""
    if exclusive or mode is DataMode.SHARED_DISK:
        return Need.EXCLUSIVE
    if mode in {DataMode.REPLICATED, DataMode.REPLICATED_ASYNC}:
        return Need.REPLICATED
    return Need.ADDRESS
