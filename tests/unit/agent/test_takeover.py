"""The story of a takeover: what each step cost, from standing on."""

from standfast.agent.takeover import Takeover
from standfast.core.ids import BootId, ClusterUid, MemberUid, Version
from standfast.core.record import Config, Proof, Record, Suspect
from standfast.core.timing import Profile

OLD = Suspect(MemberUid("b"), BootId("boot-b"), 3)
RECORD = Record(Version(4, 1), Config(ClusterUid("c"), (), Profile.NORMAL.timing), suspects=(OLD,))


def test_each_step_counts_from_standing() -> None:
    story = Takeover()
    assert story.status() is None
    story.stood(1000)
    story.stood(1005)
    story.won(4, 1020)
    story.committed(RECORD, 1030)
    story.proven(OLD, Proof.POWERED_OFF, 1900)
    story.served(4, 2000)
    told = story.status()
    assert told is not None
    assert (told.term, told.won_ms, told.record_ms) == (4, 20, 30)
    assert (told.proof_ms, told.serving_ms, told.proof) == (900, 1000, "PoweredOff")
    assert [(proof.proof, proof.took_ms) for proof in story.proofs] == [("PoweredOff", 880)]


def test_a_lease_that_ran_out_is_the_proof_when_nothing_else_was_needed() -> None:
    story = Takeover()
    story.stood(0)
    story.won(4, 10)
    story.committed(RECORD, 20)
    story.served(4, 50)
    told = story.status()
    assert told is not None
    assert (told.proof, told.proof_ms) == ("LeaseExpired", None)


def test_a_first_election_needs_no_proof() -> None:
    story = Takeover()
    story.won(1, 10)
    story.committed(Record(Version(1, 1), RECORD.config), 20)
    story.served(1, 50)
    told = story.status()
    assert told is not None
    assert told.proof == ""


def test_a_failed_candidacy_does_not_count() -> None:
    story = Takeover()
    story.stood(0)
    story.gave_up()
    story.stood(500)
    story.won(4, 510)
    told = story.status()
    assert told is not None
    assert told.won_ms == 10


def test_another_terms_service_changes_nothing() -> None:
    story = Takeover()
    story.won(4, 10)
    story.served(3, 50)
    story.proven(OLD, Proof.RELEASED, 60)
    told = story.status()
    assert told is not None
    assert told.serving_ms is None


def test_the_outage_counts_from_the_last_word_of_the_holder_before() -> None:
    story = Takeover()
    story.stood(1000, heard_ms=400)
    story.stood(1100, heard_ms=1050)
    story.won(4, 1120)
    assert story.outage_ms is None, "it is not over yet"
    story.served(4, 1500)
    assert story.outage_ms == 1100
    fresh = Takeover()
    fresh.stood(0)
    fresh.won(1, 10)
    fresh.served(1, 20)
    assert fresh.outage_ms is None, "nobody was heard before"
