"""What a soak's judge lets pass, and what it does not."""

from typing import Any

from tests.bench.soak_judge import (
    foreign_clusters,
    growth,
    heard_too_many,
    leaks,
    name_of,
    series,
)


def samples(**grows: float) -> list[dict[str, Any]]:
    """Twelve samples a minute apart; named numbers grow by so much with each."""
    return [_sample(at, grows) for at in range(12)]


def _sample(at: int, grows: dict[str, float]) -> dict[str, Any]:
    return {
        "at": 60.0 * at,
        "rss_kib": 160_000 + grows.get("rss_kib", 0) * at,
        "objects": 400_000 + grows.get("objects", 0) * at,
        "types": {"builtins.dict": 90_000 + grows.get("objects", 0) * at},
        "tasks": {"listen": 42, "sweep": 1 + int(grows.get("tasks", 0) * at)},
        "sessions": 2 + int(grows.get("sessions", 0) * at),
        "threads": 9 + int(grows.get("threads", 0) * at),
        "files": 150 + int(grows.get("files", 0) * at),
    }


def test_what_stays_as_it_is_is_no_leak() -> None:
    assert leaks("op-1", samples()) == []


def test_each_kind_of_leak_is_told_with_its_numbers() -> None:
    for what, step in (
        ("rss_kib", 2_000),
        ("objects", 4_000),
        ("tasks", 1),
        ("sessions", 0.2),
        ("threads", 1),
        ("files", 3),
    ):
        (said,) = leaks("op-1", samples(**{what: step}))
        assert what.removesuffix("s") in said or "sweep" in said


def test_what_was_kept_once_and_no_more_is_no_leak() -> None:
    found = samples()
    for each in found[:3]:
        each["rss_kib"] -= 30_000
        each["objects"] -= 80_000
    assert leaks("op-1", found) == []


def test_growth_is_that_of_the_second_half() -> None:
    found = growth("objects", samples(objects=4_000))
    assert abs(found.first - 424_000) < 1
    assert abs(found.share - 20_000 / 424_000) < 1e-6


def test_too_few_samples_show_nothing() -> None:
    assert leaks("op-1", samples(tasks=9)[:4]) == []


def test_metrics_are_counted_and_name_declared_clusters_only() -> None:
    text = '# HELP a\na{cluster="x",b="1"} 1\nb{namespace="n",cluster="y"} 2\n\nc 3\n'
    assert series(text) == 3
    assert foreign_clusters(text, {"x"}) == {"y"}


def test_a_leader_is_compared_with_itself_and_listens_to_nobody_who_is_gone() -> None:
    leader = {"pid": 7, "tasks": {"listen": 24}}
    assert name_of("op-1", leader) == "op-1/7/leader"
    assert name_of("op-1", {"pid": 7, "tasks": {"watcher": 6}}) == "op-1/7/standby"
    assert heard_too_many("op-1", leader, 8) == []
    assert heard_too_many("op-1", leader, 7) == ["op-1: listens to 24 of 21 members"]
