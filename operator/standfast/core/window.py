"""Windows of time: when something may happen by itself, as five fields of cron and a length. Pure.

In UTC, so that no clock change opens a window twice or never. The fields are minute, hour, day of
the month, month, day of the week; each a `*`, numbers, ranges, steps and lists; names of months
and weekdays are known. Where both days are restricted, either opens, as cron has always had it.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_MINUTE = timedelta(minutes=1)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NAMES = {name: at for at, name in enumerate(_MONTHS, 1)} | {n: at for at, n in enumerate(_DAYS)}


@dataclass(frozen=True, slots=True)
class _Field:
    """One of the five.

    Attributes:
        one: Pattern of one value.
    """

    name: str
    least: int
    most: int
    one: str

    @property
    def pattern(self) -> str:
        part = rf"(\*|{self.one}(-{self.one})?)(/[1-9][0-9]?)?"
        return f"{part}(,{part})*"


_FIELDS = (
    _Field("minute", 0, 59, "[0-5]?[0-9]"),
    _Field("hour", 0, 23, "([01]?[0-9]|2[0-3])"),
    _Field("day of the month", 1, 31, "(0?[1-9]|[12][0-9]|3[01])"),
    _Field("month", 1, 12, f"(0?[1-9]|1[0-2]|{'|'.join(_MONTHS)})"),
    _Field("day of the week", 0, 7, f"([0-7]|{'|'.join(_DAYS)})"),
)
PATTERN = f"(?i)^{' '.join(field.pattern for field in _FIELDS)}$"
"""What reads as five fields; of the regular expressions that Go and Python agree on."""


@dataclass(frozen=True, slots=True)
class Window:
    """When it opens, and how long it stays open.

    Attributes:
        cron: Five fields.
    """

    cron: str
    minutes: int

    def is_open(self, at: datetime) -> bool:
        """Whether it is open at this moment, which is in UTC."""
        fields = _fields(self.cron)
        start = at.replace(second=0, microsecond=0)
        return any(_matches(fields, start - ago * _MINUTE) for ago in range(self.minutes))


def problem(cron: str) -> str:
    """What is wrong with these fields, as a sentence; "" when nothing is."""
    try:
        _fields(cron)
    except ValueError as error:
        return str(error)
    return ""


def _fields(cron: str) -> tuple[frozenset[int], ...]:
    words = cron.lower().split(" ")
    if len(words) != len(_FIELDS):
        raise ValueError(
            f"{cron!r} has {len(words)} fields, but it takes five, with one blank between: "
            "minute, hour, day of the month, month, day of the week"
        )
    return tuple(_values(word, field) for word, field in zip(words, _FIELDS, strict=True))


def _values(word: str, field: _Field) -> frozenset[int]:
    if re.fullmatch(field.pattern, word) is None:
        raise ValueError(
            f"{word!r} is no {field.name}, which goes from {field.least} to {field.most}: write "
            "*, 5, 1-5, */15 or mon-fri"
        )
    found: set[int] = set()
    for part in word.split(","):
        span, _, step = part.partition("/")
        first, last = _span(span, field, has_step=bool(step))
        if first > last:  # over the end, as in fri-mon
            last += field.most - field.least + (0 if field.most == 7 else 1)
        size = 7 if field.most == 7 else field.most - field.least + 1
        found |= {
            (value - field.least) % size + field.least
            for value in range(first, last + 1, int(step or 1))
        }
    return frozenset(found)


def _span(span: str, field: _Field, *, has_step: bool) -> tuple[int, int]:
    if span == "*":
        return field.least, 6 if field.most == 7 else field.most
    first, _, last = span.partition("-")
    start = _number(first)
    if last:
        return start, _number(last)
    return start, field.most if has_step else start


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NAMES[word]


def _matches(fields: tuple[frozenset[int], ...], at: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    if at.minute not in minute or at.hour not in hour or at.month not in month:
        return False
    is_day, is_weekday = at.day in day, at.isoweekday() % 7 in weekday
    if len(day) == 31 or len(weekday) == 7:
        return is_day and is_weekday
    return is_day or is_weekday
