"""When a window is open."""

import re
from datetime import UTC, datetime

import pytest

from standfast.core.window import PATTERN, Window, problem

SUNDAY = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "minutes", "at", "is_open"),
    [
        ("0 3 * * sun", 60, SUNDAY, True),
        ("0 3 * * 7", 60, SUNDAY, True),
        ("0 3 * * 0", 60, SUNDAY.replace(minute=59, second=59), True),
        ("0 3 * * 0", 60, SUNDAY.replace(hour=4), False),
        ("0 3 * * 0", 60, SUNDAY.replace(hour=2, minute=59), False),
        ("0 3 * * mon-fri", 60, SUNDAY, False),
        ("0 23 * * sat", 300, SUNDAY, True),
        ("*/15 * * * *", 1, SUNDAY.replace(minute=45), True),
        ("*/15 * * * *", 1, SUNDAY.replace(minute=46), False),
        ("0 3 1,22 nov *", 10, SUNDAY, True),
        ("0 3 1 * sun", 10, SUNDAY, True),
        ("0 3 1 * mon", 10, SUNDAY, False),
        ("0 3 * * fri-mon", 10, SUNDAY, True),
        ("0 3 * * mon-fri,sun", 10, SUNDAY, True),
        ("0 22-4 * * *", 10, SUNDAY, True),
        ("0 22-2 * * *", 10, SUNDAY, False),
        ("0 3/6 * * *", 10, SUNDAY.replace(hour=9), True),
    ],
)
def test_it_opens_by_cron_and_stays_open(
    cron: str, minutes: int, at: datetime, is_open: bool
) -> None:
    assert Window(cron, minutes).is_open(at) is is_open


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 3 * *", "has 4 fields"),
        ("60 3 * * *", "goes from 0 to 59"),
        ("0 3 * * someday", "is no day of the week"),
        ("0 3 * * xyz", "is no day of the week"),
        ("0  3 * * *", "has 6 fields"),
        ("*/0 * * * *", "is no minute"),
        ("0 3 L * *", "is no day of the month"),
    ],
)
def test_what_does_not_read_is_said(cron: str, words: str) -> None:
    assert words in problem(cron)


def test_what_reads_has_no_problem() -> None:
    assert problem("0 3 * * SUN") == ""


@pytest.mark.parametrize("cron", ["0 3 * * SUN", "60 3 * * *", "*/5 1-2,4 * jan-mar 7", "x", "L"])
def test_the_pattern_admits_exactly_what_reads(cron: str) -> None:
    assert bool(re.search(PATTERN, cron)) is (problem(cron) == "")
