"""Our role in the database, by which standbys connect, and its password.

The password is drawn here, kept in a file beside the data, and given to the other nodes by the
agents, over their own links. The database stores its verifier only.
"""

import hmac

from standfast.adapters.postgresql.account import Account
from standfast.adapters.postgresql.note import Notebook
from standfast.adapters.postgresql.places import Places
from standfast.adapters.postgresql.scram import new_password, salt_of, verifier
from standfast.adapters.postgresql.session import Session, literal
from standfast.adapters.postgresql.settings import ROLE, pgpass, read_pgpass

_READ = (
    "SELECT coalesce(rolpassword, '') FROM pg_authid WHERE rolname = 'standfast' "
    "AND rolreplication AND rolcanlogin"
)
_MAKE = f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN CREATE ROLE {ROLE}; END IF;
END $$"""
_ALLOW = f"""
GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean),
  pg_read_binary_file(text), pg_read_binary_file(text, bigint, bigint, boolean) TO {ROLE}"""


class PasswordFile:
    """The password on this node, in the form libpq reads.

    Args:
        places: Of the copy.
        account: Whose it is.
        notes: Makes the directory.
    """

    def __init__(self, places: Places, account: Account, notes: Notebook) -> None:
        self.path = places.own / "pgpass"
        self._account = account
        self._notes = notes

    def read(self) -> str:
        """The password; "" when there is none."""
        try:
            return read_pgpass(self.path.read_text())
        except OSError:
            return ""

    async def write(self, password: str) -> None:
        """Safely on disk on return."""
        if password != self.read():
            await self._notes.make_directory()
            await self._account.write(self.path, pgpass(password))


async def ensure_role(session: Session, passwords: PasswordFile) -> str:
    """Make the role what it must be; what it is already is not touched.

    Returns:
        Its password.

    Raises:
        TransientError: The server refuses or does not answer.
    """
    password = passwords.read()
    stored = "".join(await session.rows(_READ))
    salt = salt_of(stored)
    if password and salt and hmac.compare_digest(verifier(password, salt), stored):
        return password
    password = password or new_password()
    await passwords.write(password)
    await session.do(_MAKE)
    secret = literal(verifier(password))
    await session.do(f"ALTER ROLE {ROLE} LOGIN REPLICATION PASSWORD {secret}")
    await session.do(_ALLOW)
    return password
