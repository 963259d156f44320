"""Records and configs: who votes, by which timers, who is suspected."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from standfast.core.ids import BootId, MemberUid, Version
from standfast.core.record import Suspect, first_record, with_suspect
from standfast.core.timing import Profile
from tests.unit.core.small_world import A, B, C, W, X, config_of

FAST, NORMAL, TOLERANT = (profile.timing for profile in Profile)


def test_everyone_is_named_once_and_leaving_nodes_may_not_become_active() -> None:
    old = config_of(A, B, W)
    joint = replace(config_of(A, W, X), leaving=old.members, leaving_timing=old.timing)
    assert [member.uid for member in joint.everyone()] == [A, W, X, B]
    assert joint.data_nodes() == (A,)
    assert joint.member(B) is not None
    assert joint.member(C) is None
    assert len(list(joint.electorates())) == 2
    assert len(list(old.electorates())) == 1


def test_while_joint_the_longer_ttl_is_promised_and_the_shorter_hold_counts() -> None:
    for one, other in ((FAST, TOLERANT), (TOLERANT, FAST)):
        base = config_of(A, B, W, timing=one)
        joint = replace(base, leaving=base.members, leaving_timing=other)
        assert joint.ttl_ms == TOLERANT.ttl_ms
        assert joint.ttl_max_ms >= TOLERANT.ttl_ms
        assert joint.ttl_max_ms >= max(FAST.ttl_max_ms, TOLERANT.ttl_max_ms)
        assert joint.hold_ms(joint.ttl_ms) == FAST.hold_ms(FAST.ttl_ms)


def test_outside_a_change_hold_and_ttl_are_those_of_the_timers() -> None:
    config = config_of(A, B, W, timing=NORMAL)
    assert config.ttl_ms == NORMAL.ttl_ms
    assert config.ttl_max_ms == NORMAL.ttl_max_ms
    assert config.hold_ms(5_000) == NORMAL.hold_ms(5_000)


def test_a_digest_tells_two_first_configs_apart_and_one_from_itself() -> None:
    config = config_of(A, B, W)
    assert config.digest == config_of(A, B, W).digest
    assert config.digest != config_of(B, A, W).digest


def test_the_first_record_has_no_holder_and_every_data_node_in_sync() -> None:
    record = first_record(config_of(A, B, W))
    assert (record.version, record.holder, record.in_sync) == (Version(0, 0), None, {A, B})


SUSPECTS = st.builds(
    Suspect,
    st.sampled_from([MemberUid("a"), MemberUid("b")]),
    st.sampled_from([BootId("1"), BootId("2")]),
    st.integers(1, 5),
)


@given(st.lists(SUSPECTS, max_size=12))
def test_of_one_member_and_boot_only_the_highest_term_is_suspected(added: list[Suspect]) -> None:
    suspects: tuple[Suspect, ...] = ()
    for suspect in added:
        suspects = with_suspect(suspects, suspect)
    kept = {(s.member, s.boot): s.term for s in suspects}
    assert len(kept) == len(suspects)
    for suspect in added:
        assert kept[suspect.member, suspect.boot] >= suspect.term
    assert set(kept) == {(s.member, s.boot) for s in added}


def test_versions_order_by_term_first_and_read_as_one_word() -> None:
    assert Version(1, 9) < Version(2, 1)
    assert str(Version(2, 1)) == "2.1"
