"""Becomes one container of a pod: its namespaces, its file system, its rights, its command.

Run by the pod runner as a file of its own (`python -I -S pods_enter.py SPEC.json`), so it may
import nothing but the standard library. The process stays as the container's supervisor: it passes
signals on, waits, and writes how it ended into a file, so that a pod runner that was restarted
meanwhile still learns the exit code. The container is PID 1 of a PID namespace: when it or the
supervisor dies nothing of it is left.

Its root is this machine's, read through an overlay whose upper layer is in memory and its own.
What a container must not see (the lab's secrets, this machine's /run and /tmp) is covered.
"""

import contextlib
import ctypes
import json
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWPID, CLONE_NEWNET = 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
CAPABILITIES = 41
NOT_STARTED = 128
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    spec = json.loads(Path(sys.argv[1]).read_text())
    if spec["netns"]:
        fd = os.open(spec["netns"], os.O_RDONLY)
        _check(libc.setns(fd, CLONE_NEWNET), spec["netns"])
        os.close(fd)
    _check(libc.unshare(CLONE_NEWPID), "unshare")
    problem, says = os.pipe()
    passed_on = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_on)
    child = os.fork()
    if child == 0:
        _become(spec, says)
    os.close(says)
    for number in passed_on:
        signal.signal(number, lambda got, _frame: _pass_on(child, got))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, passed_on)
    with os.fdopen(problem) as pipe:
        error = pipe.read()  # ends when the command runs, or is not going to
    if not error:
        _write(Path(spec["pid"]), str(child))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = code if code >= 0 else 128 - code
    _write(Path(spec["exit"]), json.dumps({"code": code, "error": error}))
    return code


def _become(spec: dict[str, Any], says: int) -> None:
    try:
        _check(libc.unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC), "unshare")
        _build_root(spec)
        _restrict(spec)
        os.chdir(spec["cwd"])
        os.umask(0o022)
        for number in range(1, signal.NSIG):
            if number not in {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])
    except OSError as error:
        os.write(says, f"{spec['argv'][0]}: {error}".encode())
    finally:
        os._exit(NOT_STARTED)


def _build_root(spec: dict[str, Any]) -> None:
    _mount("none", Path("/"), None, MS_REC | MS_PRIVATE)
    name = spec["hostname"].encode()
    _check(libc.sethostname(name, len(name)), "hostname")
    scratch = Path(spec["scratch"])
    _mount("container", scratch, "tmpfs", MS_NOSUID, "mode=0755")
    root, upper, work = (scratch / name for name in ("root", "upper", "work"))
    for directory in (root, upper, work):
        directory.mkdir()
    _mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={upper},workdir={work}")
    covers = [_below(root, path) for path in spec["hide"]]
    for cover in covers:
        cover.mkdir(parents=True, exist_ok=True)
        _mount("cover", cover, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    _system_directories(root)
    for mount in spec["mounts"]:
        _bind(Path(mount["source"]), root, mount["target"], read_only=mount["readOnly"])
    for path in spec["expose"]:  # last: a volume on /tmp must not hide a checkout below /tmp
        _bind(Path(path), root, path, read_only=True)
        _let_through(root, path)
    if spec["readOnlyRoot"]:
        volumes = {_below(root, mount["target"]) for mount in spec["mounts"]}
        for place in (root, *(cover for cover in covers if cover not in volumes)):
            _mount("none", place, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID)
    os.chdir(root)
    _check(libc.pivot_root(b".", b"."), "pivot_root")
    _check(libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def _system_directories(root: Path) -> None:
    harmless = MS_NOSUID | MS_NODEV | MS_NOEXEC
    dev = root / "dev"
    _mount("proc", root / "proc", "proc", harmless)
    _mount("sysfs", root / "sys", "sysfs", harmless | MS_RDONLY)
    _mount("dev", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755")
    os.umask(0)
    for name, minor in DEVICES.items():
        os.mknod(dev / name, stat.S_IFCHR | 0o666, os.makedev(1, minor))
    os.mknod(dev / "tty", stat.S_IFCHR | 0o666, os.makedev(5, 0))
    (dev / "shm").mkdir(0o1777)
    os.umask(0o022)
    for name, target in {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}.items():
        (dev / name).symlink_to(f"/proc/self/fd{target}")


def _bind(source: Path, root: Path, target: str, *, read_only: bool) -> None:
    place = _below(root, target)
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(str(source), place, None, MS_BIND | MS_REC)
    if read_only:
        _mount("none", place, None, MS_REMOUNT | MS_BIND | MS_RDONLY)


def _below(root: Path, path: str) -> Path:
    """A path below a root that is not ours yet, with its symbolic links followed inside it."""
    place, rest = root, path.strip("/").split("/")
    while rest:
        name = rest.pop(0)
        step = place / name
        if name == "..":
            place = place if place == root else place.parent
        elif step.is_symlink():
            target = str(step.readlink())
            place = root if target.startswith("/") else place
            rest = [part for part in target.split("/") if part] + rest
        else:
            place = step
    return place


def _let_through(root: Path, path: str) -> None:
    """Lets any user pass to a path: a checkout below /root is no reason to run as root."""
    for parent in Path(path).parents[:-1]:
        place = _below(root, str(parent))
        mode = stat.S_IMODE(place.stat().st_mode)
        if not mode & 0o001:
            place.chmod(mode | 0o011)


def _restrict(spec: dict[str, Any]) -> None:
    for capability in range(CAPABILITIES):
        if capability not in spec["capabilities"]:
            _check(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), "capability")
    os.setgroups(spec["groups"])
    os.setgid(spec["gid"])
    os.setuid(spec["uid"])
    if spec["noNewPrivileges"]:
        _check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    done = libc.mount(
        source.encode(),
        bytes(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    _check(done, str(target))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _pass_on(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _write(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
