"""Builds what krew installs: one archive of the command line with all it needs, and the manifest.

    python krew/build.py [--out build/krew] [--url https://…/releases/download/v0.1.0]

An archive is for one system, one processor and one Python: what is compiled in it is compiled for
these. Run it on each, with all archives in one directory; the manifest lists what is there. The
archive holds `lib/` and the program `kubectl-standfast`, which finds that Python on the user's
machine. The same wheel gives the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
HOME = "https://standfast.dev"
NAME = re.compile(
    r"kubectl-standfast-(?P<version>.+)-(?P<os>linux|darwin)-(?P<arch>amd64|arm64)"
    r"-py3\.\d+\.tar\.gz"
)
ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
SHORT = "Explain and move what Standfast keeps in service"
DESCRIPTION = """\
Standfast keeps applications in virtual machines (vSphere) in service: one VM is
active, others stand by and take over with the address, the disks and the data.
This plugin shows why service is where it is and what would happen next, moves
service, leads maintenance, enrols nodes and collects support bundles. It acts
with your own kubeconfig and rights.
"""
LAUNCHER = """\
#!/bin/sh
# Runs kubectl-standfast with the Python that it was packed for.
here=$(dirname "$(readlink -f "$0")")
for python in python{minor} python3; do
  if command -v "$python" >/dev/null 2>&1 &&
    [ "$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')" = {minor} ]; then
    exec "$python" -I -c 'import sys
sys.path.insert(0, sys.argv.pop(1))
sys.argv[0] = "kubectl-standfast"
from standfast.cli.main import main
main()' "$here/lib" "$@"
  fi
done
echo "error: kubectl-standfast needs Python {minor}, and there is none on PATH" >&2
echo "  fix: install python{minor}; or, with any from 3.11 on: pipx install 'standfast[cli]'" >&2
exit 1
"""


class _Plain(yaml.SafeDumper):
    """Text of several lines as people write it."""


_Plain.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Builds the krew archive and the manifest.")
    arguments.add_argument("--wheel", type=Path, help="A wheel; built when absent.")
    arguments.add_argument("--out", type=Path, default=ROOT / "build/krew")
    arguments.add_argument("--url", default=f"{HOME}/releases", help="Where archives will lie.")
    given = arguments.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as stage:
        wheel = given.wheel or built_wheel(Path(stage) / "wheel")
        made = archive(wheel, out, Path(stage) / "tree")
    text = yaml.dump(manifest(out, given.url), Dumper=_Plain, sort_keys=False, width=100)
    (out / "standfast.yaml").write_text(text)
    sys.stdout.write(f"{made}\n{out / 'standfast.yaml'}\n")


def built_wheel(directory: Path) -> Path:
    uv("build", "--quiet", "--wheel", "--out-dir", str(directory), str(ROOT))
    return next(directory.glob("*.whl"))


def archive(wheel: Path, out: Path, tree: Path) -> Path:
    """Pack the wheel's command line with its dependencies for this system and this Python."""
    minor = f"3.{sys.version_info.minor}"
    lib = tree / "lib"
    uv(
        "pip", "install", "--quiet", "--python", sys.executable, "--target", str(lib),
        "--no-compile-bytecode", f"{wheel}[cli]",
    )  # fmt: skip
    for left in (lib / "bin", lib / ".lock"):
        shutil.rmtree(left, ignore_errors=True)
        left.unlink(missing_ok=True)
    program = tree / "kubectl-standfast"
    program.write_text(LAUNCHER.replace("{minor}", minor))
    program.chmod(0o755)
    shutil.copy(ROOT / "LICENSE", tree / "LICENSE")
    version = wheel.name.split("-")[1]
    system = platform.system().lower()
    processor = ARCHITECTURES[platform.machine().lower()]
    path = out / f"kubectl-standfast-{version}-{system}-{processor}-py{minor}.tar.gz"
    path.write_bytes(packed(tree))
    return path


def packed(tree: Path) -> bytes:
    """A directory as a tar archive that says nothing of when and by whom it was made."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for path in sorted(each for each in tree.rglob("*") if each.is_file()):
            entry = tar.gettarinfo(path, str(path.relative_to(tree)))
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
            entry.mode = 0o755 if entry.mode & 0o100 else 0o644
            with path.open("rb") as content:
                tar.addfile(entry, content)
    return gzip.compress(held.getvalue(), mtime=0)


def manifest(directory: Path, url: str) -> Mapping[str, Any]:
    """What krew reads: every archive that lies in the directory."""
    found = {
        each.name: match for each in directory.iterdir() if (match := NAME.fullmatch(each.name))
    }
    versions = {match["version"] for match in found.values()}
    if len(versions) != 1:
        raise SystemExit(f"archives of one version are needed, and there are {sorted(versions)}")
    platforms = [
        {
            "selector": {"matchLabels": {"os": match["os"], "arch": match["arch"]}},
            "uri": f"{url}/{name}",
            "sha256": hashlib.sha256((directory / name).read_bytes()).hexdigest(),
            "files": [{"from": "*", "to": "."}],
            "bin": "kubectl-standfast",
        }
        for name, match in found.items()
    ]
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "standfast"},
        "spec": {
            "version": f"v{versions.pop()}",
            "homepage": HOME,
            "shortDescription": SHORT,
            "description": DESCRIPTION,
            "caveats": "Needs the Python that it was packed for (3.11 or newer).\n",
            "platforms": platforms,
        },
    }


def uv(*arguments: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([ROOT / "tests/tools/uv", *arguments], check=True, env=environment)


if __name__ == "__main__":
    main()
