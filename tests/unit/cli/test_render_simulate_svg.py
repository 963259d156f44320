"""A simulation as a picture: well-formed, within its frame, nothing said by colour alone."""

from xml.etree import ElementTree as ET

import pytest
from tests.unit.cli.simulations import CRASH, LOST, report

from standfast.cli.render_simulate_svg import WIDTH, drawn
from standfast.cli.simulate_runs import Report

SVG = "{http://www.w3.org/2000/svg}"


def picture(of: Report) -> ET.Element:
    return ET.fromstring(drawn(of).encode())


def words(root: ET.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_every_member_and_the_clients_have_a_lane() -> None:
    said = words(picture(report((CRASH,))))
    assert [said.count(name) for name in ("clients", "third")] == [1, 1]
    assert said.count("vm-a") == 2  # its lane, and what serves the clients


def test_the_outage_stands_in_the_title_and_on_the_lane() -> None:
    of = report((CRASH,))
    outage = f"{(of.findings[0].typical.outage_ms or 0) / 1_000:.2f} s"
    said = words(picture(of))
    assert f"crash active: {outage} without service" in said
    assert outage in said


def test_a_service_that_stays_away_is_said() -> None:
    assert any("service does not come back" in said for said in words(picture(report(LOST))))


@pytest.mark.parametrize("scenarios", [((CRASH,),), ((CRASH,), LOST)])
def test_nothing_is_drawn_outside_of_the_frame(scenarios) -> None:
    root = picture(report(*scenarios))
    height = float(root.get("height", "0"))
    for rectangle in root.iter(f"{SVG}rect"):
        x, y = float(rectangle.get("x", "0")), float(rectangle.get("y", "0"))
        assert x >= 0
        assert x + float(rectangle.get("width", "0")) <= WIDTH + 1
        assert y + float(rectangle.get("height", "0")) <= height


def test_bands_say_what_they_are_in_words() -> None:
    root = picture(report((CRASH,)))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    assert any(title.startswith("no service, ") for title in titles)
    assert any(title.startswith("down, ") for title in titles)
    assert any(title.startswith("holds the lease, ") for title in titles)
