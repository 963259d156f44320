"""What the demo printed, as a picture for the README: the real output, drawn by rich.

Called by `standfast-lab demo --svg FILE` (`make recording`). Nothing is edited afterwards: whoever
wants other figures in the README runs the demo again.
"""

from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

WIDTH = 96
BYTES_MAX = 300_000


def recorder() -> Console:
    """A console that prints as usual and remembers."""
    return Console(record=True, width=WIDTH, highlight=False)


def save(console: Console, path: Path) -> None:
    """Write what a recorder printed; its names depend on nothing but the text."""
    text = console.export_svg(title="make demo", theme=MONOKAI, unique_id="demo")
    lines = (line.rstrip() for line in text.splitlines())
    path.write_text("\n".join(lines) + "\n")
