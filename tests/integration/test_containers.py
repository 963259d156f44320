"""The images, built as the recipes say, with a base made from the Debian archive.

buildah with chroot isolation needs root and nothing else; a registry is not needed, because the
base is unpacked by mmdebstrap. What runs is run in the built root, as the user that it names.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from standfast.api.crdgen import REPOSITORY

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
USER = "65532"

pytestmark = [
    pytest.mark.root,
    pytest.mark.load,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not (shutil.which("buildah") and shutil.which("mmdebstrap")),
        reason="apt-get install buildah mmdebstrap",
    ),
]


@dataclass(frozen=True)
class Builder:
    """buildah with a store of its own."""

    directory: Path
    base: str = "localhost/base"

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [
                "buildah", "--root", str(self.directory / "root"),
                "--runroot", str(self.directory / "run"), "--storage-driver", "vfs", *arguments,
            ],
            capture_output=True, text=True, check=False, cwd=REPOSITORY,
            env={**os.environ, "BUILDAH_ISOLATION": "chroot"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def build(self, name: str, wheels: Path) -> str:
        """Build one recipe in a context that holds `dist/` and nothing else."""
        trusted = "/etc/ssl/certs:/etc/ssl/certs:ro"
        arguments = ["--build-arg", f"BASE={self.base}", "--volume", trusted]
        if Path(CERTIFICATES).exists():
            arguments += ["--build-arg", f"PIP_CERT={CERTIFICATES}"]
        recipe = REPOSITORY / f"containers/{name}.Containerfile"
        image = f"localhost/standfast-{name}"
        self.run("bud", "--quiet", *arguments, "-f", str(recipe), "-t", image, str(wheels))
        return image


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    made = Builder(tmp_path_factory.mktemp("images"))
    base = made.directory / "base.tar"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=apt",
         "--include=python3,python3-venv,ca-certificates", "bookworm", str(base)],
        check=True,
    )  # fmt: skip
    container = made.run("from", "scratch")
    made.run("add", "--quiet", container, str(base), "/")
    made.run("commit", "--quiet", "--rm", container, made.base)
    base.unlink()
    yield made
    shutil.rmtree(made.directory)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A context with the wheel in `dist/`, as at the root of the repository after a build."""
    context = tmp_path_factory.mktemp("context")
    subprocess.run(
        [REPOSITORY / "tests/tools/uv", "build", "--quiet", "--wheel", "--out-dir",
         str(context / "dist"), str(REPOSITORY)],
        check=True,
    )  # fmt: skip
    return context


@pytest.mark.parametrize(
    ("name", "program", "foreign"),
    [("operator", "standfast-operator", "dbus_fast"), ("witness", "standfast-witness", "kopf")],
)
def test_an_image_is_built_and_its_program_runs_as_its_user(
    builder: Builder, wheels: Path, name: str, program: str, foreign: str
) -> None:
    image = builder.build(name, wheels)
    config = json.loads(builder.run("inspect", "--type", "image", image))["OCIv1"]["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == [program]
    container = builder.run("from", image)
    root = builder.run("mount", container)
    path = next(each for each in config["Env"] if each.startswith("PATH="))

    def inside(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["chroot", f"--userspec={USER}:{USER}", root, "/usr/bin/env", "-i", path, *arguments],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    try:
        helped = inside(program, "--help")
        assert helped.returncode == 0, helped.stderr
        assert inside("python3", "-c", f"import {foreign}").returncode != 0, "no more than needed"
        written = inside("/bin/sh", "-c", "touch /opt/standfast/x || touch /x")
        assert written.returncode != 0, "its user owns nothing of the image"
        if name == "operator":
            ran = inside(program, "run")
            assert ran.returncode not in {0, 70}, ran.stderr
            assert "Traceback" not in ran.stderr, ran.stderr
            print(ran.stderr)
    finally:
        builder.run("umount", container)
