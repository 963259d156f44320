"""A few runs of the campaign on the suite's own pair, and proof that its checkers see.

`make chaos RUNS=n SEED=s` is the same for longer, on a lab of its own.
"""

import pytest

from standfast.lab.chaos.bed import SUBJECTS
from standfast.lab.chaos.campaign import Run
from standfast.lab.chaos.plan import Fault, Kind, Plan, Role, draw
from standfast.lab.chaos.plants import PLANTS
from standfast.lab.chaos.scene import Scene
from tests.e2e.conftest import Pair

pytestmark = pytest.mark.lab

SEED = 11
WEB = SUBJECTS["web"]
QUIET = Plan(0, (Fault(Kind.OPERATOR_KILL, Role.NOBODY, 0),))


@pytest.mark.parametrize("number", [1, 2, 3])
def test_random_faults_leave_one_of_everything(pair: Pair, number: int) -> None:
    plan = draw(SEED, number)
    outcome = Run(Scene(pair.cluster, WEB.unit), WEB, plan).go()
    print(f"\n{outcome.row()}")
    assert outcome.wrong == []


@pytest.mark.parametrize(
    ("plant", "sentence"),
    [("second-address", "two spoke"), ("second-process", "two ran")],
)
def test_what_is_done_by_hand_past_the_product_is_seen(
    pair: Pair, plant: str, sentence: str
) -> None:
    outcome = Run(Scene(pair.cluster, WEB.unit), WEB, QUIET, PLANTS[plant]).go()
    assert any(found.startswith(sentence) for found in outcome.wrong), outcome.row()
