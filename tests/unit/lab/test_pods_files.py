"""Volumes made of files: published whole, replaced whole."""

import stat
from pathlib import Path

from standfast.lab.pods_files import File, Owner, empty_directory, publish

NOBODY = Owner(None, None)


def contents(directory: Path) -> dict[str, str]:
    entries = [entry for entry in directory.iterdir() if not entry.name.startswith("..")]
    return {entry.name: entry.read_text() for entry in entries}


def test_files_are_published_with_their_modes(tmp_path: Path) -> None:
    publish(tmp_path / "v", {"a": File(b"1", 0o400)}, NOBODY)
    assert contents(tmp_path / "v") == {"a": "1"}
    assert stat.S_IMODE((tmp_path / "v/a").stat().st_mode) == 0o400


def test_a_change_replaces_all_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    publish(volume, {"a": File(b"1", 0o644), "b": File(b"1", 0o644)}, NOBODY)
    before = (volume / "..data").resolve()
    publish(volume, {"a": File(b"2", 0o644), "c": File(b"2", 0o644)}, NOBODY)
    assert contents(volume) == {"a": "2", "c": "2"}
    assert not before.exists()
    assert len(list(volume.glob("..*"))) == 2


def test_what_is_unchanged_is_left_alone(tmp_path: Path) -> None:
    volume = tmp_path / "v"
    publish(volume, {"a": File(b"1", 0o644)}, NOBODY)
    before = (volume / "..data").readlink()
    publish(volume, {"a": File(b"1", 0o644)}, NOBODY)
    assert (volume / "..data").readlink() == before


def test_a_path_with_directories_is_one_link_at_the_top(tmp_path: Path) -> None:
    publish(tmp_path / "v", {"deep/er/a": File(b"1", 0o644)}, NOBODY)
    assert (tmp_path / "v/deep").is_symlink()
    assert (tmp_path / "v/deep/er/a").read_text() == "1"


def test_an_empty_directory_is_anybodys_and_keeps_what_is_in_it(tmp_path: Path) -> None:
    directory = empty_directory(tmp_path / "e", NOBODY)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o777
    (directory / "x").touch()
    empty_directory(tmp_path / "e", NOBODY)
    assert (directory / "x").exists()
