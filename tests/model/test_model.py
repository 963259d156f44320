"""The lease, its record and its changes of config, checked exhaustively by Spin.

Two kinds of test: each *claim* searches every state of a model and finds no violation; for each
*rule*, the same model without it is searched and the violation found. README.md holds the figures
and is compared with what the searches say. `DEEP` claims run with STANDFAST_MODEL_DEEP=1.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.model.checker import search

README = (Path(__file__).parent / "README.md").read_text()


@dataclass(frozen=True, slots=True)
class Claim:
    """A model without violation, within these bounds."""

    name: str
    model: str
    defines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the protocol, by the `#ifdef` that takes it away.

    Attributes:
        breaks: What the checker then finds: a piece of the assertion in the model.
        bounds: In which the violation shows.
    """

    removed: str
    model: str
    breaks: str
    bounds: tuple[str, ...] = ()


CLAIMS = (
    Claim("clocks", "lease.pml", ("CLOCKS", "LATE", "TTL=4")),
    Claim("terms", "lease.pml", ("TERMS=3",)),
    Claim("restarts", "lease.pml", ("RESTARTS=2",)),
    Claim("three-nodes", "lease.pml", ("DATA=3",)),
    Claim("suspects", "suspects.pml", ()),
    Claim("longer", "change.pml", ("TTL_OLD=2", "TTL_NEW=3", "RESTARTS=1")),
    Claim("shorter", "change.pml", ("TTL_OLD=3", "TTL_NEW=2", "RESTARTS=1")),
)
DEEP = (
    Claim("deep-terms-restarts", "lease.pml", ("TERMS=3", "RESTARTS=2")),
    Claim("deep-three-nodes", "lease.pml", ("DATA=3", "TERMS=3")),
    Claim("deep-clocks-late", "lease.pml", ("CLOCKS", "LATE", "TERMS=3")),
    Claim("deep-suspects-three-nodes", "suspects.pml", ("DATA=3",)),
    Claim("deep-change-terms", "change.pml", ("TERMS=3",)),
)

HOLD_TWICE = "holds[0]"
SERVE_TWICE = "serves[0]"
RUN_TWICE = "runs[0]"
WIN_TWICE = "winner["
TERM_BACK = ">=term["

SHORTER = ("TTL_OLD=3", "TTL_NEW=2")
RULES = (
    # Time
    Rule("NO_DRIFT_IN_GUARD", "lease.pml", SERVE_TWICE),
    Rule("NO_STOP_IN_GUARD", "lease.pml", SERVE_TWICE),
    Rule("NO_COUNTING_FROM_SENDING", "lease.pml", SERVE_TWICE),
    Rule("NO_BEAT_NUMBER", "lease.pml", SERVE_TWICE, ("LATE",)),
    Rule("NO_REQUEST_IN_ANSWER", "lease.pml", WIN_TWICE, ("LATE",)),
    Rule("NO_LONGEST", "change.pml", HOLD_TWICE),
    Rule("NO_LONGEST_IN_BOOT_HOLD+NO_CUT", "change.pml", HOLD_TWICE, (*SHORTER, "RESTARTS=1")),
    # Voting
    Rule("NO_VOTED_FOR", "lease.pml", WIN_TWICE),
    Rule("NO_DURABLE_VOTE", "lease.pml", WIN_TWICE),
    Rule("NO_PROMISE", "lease.pml", TERM_BACK),
    Rule("NO_BOOT_HOLD", "lease.pml", SERVE_TWICE),
    Rule("NO_BOOT_IN_FENCED", "lease.pml", SERVE_TWICE),
    Rule("NO_RECORD_IN_VOTE", "suspects.pml", RUN_TWICE),
    Rule("NO_TERM_IN_RECORD_ORDER", "suspects.pml", RUN_TWICE),
    # Standing
    Rule("NO_OWN_PROMISE_KEPT", "lease.pml", SERVE_TWICE),
    Rule("NO_KEEPING_WHILE_HELD", "lease.pml", SERVE_TWICE),
    Rule("NO_END_OF_RENEWING", "lease.pml", TERM_BACK),
    Rule("NO_STOP_BEFORE_STANDING", "lease.pml", SERVE_TWICE),
    Rule("NO_STOP_BEFORE_STANDING", "suspects.pml", RUN_TWICE),
    # Winning and holding
    Rule("NO_FIRST_COMMIT", "suspects.pml", RUN_TWICE),
    Rule("NO_HOLDER_AS_SUSPECT", "suspects.pml", RUN_TWICE),
    Rule("NO_SUSPECTS_TAKEN_OVER", "suspects.pml", RUN_TWICE),
    Rule("NO_HIGHEST_TERM", "suspects.pml", RUN_TWICE),
    # Renewing
    Rule("NO_OWN_PROMISE", "lease.pml", SERVE_TWICE),
    Rule("NO_TERM_ON_RENEWAL", "lease.pml", WIN_TWICE),
    Rule("NO_TERM_ON_RENEWAL", "suspects.pml", WIN_TWICE),
    Rule("NO_VOTED_FOR_ON_RENEWAL", "lease.pml", SERVE_TWICE),
    # Releasing
    Rule("NO_STOP_BEFORE_RELEASE", "lease.pml", SERVE_TWICE),
    Rule("NO_STOP_BEFORE_RELEASE", "suspects.pml", RUN_TWICE),
    Rule("NO_DROPPING_AT_RELEASE", "lease.pml", TERM_BACK),
    Rule("NO_TERM_IN_RELEASE", "lease.pml", SERVE_TWICE, ("TERMS=3",)),
    # Proof
    Rule("NO_TERM_IN_RELEASED", "suspects.pml", RUN_TWICE),
    Rule("NO_STOPPED_IN_RELEASE", "suspects.pml", RUN_TWICE),
    Rule("NO_BOOT_IN_FENCED", "suspects.pml", RUN_TWICE),
    Rule("NO_BOOT_BEFORE_POWER_OFF", "suspects.pml", RUN_TWICE),
    Rule("NO_FRESH_BOOT", "suspects.pml", RUN_TWICE),
    # Config
    Rule("NO_JOINT", "change.pml", WIN_TWICE),
    Rule("NO_BOTH_MAJORITIES", "change.pml", WIN_TWICE),
    Rule("NO_COMMIT_OF_JOINT", "change.pml", WIN_TWICE),
    Rule("NO_FIRST_COMMIT", "change.pml", WIN_TWICE),
    Rule("NO_CONFIG_IN_ANSWER", "change.pml", WIN_TWICE),
)


