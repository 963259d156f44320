"""Twins in memory of what the ports name, for tests and for trying the agent without a machine.

They keep the same obligations as the real things (`tests/unit/adapters/contracts.py` runs over
both) and carry levers for what tests need: to let time pass, to break, to refuse.
"""

from standfast.adapters.fakes.clock import FakeClock
from standfast.adapters.fakes.driver import FakeDriver
from standfast.adapters.fakes.guard import FakeGuard
from standfast.adapters.fakes.journal import MemoryJournal
from standfast.adapters.fakes.network import FakeMachine, FakePorts, FakeWire
from standfast.adapters.fakes.sink import RecordingSink
from standfast.adapters.fakes.units import FakeUnit, FakeUnits

__all__ = [
    "FakeClock",
    "FakeDriver",
    "FakeGuard",
    "FakeMachine",
    "FakePorts",
    "FakeUnit",
    "FakeUnits",
    "FakeWire",
    "MemoryJournal",
    "RecordingSink",
]
