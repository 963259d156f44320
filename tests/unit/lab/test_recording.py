"""The picture of the demo: small, the same for the same text; the README has a real one."""

from pathlib import Path
from xml.etree import ElementTree as ET

from standfast.lab.recording import recorder, save


def test_what_was_printed_is_drawn(tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        console = recorder()
        console.print("[bold]no write acknowledged for 1.70 s[/bold]; [green]✓[/green]")
        save(console, tmp_path / name)
    text = (tmp_path / "one.svg").read_text()
    assert "1.70" in text
    assert text == (tmp_path / "two.svg").read_text()
    ET.fromstring(text)
