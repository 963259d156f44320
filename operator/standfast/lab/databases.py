"""PostgreSQL in the lab's VMs: installed as its owner does it, and asked past the driver.

Called by tests, the demo and the benchmark. The programs are this machine's; each VM has data and
settings of its own, in Debian's layout.
"""

from standfast.lab.lab import Lab, LabVm

UNIT = "postgresql@15-main.service"
DATA = "/var/lib/postgresql/15/main"
SETTINGS = "/etc/postgresql/15/main"
APP = "app"
INIT_S = 180.0
_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--")


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
