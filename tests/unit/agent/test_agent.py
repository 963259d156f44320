"""Settings come from the environment, each with a usual place."""

from pathlib import Path

import pytest

from standfast.agent.agent import Settings


def test_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "RUN", "BUNDLE", "LOG", "REAL_TIME"):
        monkeypatch.delenv(f"STANDFAST_{name}", raising=False)
    assert Settings.from_environment() == Settings()
    assert Settings().socket == Path("/run/standfast/agent.sock")


def test_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDFAST_STATE", "/srv/state")
    monkeypatch.setenv("STANDFAST_REAL_TIME", "no")
    settings = Settings.from_environment()
    assert settings.state == Path("/srv/state")
    assert not settings.real_time
