"""The journal in memory keeps the promises of the port, as does the one on disk."""

from collections.abc import Callable
from pathlib import Path

import pytest

from standfast.adapters.fakes import MemoryJournal
from standfast.adapters.linux.journal import SlotJournal
from standfast.errors import TransientError
from standfast.ports.journal import Journal
from tests.unit.adapters.contracts import JournalContract


class TestMemoryJournal(JournalContract):
    @pytest.fixture
    def journal(self) -> MemoryJournal:
        return MemoryJournal()

    @pytest.fixture
    def reopen(self) -> Callable[[Journal], Journal]:
        def again(journal: Journal) -> Journal:
            assert isinstance(journal, MemoryJournal)
            return journal.restarted()

        return again


class TestSlotJournal(JournalContract):
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "journal"

    @pytest.fixture
    def journal(self, path: Path) -> SlotJournal:
        return SlotJournal.open(path)

    @pytest.fixture
    def reopen(self, path: Path) -> Callable[[Journal], Journal]:
        def again(journal: Journal) -> Journal:
            journal.close()
            return SlotJournal.open(path)

        return again


def test_a_broken_disk_refuses_until_it_is_mended() -> None:
    journal = MemoryJournal()
    journal.store(b"one")
    journal.is_broken = True
    with pytest.raises(TransientError, match="generation 1 stays in force"):
        journal.store(b"two")
    assert (journal.load(), journal.generation) == (b"one", 1)
