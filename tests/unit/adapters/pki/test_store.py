"""An identity on disk survives a crash at every step of its replacement."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from standfast.adapters.pki import (
    Authority,
    Identity,
    Member,
    load_identity,
    remove_identity,
    save_identity,
)
from standfast.errors import UserError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def identities() -> list[Identity]:
    authority = Authority.create("c1", NOW)
    return [authority.issue(Member("m1", "c1"), NOW) for _ in range(2)]


def test_it_is_found_by_the_next_process_and_private(
    tmp_path: Path, identities: list[Identity]
) -> None:
    place = tmp_path / "state" / "identity"
    assert load_identity(place) is None
    save_identity(place, identities[0])
    assert load_identity(place) == identities[0]
    save_identity(place, identities[1])
    assert load_identity(place) == identities[1]
    assert sorted(entry.name for entry in place.parent.iterdir()) == ["identity"]
    assert place.stat().st_mode & 0o077 == 0
    assert (place / "tls.key").stat().st_mode & 0o077 == 0
    remove_identity(place)
    remove_identity(place)
    assert load_identity(place) is None


@pytest.mark.parametrize("step", range(1, 3))
def test_a_crash_between_the_renames_leaves_one_of_the_two(
    tmp_path: Path, identities: list[Identity], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "identity"
    save_identity(place, identities[0])
    done = 0
    rename = Path.rename

    def crashing(path: Path, target: Path) -> Path:
        nonlocal done
        done += 1
        if done == step:
            raise KeyboardInterrupt
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", crashing)
        with pytest.raises(KeyboardInterrupt):
            save_identity(place, identities[1])
    assert load_identity(place) == identities[step - 1]
    save_identity(place, identities[1])
    assert load_identity(place) == identities[1]


def test_half_written_files_are_passed_over(tmp_path: Path, identities: list[Identity]) -> None:
    place = tmp_path / "identity"
    save_identity(tmp_path / "identity.old", identities[0])
    (tmp_path / "identity.new").mkdir()
    (tmp_path / "identity.new" / "ca.crt").write_text("half")
    assert load_identity(place) == identities[0]


def test_parts_that_do_not_belong_together_are_refused(
    tmp_path: Path, identities: list[Identity]
) -> None:
    place = tmp_path / "identity"
    save_identity(place, identities[0])
    (place / "tls.key").write_text(identities[1].key)
    with pytest.raises(UserError, match="does not belong to the certificate there"):
        load_identity(place)


def test_a_missing_file_is_named(tmp_path: Path, identities: list[Identity]) -> None:
    place = tmp_path / "identity"
    save_identity(place, identities[0])
    (place / "ca.crt").unlink()
    with pytest.raises(UserError, match=r"cannot be read: No such file .*ca\.crt"):
        load_identity(place)
    shutil.rmtree(place)
