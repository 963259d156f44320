"""Two full VMs with a stock Debian kernel and its DRBD: what the DRBD suite runs on.

Software emulation, so as little as possible runs in them: one Python that does what it is told,
and what the kernel starts. The agents are processes of this machine (`drbd_process`). Each VM has
a disk of its own for DRBD, a card for orders and one for replication; its root is this machine's,
read only under a layer in memory that also has drbd-utils, which are installed nowhere.
"""

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.integration.qemu_parts import CACHE, QEMU, in_order, unpacked

MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_net", "virtio_blk", "ext4")
MORE_MODULES = ("crc32c_generic", "drbd")
KERNEL = "console=ttyS0 quiet panic=-1 net.ifnames=0 mitigations=off nowatchdog no_timer_check"
PORT = 9999
CONTROL, REPLICATION = "10.77.1", "10.77.2"
GUEST = Path(__file__).with_name("drbd_guest.py")
RUN = "/run/standfast-drbd-{name}"
"""Where DRBD's handlers find the agent, in the VM and, for the agent, on this machine."""
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
mkdir /upper/w
cp -a /packages /upper/u
mount -t overlay -o lowerdir=/lower,upperdir=/upper/u,workdir=/upper/w overlay /root
for place in proc sys dev; do mount --move /$place /root/$place; done
mount -t tmpfs tmpfs /root/run
mkdir -p /root/srv/data /root/var/lib/drbd /root/run/lock /root/dev/mapper /root/share
mount -t 9p -o trans=virtio,version=9p2000.L share /root/share
mkdir -p /root/share/drbd.d
cp /root/etc/drbd.d/global_common.conf /root/share/drbd.d/
mount --bind /root/share/drbd.d /root/etc/drbd.d
ln -s /dev/vda /root/dev/mapper/vg0-orders
ip link set lo up
ip addr add @control@/24 dev eth0
ip addr add @replication@/24 dev eth1
ip link set eth0 up
ip link set eth1 up
echo @name@ > /root/proc/sys/kernel/hostname
exec switch_root /root /usr/bin/env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C \\
    /usr/bin/python3 -IS @guest@ @run@/drbd-orders-data.sock @back@
