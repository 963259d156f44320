"""How an application is asked goes through one text and comes back."""

import pytest

from standfast.adapters.checks.config import (
    CheckConfig,
    CommandCheck,
    HttpCheck,
    TcpCheck,
    check_of,
    knobs_of,
)


@pytest.mark.parametrize(
    "ask",
    [TcpCheck("::1", 25, "220 "), HttpCheck("::1", 80, verify=True), CommandCheck("x")],
)
def test_it_comes_back_as_it_went(ask: TcpCheck | HttpCheck | CommandCheck) -> None:
    config = CheckConfig(ask, 4000)
    assert check_of(knobs_of(config)) == config


def test_that_there_is_none_any_more_is_told_too() -> None:
    assert knobs_of(None) == {"check": None}
    assert check_of(knobs_of(None)) is None


@pytest.mark.parametrize(("timeout_ms", "limit_ms"), [(100, 90), (1000, 900), (60_000, 59_800)])
def test_it_ends_in_time_to_be_told(timeout_ms: int, limit_ms: int) -> None:
    assert CheckConfig(CommandCheck("x"), timeout_ms).limit_ms == limit_ms
