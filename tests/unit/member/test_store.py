"""Small durable files: whole or not at all, and sentences when they do not read."""

from pathlib import Path

import pytest

from standfast.core.ids import ClusterUid, MemberUid
from standfast.errors import TransientError, UserError
from standfast.member.store import Enrolment, Store, replace_file
from standfast.wire.api import GroupRequest
from standfast.wire.resources import Systemd

ME = Enrolment(ClusterUid("c1"), MemberUid("u1"), "vm-a", "ns/web", ("10.0.0.1:7380",))


def test_nothing_was_kept_at_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "state")
    assert store.enrolment() is None
    assert store.identity() is None
    assert store.config() is None
    assert store.declared() is None
    assert store.token() == 0


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path)
    group = GroupRequest(generation=3, resources=(Systemd(name="web", unit="web.service"),))
    store.save_enrolment(ME)
    store.save_declared(group)
    store.save_token(17)
    again = Store(tmp_path)
    assert again.enrolment() == ME
    assert again.declared() == group
    assert again.token() == 17


def test_a_pending_key_is_made_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = iter(("first", "second"))
    assert store.pending_key(lambda: next(made)) == "first"
    assert store.pending_key(lambda: next(made)) == "first"


def test_a_file_that_does_not_read_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "member.json").write_text("{")
    with pytest.raises(UserError, match=r"member\.json does not read") as refused:
        store.enrolment()
    assert refused.value.remedy


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "token.json").mkdir()
    with pytest.raises(UserError, match=r"token\.json cannot be read"):
        store.token()


def test_a_disk_that_refuses_is_worth_another_try(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "token.json.new").mkdir()
    with pytest.raises(TransientError, match="cannot be written"):
        store.save_token(1)


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    replace_file(tmp_path / "deep/secret", b"x")
    assert (tmp_path / "deep/secret").stat().st_mode & 0o777 == 0o600
