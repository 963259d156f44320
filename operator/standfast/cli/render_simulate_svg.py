"""The typical run of each fault as a picture: one lane for clients, one per member. Pure.

SVG by hand: bands, lines and words are all there is to it, and every browser draws it. Colour is
never the only sign of anything: bands carry their word as a tooltip, outages their length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from standfast.cli.render_simulate import length, outage
from standfast.cli.simulate_runs import Findings, Report
from standfast.simulator.scenario import CLIENTS, Band, Case, Run

WIDTH, LEFT, RIGHT = 960, 150, 20
LANE, BAR, TITLE, AXIS, GAP = 26, 16, 34, 26, 24
TICKS = 8
"""About how many moments the axis names."""

LEGEND_EVERY = 118

_COLOURS = {
    "Serves": "#2e7d32",
    "Partly": "#f9a825",
    "Holds": "#a5d6a7",
    "Down": "#616161",
    "Stunned": "#7b1fa2",
    "Isolated": "#ef9a9a",
    "Outage": "#c62828",
}
_WORDS = {
    "Serves": "serves",
    "Partly": "starts or stops",
    "Holds": "holds the lease",
    "Down": "down",
    "Stunned": "stopped",
    "Isolated": "cut off",
    "Outage": "no service",
}
_SVG = "http://www.w3.org/2000/svg"
_THIN = frozenset({"Holds", "Isolated"})
"""Bands drawn as a thin line under the lane's bar."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From a moment of the run to a place on the picture."""

    from_ms: int
    to_ms: int

    def x(self, at_ms: float) -> float:
        span = max(self.to_ms - self.from_ms, 1)
        return LEFT + (at_ms - self.from_ms) / span * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> Iterator[int]:
        """Round moments within it."""
        span = max(self.to_ms - self.from_ms, 1)
        steps = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000)
        step = next((s for s in steps if span / s <= TICKS), steps[-1])
        first = -(-self.from_ms // step) * step
        yield from range(first, self.to_ms + 1, step)


def drawn(report: Report) -> str:
    """The whole picture."""
    parts: list[str] = []
    y = TITLE + GAP
    for found in report.findings:
        parts += _scenario(found, report.case, y)
        y += _height(report.case)
    title = f"{report.case.want.name}: what faults would do"
    head = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="{_SVG}" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{y}" fill="#ffffff"/>',
        '<g font-family="sans-serif" font-size="12">',
        *_legend(),
    ]
    return "\n".join([*head, *parts, "</g>", "</svg>", ""])


def _height(case: Case) -> int:
    return TITLE + (1 + len(case.member_names())) * LANE + AXIS + GAP


def _legend() -> Iterator[str]:
    for number, (word, said) in enumerate(_WORDS.items()):
        x = LEFT + number * LEGEND_EVERY
        yield f'<rect x="{x}" y="12" width="14" height="12" fill="{_COLOURS[word]}"/>'
        yield _text(x + 20, 22, said)


def _scenario(found: Findings, case: Case, top: int) -> Iterator[str]:
    run = found.typical
    names = (CLIENTS, *case.member_names())
    scale = _scale(run)
    bottom = top + TITLE + len(names) * LANE
    yield f"<g><title>{escape(found.title)}</title>"
    yield _text(LEFT, top + 16, f"{found.title}: {length(run)}", weight="bold")
    for at_ms in scale.ticks():
        x = scale.x(at_ms)
        yield _line(x, top + TITLE, x, bottom, "#e0e0e0")
        yield _text(x, bottom + 16, f"{at_ms / 1_000:g} s", anchor="middle", fill="#616161")
    for number, name in enumerate(names):
        y = top + TITLE + number * LANE
        yield _text(LEFT - 10, y + BAR - 2, name, anchor="end")
        yield _line(LEFT, y + BAR / 2, WIDTH - RIGHT, y + BAR / 2, "#bdbdbd")
        bands = (band for band in run.bands if band.lane == name)
        yield from (mark for band in bands for mark in _band(band, scale, y))
    for fault in found.faults:
        x = scale.x(fault.at_ms)
        yield _line(x, top + TITLE - 6, x, bottom, "#c62828", dashed=True)
    yield "</g>"


def _scale(run: Run) -> _Scale:
    """All of the run, or as far as a second beyond the last thing that changed."""
    starts = [band.from_ms for band in run.bands]
    if not starts:
        return _Scale(0, max(run.end_ms, 1))
    return _Scale(min(starts), min(run.end_ms, max(starts) + 1_000))


def _band(band: Band, scale: _Scale, y: int) -> Iterator[str]:
    word = band.word
    if band.lane == CLIENTS:
        word = "Serves" if band.word else "Outage"
    elif word not in _COLOURS:
        return
    end_ms = min(band.to_ms, scale.to_ms)
    x, width = scale.x(band.from_ms), scale.x(end_ms) - scale.x(band.from_ms)
    if width <= 0:
        return
    lasted = outage(band.to_ms - band.from_ms)
    said = band.word if band.lane == CLIENTS and band.word else _WORDS[word]
    top, height = (y + BAR, 4) if word in _THIN else (y + 1, BAR - 2)
    yield (
        f'<rect x="{x:.1f}" y="{top}" width="{max(width, 1):.1f}" height="{height}" '
        f'fill="{_COLOURS[word]}"><title>{escape(f"{said}, {lasted}")}</title></rect>'
    )
    if band.lane == CLIENTS:
        label = band.word or lasted
        if width > 7 * len(label):
            yield _text(x + width / 2, y + BAR - 4, label, anchor="middle", fill="#ffffff")
        elif not band.word:
            yield _text(x + width + 4, y + BAR - 4, label, fill="#ffffff")


def _text(
    x: float,
    y: float,
    said: str,
    *,
    anchor: str = "start",
    fill: str = "#212121",
    weight: str = "normal",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f"fill={quoteattr(fill)}>{escape(said)}</text>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>'
    )
