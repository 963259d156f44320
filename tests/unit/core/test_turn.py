"""What is kept between two effects: the best proof, the longest promise."""

from dataclasses import replace

from standfast.core.events import FencedReported, ProofHeld
from standfast.core.ids import Version
from standfast.core.messages import Fenced
from standfast.core.record import DataMode, Proof
from standfast.core.timing import Profile
from tests.unit.core.one_member import One, record_of
from tests.unit.core.small_world import A, B, W, World, config_of


def test_a_full_proof_takes_a_suspect_off_although_a_lesser_one_was_held() -> None:
    """The watchdog came first, the power-off was confirmed later: found by the simulator."""
    world = World(config_of(A, B, W, data=DataMode.SHARED_DISK))
    world.run(500)
    world.crash(A)
    world.run(3_000)
    assert world.serving() == [B]
    (suspect,) = world.states[B].record.suspects
    world.tell(B, ProofHeld(suspect, Proof.WATCHDOG))
    assert world.states[B].proofs[suspect] is Proof.WATCHDOG

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


def test_a_config_with_a_shorter_ttl_does_not_make_a_longer_promise_forgotten() -> None:
    slow = config_of(A, B, W, timing=Profile.TOLERANT.timing)
    one = One(W, slow)
    fast = replace(slow, timing=Profile.FAST.timing, id=Version(5, 2))
    one.hear(A, one.renew(5))
    record = record_of(fast, Version(5, 2), A)
    one.hear(A, one.renew(5, beat=2, version=record.version, record=record, ttl_ms=fast.ttl_ms))
    assert one.state.durable.promised_ttl_ms == slow.ttl_ms
