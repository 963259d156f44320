"""Which programs are built from what, and when nothing has to be."""

from pathlib import Path

import pytest

from standfast.errors import UserError
from standfast.lab import tools

NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl", "helm", "vcsim")


def test_versions_are_those_that_go_mod_pins() -> None:
    labels = {batch.label.rpartition("-v")[0] or batch.label for batch in every_batch()}
    assert {"kubernetes", "etcd", "helm"} <= labels
    kubernetes = every_batch()[0]
    version = kubernetes.label.removeprefix("kubernetes-")
    assert kubernetes.variables["k8s.io/component-base/version.gitVersion"] == version


def every_batch() -> tuple[tools.Batch, ...]:
    return tools.batches(tools.sources())


def test_what_shares_code_is_built_together() -> None:
    assert set(every_batch()[0].packages) == {
        "kube-apiserver",
        "kube-controller-manager",
        "kubectl",
    }
    assert sorted(name for batch in every_batch() for name in batch.packages) == sorted(NAMES)


async def test_ready_binaries_are_used_and_nothing_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    found = await tools.provide(lambda what, _elapsed_s: said.append(what))
    assert found.kube_apiserver == tmp_path / "kube-apiserver"
    assert said == []
    assert not (tmp_path / "cache").exists()


def test_a_directory_without_sources_is_refused_with_the_variable_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDFAST_TOOLS", str(tmp_path))
    with pytest.raises(UserError, match=r"no go\.mod") as caught:
        tools.sources()
    assert "STANDFAST_TOOLS" in caught.value.remedy


def test_the_cache_is_outside_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert tools.cache_dir() == Path("/somewhere/standfast/tools")
