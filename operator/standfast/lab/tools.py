"""The programs of the lab's control side: found ready, or built from `tests/tools`.

Called by `kube` and `vcenter`, and by `standfast-lab` before anything else because the first build
takes minutes. What is built is kept outside the repository, one directory per program and version
(`/var/cache/standfast` for root, else `$XDG_CACHE_HOME/standfast`), so it is built once per
machine. Ready binaries in the directory `$KUBEBUILDER_ASSETS` are used instead. Versions are those
of `tests/tools/go.mod`; how the build is done, and why, is told in `docs` with the lab.
"""

import asyncio
import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import UserError
from standfast.lab.tools_go import find_go
from standfast.lab.tools_lock import locked

Progress = Callable[[str, float], None]
"""Called about once a second while it takes time: what is being done, for how many seconds."""


def silent(_what: str, _elapsed_s: float) -> None:
    """Tells nobody."""


VERSION_PACKAGE = "k8s.io/component-base/version"
HELM = "helm.sh/helm/v3"


@dataclass(frozen=True, slots=True)
class Tools:
    """Where each program is."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path
    helm: Path
    vcsim: Path


@dataclass(frozen=True, slots=True)
class Batch:
    """Programs that one `go build` makes: what they share is compiled once.

    Args:
        label: Directory in the cache: name and version.
        module: Directory of the Go module.
        packages: Program -> its package.
        variables: Package variable -> value set by the linker.
        minutes: How long it took on two cores with nothing cached; shown to who waits.
    """

    label: str
    module: Path
    packages: dict[str, str]
    variables: dict[str, str]
    minutes: float


async def provide(progress: Progress = silent) -> Tools:
    """All programs, built if they have to be. Safe to call from several processes at once.

    Raises:
        UserError: There is no Go to build with, no `tests/tools`, or the build was refused.
    """
    found: dict[str, Path] = {}
    cache = cache_dir()
    for batch in batches(sources()):
        missing = {name for name in batch.packages if _ready(name) is None}
        wanted = cache / batch.label
        if missing and not all((wanted / name).exists() for name in missing):
            async with locked(cache / "lock", progress):
                if not all((wanted / name).exists() for name in missing):
                    await _build(batch, wanted, progress)
        for name in batch.packages:
            found[name] = _ready(name) or wanted / name
    return Tools(**{name.replace("-", "_"): path for name, path in found.items()})


def cache_dir() -> Path:
    """Where built programs are kept."""
    if os.geteuid() == 0 and not os.environ.get("XDG_CACHE_HOME"):
        return Path("/var/cache/standfast/tools")
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "standfast/tools"


def sources() -> Path:
    """The directory `tests/tools`: `$STANDFAST_TOOLS`, else that of the checkout we run from.

    Raises:
        UserError: We do not run from a checkout and nobody said where it is.
    """
    told = os.environ.get("STANDFAST_TOOLS")
    directory = Path(told) if told else Path(__file__).parents[3] / "tests/tools"
    if not (directory / "go.mod").exists():
        raise UserError(
            f"the lab's programs are built from tests/tools of a checkout of standfast,"
            f" and {directory} has no go.mod",
            remedy="export STANDFAST_TOOLS=<checkout>/tests/tools",
        )
    return directory


def batches(directory: Path) -> tuple[Batch, ...]:
    """What is to be built, with the versions that `go.mod` pins."""
    pinned = _pinned(directory / "go.mod")
    kubernetes, etcd = pinned["k8s.io/kubernetes"], pinned["go.etcd.io/etcd/server/v3"]
    helm, vcsim = pinned[HELM], directory / "vcsim"
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    return (
        Batch(
            f"kubernetes-{kubernetes}",
            directory,
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in ("kube-apiserver", "kube-controller-manager", "kubectl")
            },
            {
                f"{VERSION_PACKAGE}.gitVersion": kubernetes,
                f"{VERSION_PACKAGE}.gitMajor": major,
                f"{VERSION_PACKAGE}.gitMinor": minor,
            },
            minutes=5,
        ),
        Batch(f"etcd-{etcd}", directory, {"etcd": "go.etcd.io/etcd/server/v3"}, {}, minutes=0.5),
        Batch(
            f"helm-{helm}",
            directory,
            {"helm": f"{HELM}/cmd/helm"},
            {
                f"{HELM}/internal/version.version": helm,
                f"{HELM}/pkg/chartutil.k8sVersionMajor": major,
                f"{HELM}/pkg/chartutil.k8sVersionMinor": minor,
                f"{HELM}/pkg/lint/rules.k8sVersionMajor": major,
                f"{HELM}/pkg/lint/rules.k8sVersionMinor": minor,
            },
            minutes=1,
        ),
        Batch(f"vcsim-{_digest(vcsim)}", vcsim, {"vcsim": "."}, {}, minutes=0.5),
    )


async def _build(batch: Batch, target: Path, progress: Progress) -> None:
    go = await find_go(cache_dir().parent, progress)
    _clear(target.parent)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as fresh:
        for output, packages in _outputs(batch, Path(fresh)):
            await _go_build(go, batch, output, packages, progress)
        _install(batch, Path(fresh), target)


def _clear(cache: Path) -> None:
    """Removes what a build that was killed has left; the lock says that no other is under way."""
    for remains in cache.glob("build-*"):
        shutil.rmtree(remains)


def _install(batch: Batch, fresh: Path, target: Path) -> None:
    """Puts whole binaries in place: nobody ever finds half of one."""
    target.mkdir(exist_ok=True)
    for name in batch.packages:
        (fresh / name).replace(target / name)


def _outputs(batch: Batch, directory: Path) -> list[tuple[Path, Sequence[str]]]:
    """One output for many packages is a directory; a single one is named, for Go would not."""
    if len(batch.packages) > 1:
        return [(directory, list(batch.packages.values()))]
    return [(directory / name, [package]) for name, package in batch.packages.items()]


async def _go_build(
    go: Path, batch: Batch, output: Path, packages: Sequence[str], progress: Progress
) -> None:
    linked = " ".join(f"-X {name}={value}" for name, value in batch.variables.items())
    argv = [*_nice(), str(go), "build", "-mod=readonly", "-trimpath", "-buildvcs=false"]
    argv += ["-ldflags", f"-s -w {linked}".strip(), "-o", str(output), *packages]
    env = {"HOME": str(cache_dir().parent)} | os.environ
    env |= {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    with tempfile.TemporaryFile() as printed:
        build = await asyncio.create_subprocess_exec(
            *argv, cwd=batch.module, env=env, stdout=printed, stderr=printed
        )
        what = f"Building {', '.join(batch.packages)} (about {batch.minutes:g} min on two cores)"
        await _reported(build, what, progress)
        printed.seek(0)
        text = printed.read().decode(errors="replace")
    if build.returncode != 0:
        last = "\n".join(text.strip().splitlines()[-15:])
        raise UserError(
            f"{batch.label} could not be built, `go build` ended with {build.returncode}: {last}",
            remedy=f"cd {batch.module} && go build {' '.join(packages)}",
        )


async def _reported(build: asyncio.subprocess.Process, what: str, progress: Progress) -> None:
    began = time.monotonic()
    try:
        while build.returncode is None:
            progress(what, time.monotonic() - began)
            try:
                await asyncio.wait_for(build.wait(), 1)
            except TimeoutError:
                continue
    finally:
        if build.returncode is None:
            build.terminate()
            await build.wait()


def _pinned(go_mod: Path) -> dict[str, str]:
    """Module -> version, of every requirement."""
    lines = re.compile(r"^\s*(\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)
    return dict(lines.findall(go_mod.read_text()))


def _ready(name: str) -> Path | None:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    path = Path(assets) / name if assets else None
    return path if path is not None and os.access(path, os.X_OK) else None


def _nice() -> list[str]:
    return ["nice"] if shutil.which("nice") else []


def _digest(module: Path) -> str:
    text = b"".join(path.read_bytes() for path in sorted(module.glob("*")) if path.is_file())
    return hashlib.sha256(text).hexdigest()[:12]
