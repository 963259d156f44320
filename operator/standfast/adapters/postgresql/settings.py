"""The texts that we write into a database's configuration, and nothing else of it is touched.

One included file of ours (`standfast.conf`), and one marked block at the top of `pg_hba.conf`,
which has no includes before PostgreSQL 16. Both are written whole each time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ROLE = "standfast"
"""The database role by which standbys follow."""
BEGIN, END = "# BEGIN standfast", "# END standfast"
SLOT_PREFIX = "standfast_"
SENDER_TIMEOUT_MS = 2000
SLOT_KEEP = "4GB"
SYNCFS_SINCE = 14


@dataclass(frozen=True, slots=True)
class Wanted:
    """What differs from time to time.

    Args:
        resource: Name of the HAResource, for the comment.
        version: Major version of the server.
        names: `synchronous_standby_names`.
        conninfo: How the standby reaches the active; "" for none.
        slot: Replication slot of this standby on the active; "" for none.
        own_certificate: Directory with a certificate of ours, where the server has none.
    """

    resource: str
    version: int
    names: str = ""
    conninfo: str = ""
    slot: str = ""
    own_certificate: str = ""

    def text(self) -> str:
        """The file."""
        rows: dict[str, str] = {
            "listen_addresses": "*",
            "hot_standby": "on",
            "wal_log_hints": "on",
            "wal_receiver_timeout": f"{SENDER_TIMEOUT_MS}ms",
            "wal_receiver_status_interval": "1s",
            "wal_retrieve_retry_interval": "250ms",
            "recovery_target_timeline": "latest",
            "max_slot_wal_keep_size": SLOT_KEEP,
            "synchronous_standby_names": self.names,
            "primary_conninfo": self.conninfo,
            "primary_slot_name": self.slot,
        }
        if self.version >= SYNCFS_SINCE:  # a server that crashed is back in a tenth of the time
            rows["recovery_init_sync_method"] = "syncfs"
        if self.own_certificate:
            rows["ssl"] = "on"
            rows["ssl_cert_file"] = f"{self.own_certificate}/standfast.crt"
            rows["ssl_key_file"] = f"{self.own_certificate}/standfast.key"
        head = (
            f"# Written by the Standfast agent for HAResource {self.resource}, anew at every\n"
            "# change: what else is set here is lost. postgresql.conf is yours.\n"
        )
        return head + "".join(f"{key} = {quoted(value)}\n" for key, value in rows.items())


def quoted(value: str) -> str:
    """A value as postgresql.conf takes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def written(text: str) -> Mapping[str, str]:
    """The settings in a file of ours."""
    rows: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if equals and not key.startswith("#"):
            rows[key] = value[1:-1].replace("''", "'").replace("\\\\", "\\")
    return rows


def conninfo(fields: Mapping[str, str]) -> str:
    """A connection string of libpq."""
    return " ".join(
        f"{key}='" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        for key, value in fields.items()
    )


def following(
    hosts: Sequence[str], port: int, passfile: str, application: str
) -> Mapping[str, str]:
    """How a standby reaches the active: every address in turn, encrypted, both sides proven.

    The password proves the standby to the active and, bound to the TLS channel, the active to
    the standby: whoever sits between them has neither.
    """
    return {
        "host": ",".join(hosts),
        "port": ",".join([str(port)] * len(hosts)),
        "user": ROLE,
        "passfile": passfile,
        "application_name": application,
        "sslmode": "require",
        "channel_binding": "require",
        "connect_timeout": "2",
        "keepalives_idle": "1",
        "keepalives_interval": "1",
        "keepalives_count": "2",
        "tcp_user_timeout": str(SENDER_TIMEOUT_MS),
        "options": f"-c wal_sender_timeout={SENDER_TIMEOUT_MS}",
    }


def pgpass(password: str) -> str:
    """The content of a password file of libpq: of our role, wherever it is."""
    return f"*:*:*:{ROLE}:{password}\n"


def read_pgpass(text: str) -> str:
    """The password in it; "" when it is not one of ours."""
    return text.strip().removeprefix(f"*:*:*:{ROLE}:") if text.startswith("*:*:*:") else ""


def hba_block(hosts: Sequence[str]) -> str:
    """Who may use our role: the other nodes, encrypted, with the password; nobody else."""
    rows = [BEGIN]
    for host in hosts:
        network = f"{host}/{128 if ':' in host else 32}"
        rows += [
            f"hostssl replication {ROLE} {network} scram-sha-256",
            f"hostssl postgres    {ROLE} {network} scram-sha-256",
        ]
    rows += [
        f"host    all         {ROLE} all reject",
        f"host    replication {ROLE} all reject",
        f"local   all         {ROLE} reject",
        END,
    ]
    return "\n".join(rows) + "\n"


def with_block(text: str, block: str) -> str:
    """The file with our block at the top, in place of an older one."""
    kept: list[str] = []
    is_ours = False
    for line in text.splitlines(keepends=True):
        word = line.strip()
        if word == BEGIN:
            is_ours = True
        elif word == END and is_ours:
            is_ours = False
        elif not is_ours:
            kept.append(line)
    return block + "".join(kept)


def slot_name(member: str) -> str:
    """The replication slot of a member: lower case letters, digits and underscores, 63 at most."""
    words = "".join(c if c.isascii() and c.isalnum() else "_" for c in member.lower())
    return f"{SLOT_PREFIX}{words}"[:63]
