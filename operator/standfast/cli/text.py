"""How text looks: colours by meaning, lengths and moments for people, text of a renderable.

Colour is for terminals only, and never the only sign of anything.
"""

import io
import sys
from datetime import datetime
from typing import TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

_WIDTH_PIPED = 80
_THEME = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "warn": "yellow",
        "quiet": "dim",
        "head": "bold",
        "name": "bold cyan",
    }
)
_STYLES = {
    "True": "good",
    "Active": "good",
    "Standby": "good",
    "Running": "good",
    "Completed": "good",
    "up": "good",
    "yes": "good",
    "False": "bad",
    "Failed": "bad",
    "PoweredOff": "bad",
    "down": "bad",
    "no": "bad",
    "Refused": "warn",
    "Unknown": "warn",
    "unknown": "warn",
    "Holding": "warn",
    "Candidate": "warn",
    "Unconfigured": "warn",
    "Suspended": "warn",
    "Waiting": "warn",
    "Starting": "warn",
    "Stopping": "warn",
}
_NOTHING = "-"


def console(stream: TextIO | None = None) -> Console:
    """Return a console for a stream: as wide as the terminal, or 80 columns without colour."""
    target = stream or sys.stdout
    width = None if target.isatty() else _WIDTH_PIPED
    return Console(file=target, theme=_THEME, width=width, highlight=False, soft_wrap=False)


def plain(shown: RenderableType, width: int = _WIDTH_PIPED) -> str:
    """Return what a pipe would get, without trailing blanks."""
    into = io.StringIO()
    Console(file=into, theme=_THEME, width=width, highlight=False, force_terminal=False).print(
        shown
    )
    return "\n".join(line.rstrip() for line in into.getvalue().splitlines()) + "\n"


def word(value: object) -> Text:
    """Return a value in the colour of its meaning; a dash for nothing."""
    said = _NOTHING if value is None or value == "" else str(value)
    return Text(said, style=_STYLES.get(said, ""))


def claim(truth: str) -> Text:
    """Return a three-valued claim as yes, no or unknown."""
    return word({"True": "yes", "False": "no"}.get(truth, "unknown"))


def columns(*titles: str, folding: frozenset[str] = frozenset()) -> Table:
    """Return an empty table as kubectl would print it.

    Args:
        titles: Of the columns.
        folding: Those whose text goes on in the next line when the screen is narrow.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="head", pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=title not in folding)
    return table


def length(ms: int | None) -> str:
    """Return a length of time for people: `350 ms`, `1.6 s`, `2 min 5 s`."""
    if ms is None:
        return _NOTHING
    if ms < 1_000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1_000:.1f} s"
    return f"{ms // 60_000} min {ms % 60_000 // 1_000} s"


def age(moment: datetime | None, now: datetime) -> str:
    """Return how long ago, as kubectl writes it: `45s`, `12m`, `5h`, `3d`."""
    if moment is None:
        return _NOTHING
    seconds = max(int((now - moment).total_seconds()), 0)
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= 2 * size or (unit == "d" and seconds >= size):
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def moment(at: datetime | None) -> str:
    """Return a moment in UTC, to the second."""
    return _NOTHING if at is None else at.strftime("%Y-%m-%d %H:%M:%SZ")
