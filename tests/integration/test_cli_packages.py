"""The command line as people install it: by uv, by pip into its own environment, by krew.

`krew` itself is not here; what it does with a manifest is little, and done by the test: compare
the digest, unpack, move the files, link the program under the plugin's name for kubectl to find.
"""

import asyncio
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from standfast.api.crdgen import REPOSITORY
from standfast.lab import tools

pytestmark = [pytest.mark.load, pytest.mark.timeout(600)]

BIN = Path(sys.base_prefix) / "bin"
UV = REPOSITORY / "tests/tools/uv"
PLAIN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("krew_build", REPOSITORY / "krew/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def build() -> ModuleType:
    return _builder()


@pytest.fixture(scope="module")
def wheel(build: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(build.built_wheel(tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def made(
    build: ModuleType, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """The archive, and the manifest as it is written."""
    out = tmp_path_factory.mktemp("krew")
    archive = build.archive(wheel, out, tmp_path_factory.mktemp("tree"))
    return archive, yaml.safe_load(yaml.safe_dump(build.manifest(out, "https://example.org/v")))


def runs(program: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**PLAIN, **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_manifest_is_what_krew_takes(made: tuple[Path, dict[str, Any]]) -> None:
    """The rules of krew's own validation, and those of its index for names and descriptions."""
    archive, manifest = made
    assert manifest["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert (manifest["kind"], manifest["metadata"]) == ("Plugin", {"name": "standfast"})
    spec = manifest["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?", spec["version"])
    assert spec["homepage"].startswith("https://")
    assert 0 < len(spec["shortDescription"]) <= 50
    assert not spec["shortDescription"].endswith(".")
    assert max(map(len, spec["description"].splitlines())) <= 80
    (platform,) = spec["platforms"]
    assert platform["selector"]["matchLabels"].keys() == {"os", "arch"}
    assert platform["uri"].endswith(archive.name)
    assert platform["uri"].endswith(".tar.gz")
    assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])
    assert platform["files"] == [{"from": "*", "to": "."}]
    assert ".." not in platform["bin"]


def test_krews_archive_runs_as_a_plugin_of_kubectl(
    made: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    archive, manifest = made
    (platform,) = manifest["spec"]["platforms"]
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == platform["sha256"]
    store, links = tmp_path / "store", tmp_path / "bin"
    links.mkdir()
    with tarfile.open(archive) as tar:
        tar.extractall(store, filter="data")
    (links / "kubectl-standfast").symlink_to(store / platform["bin"])
    path = f"{links}:{BIN}:/usr/bin:/bin"
    programs = asyncio.run(tools.provide())
    said = runs(programs.kubectl, "standfast", "--version", PATH=path)
    assert said.strip() == manifest["spec"]["version"].removeprefix("v")
    assert "switchover" in runs(programs.kubectl, "standfast", "--help", PATH=path)
    listed = runs(programs.kubectl, "plugin", "list", PATH=f"{links}:/usr/bin:/bin")
    assert "kubectl-standfast" in listed
    told = subprocess.run(
        [links / "kubectl-standfast", "--version"],
        capture_output=True, text=True, check=False, env={"PATH": "/nowhere"},
    )  # fmt: skip
    assert told.returncode != 0, "no Python is there"


def test_the_same_tree_gives_the_same_bytes(build: ModuleType, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "lib").mkdir(parents=True)
        (tmp_path / name / "lib" / "a.py").write_text("a = 1\n")
        os.utime(tmp_path / name / "lib" / "a.py", (len(name), 1))
    assert build.packed(tmp_path / "one") == build.packed(tmp_path / "two")


def is_a_plugin(directory: Path, version: str) -> None:
    """Kubectl finds it where the installer has put it, and it runs from there."""
    programs = asyncio.run(tools.provide())
    path = f"{directory}:/usr/bin:/bin"
    assert "kubectl-standfast" in runs(programs.kubectl, "plugin", "list", PATH=path)
    assert runs(programs.kubectl, "standfast", "--version", PATH=path).strip() == version
    assert "switchover" in runs(programs.kubectl, "standfast", "--help", PATH=path)
    assert "kubectl standfast" in runs(programs.kubectl, "standfast", "status", "-h", PATH=path)
    completes = directory / "kubectl_complete-standfast"  # kubectl looks for this name
    assert "switchover" in runs(completes, "swi", PATH=path)


def test_uv_installs_it_as_a_tool(wheel: Path, tmp_path: Path) -> None:
    environment = {
        **PLAIN,
        "UV_TOOL_DIR": str(tmp_path / "tools"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }
    install = [UV, "tool", "install", "--quiet", "--python", sys.executable, f"{wheel}[cli]"]
    subprocess.run(install, check=True, env=environment)
    is_a_plugin(tmp_path / "bin", wheel.name.split("-")[1])
    subprocess.run([UV, "tool", "uninstall", "standfast"], check=True, env=environment)
    assert list((tmp_path / "bin").iterdir()) == []


def test_pipx_installs_it(wheel: Path, tmp_path: Path) -> None:
    environment = {
        **PLAIN,
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "PIPX_MAN_DIR": str(tmp_path / "man"),
    }
    pipx = [UV, "tool", "run", "--quiet", "--python", sys.executable, "pipx"]
    subprocess.run([*pipx, "install", "--quiet", f"{wheel}[cli]"], check=True, env=environment)
    is_a_plugin(tmp_path / "bin", wheel.name.split("-")[1])
    subprocess.run([*pipx, "uninstall", "standfast"], check=True, env=environment)
    assert list((tmp_path / "bin").iterdir()) == []
