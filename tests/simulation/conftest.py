"""`--seed` replays one seed as a story; `--fresh` says how many fresh seeds are run."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("simulation")
    group.addoption("--seed", default=None, help="replay this seed, and nothing else")
    group.addoption("--fresh", type=int, default=2000, help="how many fresh seeds to run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--seed` only the replay runs; without it the replay does not."""
    replay = config.getoption("--seed") is not None
    wanted = [item for item in items if (item.name == "test_replay") is replay]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--seed"))


@pytest.fixture
def fresh_seeds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fresh"))
