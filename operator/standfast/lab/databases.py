"""PostgreSQL in the lab's VMs: installed as its owner does it, and asked past the driver.

Called by tests, the demo and the benchmark. The programs are this machine's; each VM has data and
settings of its own, in Debian's layout.
"""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
WRITE_BYTES_MIN = 64
"""A row of the writer takes more than this of the log: so many rows fit into a bound at most."""
_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs from the example.

    Args:
        profile: Of the timing.
        max_data_loss: Asynchronous, with this bound; "" for synchronous.
    """

    profile: str = "Normal"
    max_data_loss: str = ""

    def applied(self, text: str) -> str:
        """A manifest of the example with it."""
        text = text.replace("profile: Normal", f"profile: {self.profile}")
        if not self.max_data_loss:
            return text
        bound = f"data: ReplicatedAsync\n  maxDataLoss: {self.max_data_loss}"
        text = text.replace("data: Replicated\n", f"{bound}\n")
        return text.replace("replication: Synchronous", "replication: Asynchronous")


AS_IT_STANDS = Variant()


def bring_up(lab: Lab, variant: Variant = AS_IT_STANDS) -> LabCluster:
    """From a fresh lab with two VMs to a protected pair of the example, with a table."""
    install_all(lab)
    install_operator(lab)
    cluster = declare(lab, variant)
    cluster.enroll()
    settle(cluster)
    make_application(lab.vm(cluster.active))
    return cluster


def install_all(lab: Lab) -> None:
    """A database cluster in every VM."""
    with ThreadPoolExecutor() as pool:
        list(pool.map(install, lab.vms()))


def declare(lab: Lab, variant: Variant = AS_IT_STANDS) -> LabCluster:
    """Apply the example, its addresses moved to where the lab is."""
    cluster = LabCluster(lab, CLUSTER)
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "example"
        shutil.copytree(EXAMPLE, copy)
        for file in copy.glob("*.yaml"):
            text = file.read_text().replace("10.77.", f"10.{lab.state.addressing.octet}.")
            file.write_text(variant.applied(text))
        cluster.apply(copy)
    return cluster


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


def kill_postmaster(vm: LabVm) -> None:
    """The first process of the server dies as if the kernel had chosen it."""
    vm.exec(["sh", "-c", f"kill -KILL $(head -n 1 {DATA}/postmaster.pid)"])


def signal_server(vm: LabVm, process: str, signal: str) -> None:
    """Send a signal to the processes of a server of one kind: `walsender`, `walreceiver`."""
    pattern = f"[{process[0]}]{process[1:]}"  # not the command that looks for it
    vm.exec(["pkill", f"-{signal}", "-f", pattern])


def write_ahead(vm: LabVm, size_bytes: int) -> None:
    """Let the log of the active node grow by so much, with something that no table has."""
    sql(vm, f"SELECT pg_logical_emit_message(true, 'ballast', repeat('x', {size_bytes}))")


def numbers(lab: Lab, address: str) -> list[int]:
    """What the writer's table has, on the VM that holds the address."""
    for vm in lab.vms():
        if vm.now().power == "on" and f" {address}/" in vm.exec(["ip", "-o", "address"]):
            return [int(row) for row in sql(vm, "SELECT number FROM written", APP).split()]
    raise AssertionError(f"no VM has {address}")
