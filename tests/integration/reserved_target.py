"""What happens inside the full VM that is the storage: Linux' own SCSI target, over iSCSI.

Run as its first process. Its disk is /dev/vda; what it must not forget when it loses power (who
has which reservation) it keeps where the kernel writes it, in the directory that outlives its
boots, and gives it back to the kernel before anybody may connect, as targetcli does.
"""

import subprocess
import time
from pathlib import Path

from tests.integration.reserved_parts import IQN, NODES, SERIAL, initiator

TARGET = Path("/sys/kernel/config/target")
KEPT = Path("/mnt/target")
MODULES = Path("/var/cache/standfast-lab/qemu/unpacked/lib/modules")


def say(word: str) -> None:
    print(f"STORY {word}", flush=True)


def run(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True)


def load(module: str) -> None:
    run(f"insmod $(find {MODULES} -name {module}.ko)")


def remembered() -> list[str]:
    """Each registration as the kernel wants it back."""
    found: list[str] = []
    for file in (KEPT / "pr").glob("aptpl_*"):
        row: list[str] = []
        for line in file.read_text().splitlines():
            if line.startswith("PR_REG_END"):
                found.append(",".join(row))
            elif line.startswith("PR_REG_START"):
                row = []
            else:
                row.append(line.strip())
    return found


def serve() -> None:
    (KEPT / "pr").mkdir(parents=True, exist_ok=True)
    run("mount -t configfs configfs /sys/kernel/config")
    (TARGET / "dbroot").write_text(str(KEPT))
    load("target_core_iblock")
    load("iscsi_target_mod")
    disk = TARGET / "core/iblock_0/disk"
    disk.mkdir(parents=True)
    (disk / "control").write_text("udev_path=/dev/vda")
    (disk / "enable").write_text("1")
    (disk / "wwn/vpd_unit_serial").write_text(SERIAL)
    for row in remembered():
        (disk / "pr/res_aptpl_metadata").write_text(row)
        say(f"remembers {row}")
    group = TARGET / "iscsi" / IQN / "tpgt_1"
    group.mkdir(parents=True)
    (group / "attrib/authentication").write_text("0")
    (group / "lun/lun_0").mkdir()
    (group / "lun/lun_0/disk").symlink_to(disk)
    for node in NODES:
        (group / "acls" / initiator(node)).mkdir()
        mapped = group / "acls" / initiator(node) / "lun_0"
        mapped.mkdir()
        (mapped / "disk").symlink_to(group / "lun/lun_0")
    run(
        "ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0; ip route add default via 10.0.2.2"
    )
    (group / "np/0.0.0.0:3260").mkdir()
    (group / "enable").write_text("1")
    say("serves")
    while True:
        time.sleep(1)


serve()
