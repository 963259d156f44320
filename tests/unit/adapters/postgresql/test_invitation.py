"""What the active tells its standbys."""

from standfast.adapters.postgresql.invitation import Invitation, read_invitation
from standfast.adapters.postgresql.wal import Branch, History

INVITATION = Invitation(
    system="1", version=15, timeline=3, past=((1, 500), (2, 900)), port=5432, password="p"
)


def test_it_reads_as_it_was_written() -> None:
    assert read_invitation(INVITATION.encode()) == INVITATION
    assert INVITATION.history == History(3, (Branch(1, 500), Branch(2, 900)))


def test_what_does_not_read_is_none() -> None:
    assert read_invitation(b"") is None
    assert read_invitation(b"{}") is None
    assert read_invitation(b"\xff") is None
