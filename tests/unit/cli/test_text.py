"""Lengths, ages and colours for people."""

import io
from datetime import timedelta

import pytest
from tests.unit.api.statuses import AT

from standfast.cli import text


@pytest.mark.parametrize(
    ("ms", "said"),
    [(None, "-"), (0, "0 ms"), (350, "350 ms"), (1_640, "1.6 s"), (125_000, "2 min 5 s")],
)
def test_a_length_has_a_unit(ms: int | None, said: str) -> None:
    assert text.length(ms) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0s"), (45, "45s"), (119, "119s"), (120, "2m"), (7_200, "2h"), (86_400, "1d")],
)
def test_an_age_is_written_as_kubectl_writes_it(seconds: int, said: str) -> None:
    assert text.age(AT, AT + timedelta(seconds=seconds)) == said


def test_an_unknown_moment_is_a_dash() -> None:
    assert (text.age(None, AT), text.moment(None)) == ("-", "-")


def test_a_pipe_gets_no_colour_and_80_columns() -> None:
    pipe = io.StringIO()
    console = text.console(pipe)

    console.print(text.word("False"))

    assert (pipe.getvalue(), console.width) == ("False\n", 80)


@pytest.mark.parametrize(("truth", "said"), [("True", "yes"), ("False", "no"), ("X", "unknown")])
def test_a_claim_has_three_values(truth: str, said: str) -> None:
    assert text.claim(truth).plain == said
