"""Specs of clusters become what the core decides by."""

import pytest
from tests.unit.api.documents import CLUSTER

from standfast.api.cluster import DataMode, HACluster, Timing
from standfast.core import record
from standfast.core.timing import Profile


def test_what_was_left_out_has_the_safe_default() -> None:
    spec = HACluster.model_validate(CLUSTER).spec

    assert (spec.data, spec.paused, spec.placement.failback) == (DataMode.NONE, False, "Never")
    assert (spec.fencing.policy, spec.fencing.after_fence) == ("WhenNeeded", "PowerOn")
    assert spec.timing.to_core() == Profile.NORMAL.timing


@pytest.mark.parametrize("profile", Profile)
def test_a_profile_is_the_cores_own(profile: Profile) -> None:
    assert Timing(profile=profile).to_core() == profile.timing


def test_every_admitted_target_keeps_every_inequality() -> None:
    timings = [Timing(target_failover_seconds=seconds).to_core() for seconds in range(1, 301)]

    assert [timing.problems() for timing in timings if timing.problems()] == []


@pytest.mark.parametrize("mode", DataMode)
def test_every_data_mode_is_one_of_the_cores(mode: DataMode) -> None:
    assert mode.to_core() in record.DataMode
