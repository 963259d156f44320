"""A full VM with a stock Debian kernel, for what namespaces cannot show: a machine that is reset.

Software emulation; boots in some seconds. Its root is this machine's, read only under a layer in
memory. The kernel package is downloaded once and kept; no package of it is installed here.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CACHE = Path("/var/cache/standfast-lab/qemu")
ROOT = Path(__file__).resolve().parents[2]
QEMU = "qemu-system-x86_64"
ACCEL = os.environ.get("STANDFAST_QEMU_ACCEL", "tcg")
"""`kvm` where it works: some hosts lend a /dev/kvm that does not."""
CPUS = {"kvm": "host,-arch-capabilities"}
MONITOR_S = 60
"""qemu's monitor does not answer while qemu waits for a disk."""
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
INIT = """\
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in $(cat /modules); do insmod /lib/$module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /lower
mount -t tmpfs tmpfs /upper
mkdir /upper/u /upper/w
mount -t overlay -o lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w overlay /root
for place in proc sys dev; do mount --move /$place /root/$place; done
mount -t tmpfs tmpfs /root/run
mount -t tmpfs tmpfs /root/tmp
mount -t cgroup2 cgroup2 /root/sys/fs/cgroup
mount -t 9p -o trans=virtio,version=9p2000.L share /root/mnt
ip link set lo up
exec switch_root /root /usr/bin/env PYTHONPATH=@operator@:@root@ PYTHONUNBUFFERED=1 \\
    PATH=/usr/sbin:/usr/bin:/sbin:/bin @python@ @script@ @story@
"""


def missing() -> str:
    """What stands in the way, with what to type; empty when nothing does."""
    if shutil.which(QEMU) is None:
        return "apt-get install --no-install-recommends qemu-system-x86"
    return ""


def missing_iscsi() -> str:
    """As `missing`, where the VMs have disks over iSCSI and programs that reserve them."""
    found = missing()
    if not found and shutil.which("sg_persist") is None:
        found = "apt-get install sg3-utils"
    if not found and not any(Path("/usr/lib").glob("*/qemu/block-iscsi.so")):
        found = "apt-get install --no-install-recommends qemu-block-extra"
    return found


def unpacked() -> Path:
    """The kernel package and a shell, as directories."""
    made = CACHE / "unpacked"
    if not (made / "complete").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        shown = subprocess.run(
            ["apt-cache", "depends", "linux-image-amd64"],
            capture_output=True,
            text=True,
            check=True,
        )
        (kernel,) = re.findall(r"Depends: (linux-image-[\w.+-]+-amd64)", shown.stdout)
        words = ["apt-get", "download", "-qq", kernel, "busybox-static"]
        subprocess.run(words, cwd=made, check=True, stderr=subprocess.DEVNULL)
        for package in made.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, made], check=True)
            package.unlink()
        (made / "complete").touch()
    return made


def in_order(wanted: tuple[str, ...], files: dict[str, Path]) -> list[Path]:
    """Module files with all they need, those first. What is missing is part of the kernel."""
    found: dict[str, Path] = {}

    def add(name: str) -> None:
        file = files.get(name.replace("-", "_"))
        if file is None or name in found:
            return
        needs = re.search(rb"\0depends=([^\0]*)\0", file.read_bytes())
        for need in needs[1].decode().split(",") if needs else ():
            add(need)
        found[name] = file

    for name in wanted:
        add(name)
    return list(found.values())


@dataclass
class Machine:
    """One VM that tells a story and ends.

    Args:
        directory: For its files.
        script: Python that is its first process, with the story's name as argument.
        modules: Kernel modules beside those it boots with.
        devices: More arguments of qemu.
        monitored: Whether `order` is to work.
        python: Which one; that of the tests has what they import.
    """

    directory: Path
    script: Path
    modules: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    monitored: bool = False
    python: str = "/usr/bin/python3"
    said: list[tuple[float, str]] = field(default_factory=list)

    @property
    def disk(self) -> Path:
        """What outlives its boots; it finds that at /mnt."""
        return self.directory / "disk"

    @property
    def _monitor(self) -> Path:
        return self.directory / "monitor"

    def order(self, word: str) -> float:
        """Give qemu's monitor one order (`stop`, `cont`); answers when that was."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as monitor:
            monitor.settimeout(MONITOR_S)
            monitor.connect(str(self._monitor))
            monitor.recv(4096)
            monitor.sendall(f"{word}\n".encode())
            at_s = time.monotonic()
            said = b""
            while said.count(b"(qemu)") < 1 and (more := monitor.recv(4096)):
                said += more
        return at_s

    def tell(self, story: str, within_s: float = 240) -> Iterator[str]:
        """Boot it; yields every line that it prints, until it is off or was reset."""
        kernel_files = unpacked()
        self.disk.mkdir(exist_ok=True)
        kernel = next(kernel_files.glob("boot/vmlinuz-*"))
        command = [
            *(QEMU, "-machine", f"q35,accel={ACCEL}", "-cpu", CPUS.get(ACCEL, "max")),
            *("-m", "384", "-nodefaults"),
            *("-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(kernel)),
            *("-initrd", str(self._initrd(kernel_files, story))),
            *("-append", "console=ttyS0 quiet panic=-1"),
            "-virtfs",
            "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            "-virtfs",
            f"local,path={self.disk},mount_tag=share,security_model=none",
            *self.devices,
        ]
        if self.monitored:
            command += ["-monitor", f"unix:{self._monitor},server=on,wait=off"]
        process = subprocess.Popen(
            ["timeout", str(within_s), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for row in process.stdout:
            self.said.append((time.monotonic(), row.rstrip()))
            yield row.rstrip()
        status = process.wait()
        process.stdout.close()
        self.said.append((time.monotonic(), f"(ended with status {status})"))

    def _initrd(self, kernel_files: Path, story: str) -> Path:
        tree = self.directory / "initrd"
        shutil.rmtree(tree, ignore_errors=True)
        for name in ("bin", "proc", "sys", "dev", "lower", "upper", "root", "lib"):
            (tree / name).mkdir(parents=True)
        shutil.copy(kernel_files / "bin/busybox", tree / "bin")
        files = {file.stem.replace("-", "_"): file for file in kernel_files.glob("lib/**/*.ko")}
        ordered = in_order((*MODULES, *self.modules), files)
        for file in ordered:
            shutil.copy(file, tree / "lib")
        (tree / "modules").write_text("\n".join(file.name for file in ordered))
        text = INIT.replace("@operator@", str(ROOT / "operator")).replace("@root@", str(ROOT))
        text = text.replace("@python@", self.python)
        text = text.replace("@script@", str(self.script)).replace("@story@", story)
        (tree / "init").write_text(text)
        (tree / "init").chmod(0o755)
        made = self.directory / "initrd.cpio"
        pack = f"find . | {kernel_files}/bin/busybox cpio -o -H newc > {made}"
        subprocess.run(["sh", "-c", pack], cwd=tree, check=True, stderr=subprocess.DEVNULL)
        return made