"""


class OrderError(Exception):
    """A command in a VM failed."""


def packages() -> Path:
    """drbd-utils, unpacked; downloaded once and kept."""
    made = CACHE / "drbd-utils"
    if not (made / "complete").exists():
        shutil.rmtree(made, ignore_errors=True)
        made.mkdir(parents=True)
        subprocess.run(["apt-get", "download", "-qq", "drbd-utils"], cwd=made, check=True)
        for package in made.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, made], check=True)
            package.unlink()
        for name in ("lib", "bin", "sbin"):  # links to /usr where it goes
            if (made / name).is_dir():
                subprocess.run(["cp", "-a", f"{made}/{name}/.", f"{made}/usr/{name}"], check=True)
                shutil.rmtree(made / name)
        shutil.rmtree(made / "usr/share", ignore_errors=True)
        (made / "complete").touch()
    return made


@dataclass
class DrbdVm:
    """One VM.

    Args:
        number: Last byte of its addresses.
        directory: Its disk, and what it finds at /share.
    """

    name: str
    number: int
    directory: Path
    disk_mib: int = 8
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{CONTROL}.{self.number}"

    @property
    def replication(self) -> str:
        return f"{REPLICATION}.{self.number}"

    @property
    def share(self) -> Path:
        """What it finds at /share."""
        return self.directory / "share"

    @property
    def console(self) -> Path:
        return self.directory / "console"

    def tap(self, card: str) -> str:
        return f"{card}{self.number}"

    def on(self) -> None:
        """Switch it on; answers at once."""
        self.share.mkdir(parents=True, exist_ok=True)
        disk = self.directory / "disk.img"
        if not disk.exists():
            with disk.open("wb") as file:
                file.truncate(self.disk_mib * 1024 * 1024)
        kernel = next(unpacked().glob("boot/vmlinuz-*"))
        cards: list[str] = []
        for at, card in enumerate(("ctl", "rep")):
            mac = f"52:54:00:{at:02x}:00:{self.number:02x}"
            cards += ["-netdev", f"tap,id=n{at},ifname={self.tap(card)},script=no,downscript=no"]
            cards += ["-device", f"virtio-net-pci,netdev=n{at},mac={mac}"]
        command = [
            *(QEMU, "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "384", "-nodefaults"),
            *("-no-reboot", "-display", "none", "-serial", "stdio", "-kernel", str(kernel)),
            *("-initrd", str(self._initrd())),
            *(
                "-append",
                KERNEL,
            ),
            "-virtfs",
            "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            *("-virtfs", f"local,path={self.share},mount_tag=share,security_model=none"),
            *("-drive", f"file={disk},format=raw,if=virtio,cache=writeback"),
            *cards,
        ]
        with self.console.open("ab") as console:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def off(self) -> None:
        """Cut its power."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(10)
            self.process = None

    def until_up(self, within_s: float = 180) -> None:
        """Wait until commands are taken."""
        limit_s = time.monotonic() + within_s
        while time.monotonic() < limit_s:
            with contextlib.suppress(OSError, OrderError):
                self.ask("read", "/proc/drbd", timeout_s=5)
                return
            assert self.process is not None
            assert self.process.poll() is None, self.console.read_text()[-3000:]
            time.sleep(0.1)
        raise OrderError(f"{self.name} did not come up: {self.console.read_text()[-3000:]}")

    def run(self, *argv: str, check: bool = True, timeout_s: float = 60) -> str:
        """Run a command in it; answers what it printed."""
        status, out, err = self.ask("run", *argv, timeout_s=timeout_s)
        if check and status != 0:
            raise OrderError(f"{self.name}: {argv} ended with {status}: {out}{err}")
        return out if status == 0 else f"{out}{err}"

    def sh(self, text: str, *, check: bool = True, timeout_s: float = 60) -> str:
        return self.run("/bin/sh", "-c", text, check=check, timeout_s=timeout_s)

    def ask(self, *words: str, timeout_s: float = 60) -> tuple[int, str, str]:
        """One request to what runs in it (`drbd_guest`)."""
        with socket.create_connection((self.address, PORT), timeout=20) as link:
            link.settimeout(timeout_s)
            link.sendall(json.dumps(words).encode() + b"\n")
            with link.makefile("rb") as answer:
                row = answer.readline()
        if not row:
            raise OrderError(f"{self.name} did not answer {words}")
        status, out, err = json.loads(row)
        return int(status), str(out), str(err)

    def _initrd(self) -> Path:
        tree = self.directory / "initrd"
        shutil.rmtree(tree, ignore_errors=True)
        for name in ("bin", "proc", "sys", "dev", "lower", "upper", "root", "lib"):
            (tree / name).mkdir(parents=True)
        shutil.copy(unpacked() / "bin/busybox", tree / "bin")
        files = {file.stem.replace("-", "_"): file for file in unpacked().glob("lib/**/*.ko")}
        ordered = in_order((*MODULES, *MORE_MODULES), files)
        for file in ordered:
            shutil.copy(file, tree / "lib")
        (tree / "modules").write_text("\n".join(file.name for file in ordered))
        shutil.copytree(packages(), tree / "packages", symlinks=True)
        text = INIT
        for word, value in (
            ("control", self.address),
            ("replication", self.replication),
            ("name", self.name),
            ("guest", str(GUEST)),
            ("run", RUN.format(name=self.name)),
            ("back", f"{CONTROL}.1:{PORT + self.number}"),
        ):
            text = text.replace(f"@{word}@", value)
        (tree / "init").write_text(text)
        (tree / "init").chmod(0o755)
        made = self.directory / "initrd.cpio"
        pack = f"find . | {unpacked()}/bin/busybox cpio -o -H newc > {made}"
        subprocess.run(["sh", "-c", pack], cwd=tree, check=True, stderr=subprocess.DEVNULL)
        return made


class Network:
    """Two bridges on this machine: `ctl` with this machine in it, `rep` for replication only."""

    host = f"{CONTROL}.1"

    def up(self, vms: tuple[DrbdVm, ...]) -> None:
        self.down(vms)
        _ip("link", "add", "brctl", "type", "bridge")
        _ip("link", "add", "brrep", "type", "bridge")
        _ip("addr", "add", f"{self.host}/24", "dev", "brctl")
        for bridge in ("brctl", "brrep"):
            _ip("link", "set", bridge, "up")
        for vm in vms:
            for card in ("ctl", "rep"):
                _ip("tuntap", "add", vm.tap(card), "mode", "tap")
                _ip("link", "set", vm.tap(card), "up", "master", f"br{card}")

    def down(self, vms: tuple[DrbdVm, ...]) -> None:
        taps = [vm.tap(card) for vm in vms for card in ("ctl", "rep")]
        for name in (*taps, "brctl", "brrep"):
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)

    def cut(self, vm: DrbdVm, *cards: str) -> None:
        """Take cables out; its cards do not notice."""
        for card in cards:
            _ip("link", "set", vm.tap(card), "nomaster")

    def heal(self, vm: DrbdVm) -> None:
        for card in ("ctl", "rep"):
            _ip("link", "set", vm.tap(card), "master", f"br{card}")


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OrderError(f"ip {' '.join(words)}: {done.stderr}")
