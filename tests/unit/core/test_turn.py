"""Proofs held against a suspect: a lesser one never stands in the way of a full one."""

from standfast.core.events import FencedReported, ProofHeld
from standfast.core.messages import Fenced
from standfast.core.record import DataMode, Proof
from tests.unit.core.small_world import A, B, W, World, config_of


def test_a_full_proof_takes_a_suspect_off_although_a_lesser_one_was_held() -> None:
    """The disk was seized first, the power-off confirmed later: found by the simulator."""
    world = World(config_of(A, B, W, data=DataMode.SHARED_DISK))
    world.run(500)
    world.crash(A)
    world.run(3_000)
    assert world.serving() == [B]
    (suspect,) = world.states[B].record.suspects
    world.tell(B, ProofHeld(suspect, Proof.RESERVED))
    assert world.states[B].proofs[suspect] is Proof.RESERVED

    world.tell(B, FencedReported(Fenced(A, suspect.boot)))
    world.run(100)

    assert world.states[B].record.suspects == ()
    assert [c.proof for c in world.states[B].record.cleared] == [Proof.POWERED_OFF]


def test_a_lesser_proof_does_not_replace_a_full_one() -> None:
    world = World(config_of(A, B, W))
    world.run(500)
    world.crash(A)
    world.run(3_000)
    (suspect,) = world.states[B].record.suspects
    world.isolate(B)
    world.tell(B, ProofHeld(suspect, Proof.ATTESTED))
    world.tell(B, ProofHeld(suspect, Proof.WATCHDOG))
    assert world.states[B].proofs[suspect] is Proof.ATTESTED
