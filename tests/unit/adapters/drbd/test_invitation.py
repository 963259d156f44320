"""What the active copy tells, and what is remembered."""

from pathlib import Path

from standfast.adapters.drbd.invitation import Invitation, Note, Notebook, read_invitation


def test_an_invitation_is_read_back() -> None:
    told = Invitation(secret="s", generations=(1, 2, 3, 4), port=7789)
    assert read_invitation(told.encode()) == told
    assert (told.theirs.current, told.theirs.bitmap, told.theirs.history) == (1, 2, (3, 4))
    short = Invitation(secret="s", generations=(1,), port=1).theirs
    assert (short.current, short.bitmap) == (1, 0)


def test_what_does_not_read_invites_nobody() -> None:
    assert read_invitation(b"") is None
    assert read_invitation(b"{}") is None
    assert read_invitation(b'{"secret":"s","generations":[],"port":1}') is None


def test_a_note_is_kept_for_root_alone(tmp_path: Path) -> None:
    notes = Notebook(tmp_path / "drbd" / "data.json")
    assert notes.read() == Note()
    notes.write(Note(cluster="c", secret="s"))
    assert notes.read() == Note(cluster="c", secret="s")
    assert notes.path.stat().st_mode & 0o077 == 0
    notes.path.write_bytes(b"\x00")
    assert notes.read() == Note()
