"""PostgreSQL in the lab's VMs: installed as its owner does it, and asked past the driver.

Called by tests, the demo and the benchmark. The programs are this machine's; each VM has data and
settings of its own, in Debian's layout.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.lab import Lab, LabVm
from standfast.lab.software import checkout

EXAMPLE = checkout() / "examples/02-postgresql"
CLUSTER = "orders"
BUILT_S = 180.0
UNIT = "postgresql@15-main.service"
DATA = "/var/lib/postgresql/15/main"
SETTINGS = "/etc/postgresql/15/main"
APP = "app"
INIT_S = 180.0
_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


def bring_up(lab: Lab, *, operator: bool = True, profile: str = "Normal") -> LabCluster:
    """From a fresh lab to a protected pair of the PostgreSQL example, with the writer's table.

    Args:
        lab: With two VMs.
        operator: Whether to install the operator first.
        profile: Of the timing.
    """
    install_all(lab)
    if operator:
        install_operator(lab)
    cluster = declare(lab, profile=profile)
    cluster.enroll()
    settle(cluster)
    make_application(lab.vm(cluster.active))
    return cluster


def install_all(lab: Lab) -> None:
    """A database cluster in every VM."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(install, lab.vms()))


def declare(lab: Lab, *, profile: str = "Normal") -> LabCluster:
    """Apply the example, its addresses moved to where the lab is."""
    cluster = LabCluster(lab, CLUSTER)
    with tempfile.TemporaryDirectory() as directory:
        cluster.apply(moved(lab, Path(directory) / "example", profile=profile))
    return cluster


def moved(lab: Lab, to: Path, *, profile: str = "Normal") -> Path:
    """A copy of the example with its addresses in the lab's range."""
    shutil.copytree(EXAMPLE, to)
    for file in to.glob("*.yaml"):
        text = file.read_text().replace("10.77.", f"10.{lab.state.addressing.octet}.")
        file.write_text(text.replace("profile: Normal", f"profile: {profile}"))
    return to


def settle(cluster: LabCluster) -> None:
    """Wait until the pair would survive the next failure without losing anything."""
    for kind in ("Ready", "InSync", "Protected"):
        cluster.wait(kind, timeout_s=BUILT_S)


def vip(lab: Lab) -> str:
    """The address of the example, where this lab is."""
    return f"10.{lab.state.addressing.octet}.1.100"


def install(vm: LabVm) -> None:
    """A database cluster as the package makes it, open to the application, not started at boot."""
    vm.exec(["pg_createcluster", "15", "main"], timeout_s=INIT_S)
    settings = vm.machine.root() / SETTINGS.lstrip("/")
    (settings / "start.conf").write_text("manual\n")
    with (settings / "pg_hba.conf").open("a") as hba:
        hba.write(f"host all {APP} 10.0.0.0/8 scram-sha-256\n")
    vm.exec(["systemctl", "daemon-reload"])


def sql(vm: LabVm, statement: str, database: str = "postgres") -> str:
    """What a statement answers, asked as the superuser within the VM."""
    command = [*_AS_POSTGRES, "psql", "-XAtq", "-d", database, "-c", statement]
    return vm.exec(command, timeout_s=30).strip()


def make_application(vm: LabVm) -> None:
    """A database with the writer's table, on the active node."""
    sql(vm, f"CREATE ROLE {APP} LOGIN PASSWORD '{APP}'")
    sql(vm, f"CREATE DATABASE {APP} OWNER {APP}")
    sql(vm, "CREATE TABLE written (number bigint PRIMARY KEY)", APP)
    sql(vm, f"GRANT ALL ON written TO {APP}", APP)


def dsn(address: str) -> str:
    """How the application connects."""
    return f"host={address} port=5432 dbname={APP} user={APP} password={APP}"


def numbers(lab: Lab, address: str) -> list[int]:
    """What the writer's table has, on the VM that holds the address."""
    for vm in lab.vms():
        if vm.now().power == "on" and f" {address}/" in vm.exec(["ip", "-o", "address"]):
            return [int(row) for row in sql(vm, "SELECT number FROM written", APP).split()]
    raise AssertionError(f"no VM has {address}")