def check(claim: Claim, work: Path, memory_mb: int) -> None:
    verdict = search(claim.model, claim.defines, work, memory_mb=memory_mb)
    print(
        f"{claim.name}: {verdict.states:,} states, {verdict.transitions:,} transitions, "
        f"{verdict.seconds} s"
    )
    assert not verdict.violated, "python -m tests.model.story tells how it comes about"
    assert all('"-end-"' in line for line in verdict.unreached), "every action happens"
    assert f"| {claim.name} |" in README
    assert f"| {verdict.states:,} |" in README


@pytest.mark.timeout(900)
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_no_state_of_the_model_violates_an_invariant(claim: Claim, tmp_path: Path) -> None:
    check(claim, tmp_path, memory_mb=2_000)


@pytest.mark.timeout(3_600)
@pytest.mark.skipif("STANDFAST_MODEL_DEEP" not in os.environ, reason="minutes and gigabytes each")
@pytest.mark.parametrize("claim", DEEP, ids=lambda claim: claim.name)
def test_no_state_of_a_larger_model_violates_an_invariant(claim: Claim, tmp_path: Path) -> None:
    check(claim, tmp_path, memory_mb=14_000)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.model[:-4]}-{rule.removed}")
def test_the_loss_of_a_rule_is_found(rule: Rule, tmp_path: Path) -> None:
    verdict = search(rule.model, (*rule.removed.split("+"), *rule.bounds), tmp_path)
    assert rule.breaks in verdict.violated
    assert f"`{rule.removed}`" in README


def test_every_rule_that_a_model_can_lose_is_tried() -> None:
    """A new `#ifdef` without its row above, or without one in the README, would prove nothing."""
    tried = {(rule.model, name) for rule in RULES for name in rule.removed.split("+")}
    folder = Path(__file__).parent
    for model in ("lease.pml", "suspects.pml", "change.pml"):
        text = (folder / model).read_text()
        named = {word.strip("()") for word in text.replace("(", " ").split() if "NO_" in word}
        losable = {word for word in named if word.startswith("NO_") and word.rstrip(".") == word}
        missing = {name for name in losable if (model, name) not in tried}
        assert missing <= INVISIBLE[model], f"{model}: {missing} not tried"
        assert all(f"`{name}`" in README for name in INVISIBLE[model])


INVISIBLE = {
    "lease.pml": {"NO_BOOT_IN_PROMISE", "NO_END_OF_CANDIDACY"},
    "suspects.pml": {"NO_RECORD_ORDER"},
    "change.pml": {"NO_FORGETTING", "NO_LONGER_PROMISE", "NO_SHORTER_HOLD"},
}
"""Rules whose loss breaks nothing that a model checks; README.md says why they are kept."""
