"""A promise as long as the expected stun needs, and what `install` leaves for VMware Tools."""

import subprocess
from pathlib import Path

import pytest

from standfast.agent.install import backup_script
from standfast.agent.quiescing import survived_ms, ttl_for_ms
from standfast.core.timing import Profile
from tests.unit.core.small_world import A, B, W, config_of


@pytest.mark.parametrize("profile", list(Profile))
@pytest.mark.parametrize("stun_ms", [1, 6_000, 10_000])
def test_the_promise_outlasts_the_stun_and_is_not_longer_than_that_takes(
    profile: Profile, stun_ms: int
) -> None:
    config = config_of(A, B, W, timing=profile.timing)
    ttl_ms = ttl_for_ms(config, stun_ms)
    assert survived_ms(config, ttl_ms) >= stun_ms
    assert ttl_ms == config.ttl_ms or survived_ms(config, ttl_ms - 2) < stun_ms


def test_no_promise_is_longer_than_the_members_agreed_on() -> None:
    config = config_of(A, B, W)
    assert ttl_for_ms(config, 10 * config.ttl_max_ms) == config.ttl_max_ms


@pytest.mark.parametrize(
    ("word", "said"), [("freeze", "quiesce --for 300"), ("thaw", "thaw"), ("freezeFail", "thaw")]
)
def test_vmware_tools_announce_a_snapshot_and_never_fail_for_us(
    tmp_path: Path, word: str, said: str
) -> None:
    agent, script = tmp_path / "agent", tmp_path / "script"
    agent.write_text("#!/bin/sh\necho $@\nexit 1\n")
    agent.chmod(0o755)
    script.write_text(backup_script(agent))
    done = subprocess.run(["sh", script, word], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, said)
