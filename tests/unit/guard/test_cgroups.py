"""Which tree, which groups, and how they are killed, over directories like the kernel's."""

from pathlib import Path

import pytest

from standfast.guard.cgroups import Cgroups

GROUP = "/system.slice/web.service"


def tree(root: Path, *, version: int = 2) -> Path:
    root.mkdir(parents=True)
    (root / "cgroup.procs").write_text("")
    if version == 2:
        (root / "cgroup.controllers").write_text("")
    return root


def cgroups(root: Path, own: str = "0::/system.slice/standfast-guard.service\n") -> Cgroups:
    listed = root.parent / "own"
    listed.write_text(own)
    return Cgroups((root,), listed)


def group(root: Path, events: str | None = "populated 1\nfrozen 0\n") -> Path:
    found = root / GROUP[1:]
    found.mkdir(parents=True)
    (found / "cgroup.procs").write_text("")
    if events is not None:
        (found / "cgroup.events").write_text(events)
    return found


def test_a_tree_of_version_2_alone_comes_first(tmp_path: Path) -> None:
    pure, unified = tree(tmp_path / "cgroup"), tree(tmp_path / "cgroup" / "unified")
    assert Cgroups((pure, unified)).root == pure


def test_beside_version_1_it_is_found_where_systemd_mounts_it(tmp_path: Path) -> None:
    (tmp_path / "cgroup").mkdir()
    unified = tree(tmp_path / "cgroup" / "unified")
    systemd = tree(tmp_path / "cgroup" / "systemd", version=1)
    assert Cgroups((tmp_path / "cgroup", unified, systemd)).root == unified


def test_without_version_2_systemds_own_tree_serves(tmp_path: Path) -> None:
    (tmp_path / "cgroup").mkdir()
    systemd = tree(tmp_path / "cgroup" / "systemd", version=1)
    roots = (tmp_path / "cgroup", tmp_path / "cgroup" / "unified", systemd)
    assert Cgroups(roots).root == systemd


def test_a_kill_is_one_word_to_the_kernel(tmp_path: Path) -> None:
    found = cgroups(tree(tmp_path / "cgroup"))
    here = group(found.root)
    (here / "cgroup.kill").write_text("")
    assert found.is_populated(GROUP)
    assert found.kill(GROUP) == ""
    assert (here / "cgroup.kill").read_text() == "1"
    (here / "cgroup.events").write_text("populated 0\nfrozen 0\n")
    assert not found.is_populated(GROUP)


def test_a_group_that_is_not_there_is_empty_and_dead(tmp_path: Path) -> None:
    found = cgroups(tree(tmp_path / "cgroup"))
    assert not found.is_populated(GROUP)
    assert found.kill(GROUP) == ""


def test_version_1_lists_processes_below_too(tmp_path: Path) -> None:
    found = cgroups(tree(tmp_path / "systemd", version=1))
    here = group(found.root, events=None)
    assert not found.is_populated(GROUP)
    (here / "below").mkdir()
    (here / "below" / "cgroup.procs").write_text("4194000\n")
    assert found.is_populated(GROUP)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "two levels"),
        ("/", "two levels"),
        ("/system.slice", "two levels"),
        ("system.slice/web.service", "two levels"),
        ("/system.slice/../user.slice", "two levels"),
        ("/system.slice/", "two levels"),
        ("//system.slice/web.service", "two levels"),
        ("/system.slice/standfast-guard.service", "contains the guard itself"),
    ],
)
def test_what_may_not_be_killed(path: str, sentence: str, tmp_path: Path) -> None:
    assert sentence in cgroups(tree(tmp_path / "cgroup")).objection(path)


def test_what_may_be_killed(tmp_path: Path) -> None:
    found = cgroups(tree(tmp_path / "cgroup"))
    assert found.objection(GROUP) == ""
    assert found.objection("/system.slice/standfast-guard.service.d") == ""


def test_the_own_group_is_found_on_a_hybrid_machine(tmp_path: Path) -> None:
    own = "9:name=systemd:/system.slice/guard.service\n4:memory:/elsewhere/and/deeper\n0::/\n"
    found = cgroups(tree(tmp_path / "cgroup"), own)
    assert "guard itself" in found.objection("/system.slice/guard.service")
