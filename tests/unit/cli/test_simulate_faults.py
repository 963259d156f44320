"""The little language of faults: what reads, and what is said of what does not."""

import pytest
from tests.unit.cli.simulations import example

from standfast.cli.main import run
from standfast.cli.simulate_faults import FORMS, parse_faults
from standfast.errors import UserError
from standfast.simulator.scenario import DeclaredFault, Verb


def parsed(*texts: str) -> tuple[DeclaredFault, ...]:
    return parse_faults(texts, example())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crash vm-a at 5s", DeclaredFault(5_000, Verb.CRASH, "vm-a")),
        ("crash active", DeclaredFault(1_000, Verb.CRASH, "active")),
        ("crash vm-a for 30s at 5s", DeclaredFault(5_000, Verb.CRASH, "vm-a", "", 30_000)),
        ("cut vm-a third", DeclaredFault(1_000, Verb.CUT, "vm-a", "third")),
        ("stun vm-b for 1500ms", DeclaredFault(1_000, Verb.STUN, "vm-b", "", 1_500)),
        ("lose vcenter", DeclaredFault(1_000, Verb.LOSE, "vcenter")),
        ("kill web at 1m", DeclaredFault(60_000, Verb.KILL, "web")),
        ("switchover", DeclaredFault(1_000, Verb.SWITCHOVER)),
        ("switchover to vm-b", DeclaredFault(1_000, Verb.SWITCHOVER, "", "vm-b")),
        ("  heal  at   2s ", DeclaredFault(2_000, Verb.HEAL)),
    ],
)
def test_a_fault_reads_as_people_say_it(text: str, expected: DeclaredFault) -> None:
    assert parsed(text) == (expected,)


def test_faults_without_a_moment_follow_each_other_and_stand_in_order_of_time() -> None:
    faults = parsed("isolate vm-a", "heal", "crash vm-b at 3s")
    assert [(f.verb, f.at_ms) for f in faults] == [
        (Verb.ISOLATE, 1_000),
        (Verb.CRASH, 3_000),
        (Verb.HEAL, 6_000),
    ]


@pytest.mark.parametrize(
    "text", ["crash vm-a for 30s", "cut vm-a vm-b", "switchover to vm-b", "heal"]
)
def test_a_fault_says_itself_as_it_was_typed(text: str) -> None:
    assert str(parsed(text)[0]) == text


@pytest.mark.parametrize(
    ("text", "column", "said"),
    [
        ("", 1, "nothing is declared; what can be: crash,"),
        ("crush vm-a", 1, "'crush' (did you mean 'crash'?)"),
        ("crash", 6, "a member of web is missing; there are vm-a, vm-b,"),
        ("crash at 5s", 7, "a member of web is missing"),
        ("crash orders-c at 5s", 7, "'orders-c' is not a member of web; there are vm-a, vm-b"),
        ("reboot third", 8, "'third' is not a node of web"),
        ("cut vm-a vm-a", 10, "is not another member of web"),
        ("kill wep", 6, "'wep' (did you mean 'web'?) is not a resource of web"),
        ("lose vm-a", 6, "'vm-a' is not a witness of web; there are third, vcenter, operator"),
        ("stun vm-a", 10, "a stun needs to say how long"),
        ("kill web for 3s", 10, "kill happens in a moment"),
        ("switchover to vm-c", 15, "is not a node of web to move to"),
        ("crash vm-a at 5x", 15, "'5x' is not a duration: write 500ms"),
        ("crash vm-a at", 14, "a time is missing after 'at'"),
        ("crash vm-a now", 12, "'now' is not expected here"),
    ],
)
def test_what_does_not_read_is_pointed_at(text: str, column: int, said: str) -> None:
    with pytest.raises(UserError) as refused:
        parsed(text)
    first, shown, pointer = refused.value.problem.split("\n")
    assert f"column {column}: " in first
    assert said in first
    assert shown == f"    {text}"
    assert pointer.index("^") == 4 + column - 1
    assert refused.value.remedy.startswith("--fault '")


def test_faults_too_far_apart_are_refused_with_the_limit() -> None:
    with pytest.raises(UserError, match="span 3600 s, but at most 600 s"):
        parsed("crash vm-a at 1s", "heal at 3601s")


def test_every_form_stands_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["simulate", "--help"]) == 0
    shown = capsys.readouterr().out
    assert set(FORMS) == set(Verb)
    for form in FORMS.values():
        assert f"  {form} " in shown
