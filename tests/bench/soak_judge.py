"""What a soak's samples say: does a process keep what it should have let go of? Pure.

A process is judged by its samples at rest, taken in calms in which the same things are declared.
Counts must not grow; memory may by what a run of this length has a right to keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SAMPLES_MIN = 5
"""Of one process; fewer show no slope."""
RSS_GROWTH_MAX = 0.05
"""Over the second half. What may be kept by then: the log of what happened to each cluster, up to
its bound, and the allocator's holes. A status kept per write, or a task per fault, is far more."""
OBJECTS_GROWTH_MAX = 0.03
"""The same for objects that the collector knows, without the allocator's noise."""
TASKS_MORE_MAX = 3
"""Errands that end the moment they are counted."""
FILES_MORE_MAX = 12
"""Idle connections that are kept for a minute."""
THREADS_MORE_MAX = 4
"""The pool for blocking calls grows to its bound when it is first busy."""

MEMBERS = 3
"""Of each cluster of a soak; the leader listens to each by one task."""

Sample = Mapping[str, Any]


def role_of(sample: Sample) -> str:
    """A leader needs more than a standby: samples of one process are compared within a role."""
    return "leader" if sample["tasks"].get("listen") else "standby"


def name_of(replica: str, sample: Sample) -> str:
    """Of a series of samples that may be compared."""
    return f"{replica}/{sample['pid']}/{role_of(sample)}"


def heard_too_many(name: str, sample: Sample, clusters: int) -> list[str]:
    """Members that are listened to although their cluster is gone."""
    heard, there = sample["tasks"].get("listen", 0), MEMBERS * clusters
    return [f"{name}: listens to {heard} of {there} members"] if heard > there else []


@dataclass(frozen=True)
class Growth:
    """How a number grew over the second half of the samples, by the line that fits best.

    Args:
        first: Where that line begins.
        share: What it gains, as a share of that.
    """

    name: str
    first: float
    share: float


def growth(name: str, samples: Sequence[Sample], value: Any = None) -> Growth:
    """The growth of one number."""
    half = samples[len(samples) // 2 :] if len(samples) > 2 * SAMPLES_MIN else samples
    read = value or (lambda sample: sample[name])
    times = [sample["at"] for sample in half]
    values = [float(read(sample)) for sample in half]
    time_mean, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((at - time_mean) ** 2 for at in times)
    pairs = zip(times, values, strict=True)
    slope = sum((at - time_mean) * (v - mean) for at, v in pairs) / spread if spread else 0
    first = mean + slope * (times[0] - time_mean)
    return Growth(name, first, slope * (times[-1] - times[0]) / first if first else 0)


def leaks(name: str, samples: Sequence[Sample]) -> list[str]:
    """What a process keeps that it should not, one sentence each.

    Args:
        name: Of the process.
        samples: Of one process, oldest first; the first one is what it needs.
    """
    if len(samples) < SAMPLES_MIN:
        return []
    first, last = samples[0], samples[-1]
    found: list[str] = []
    for what, more in (
        ("files", FILES_MORE_MAX),
        ("threads", THREADS_MORE_MAX),
        ("sessions", 0),
    ):
        if last[what] > first[what] + more:
            found.append(f"{name}: {what} {first[what]} -> {last[what]}")
    found += _tasks(name, first["tasks"], last["tasks"])
    for what, bound in (("rss_kib", RSS_GROWTH_MAX), ("objects", OBJECTS_GROWTH_MAX)):
        grew = growth(what, samples)
        if grew.share > bound:
            types = ", ".join(_types(samples)) if what == "objects" else ""
            found.append(f"{name}: {what} grew by {100 * grew.share:.1f} % ({types})")
    return found


def _tasks(name: str, first: Mapping[str, int], last: Mapping[str, int]) -> list[str]:
    return [
        f"{name}: tasks `{kind}` {first.get(kind, 0)} -> {count}"
        for kind, count in sorted(last.items())
        if count > first.get(kind, 0) + TASKS_MORE_MAX
    ]


def _types(samples: Sequence[Sample]) -> list[str]:
    """The types that grew most."""
    first, last = samples[len(samples) // 2]["types"], samples[-1]["types"]
    more = {kind: count - first.get(kind, 0) for kind, count in last.items()}
    most = sorted(more, key=lambda kind: -more[kind])[:5]
    return [f"{kind} +{more[kind]}" for kind in most]


def series(text: str) -> int:
    """How many lines of numbers a scrape has."""
    return sum(bool(line) and not line.startswith("#") for line in text.splitlines())


def foreign_clusters(text: str, known: set[str]) -> set[str]:
    """Clusters that metrics name and nobody declares."""
    named = {part.split('"')[1] for part in text.split("cluster=")[1:] if '"' in part}
    return named - known
