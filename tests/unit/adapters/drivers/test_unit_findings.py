"""Sentences about units that are in order."""

from standfast.adapters.drivers.unit_findings import concerns, obstacle
from standfast.adapters.fakes import FakeUnit


def test_a_plain_unit_raises_no_objection_and_no_concern() -> None:
    facts = FakeUnit().facts
    assert obstacle("web.service", "app", facts) is None
    assert concerns("web.service", "app", facts) == []
