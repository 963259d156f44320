"""Where things of a database cluster are: Debian's layout, PGDG's packages, or everything in one.

Debian: data in /var/lib/postgresql/15/main, settings in /etc/postgresql/15/main, programs in
/usr/lib/postgresql/15/bin. PGDG on Red Hat: data and settings in /var/lib/pgsql/15/data, programs
in /usr/pgsql-15/bin. What the agent keeps is in a directory beside the data: `main.standfast`.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from standfast.errors import UserError

DEBIAN_DATA = Path("/var/lib/postgresql")
DEBIAN_SETTINGS = Path("/etc/postgresql")
PROGRAMS = ("/usr/lib/postgresql/{0}/bin", "/usr/pgsql-{0}/bin")
INCLUDE = "include_if_exists = 'standfast.conf'"
_VERSION = re.compile(r"(?:postgresql[@-])(\d+)")


@dataclass(frozen=True, slots=True)
class Places:
    """Paths of one database cluster.

    Args:
        unit: The systemd unit that runs it.
        data: Its data directory.
        settings: Where its postgresql.conf is.
    """

    unit: str
    data: Path
    settings: Path

    @property
    def own(self) -> Path:
        """Beside the data: notes, and what was set aside."""
        return self.data.with_name(f"{self.data.name}.standfast")

    @property
    def conf(self) -> Path:
        """The user's file of settings."""
        return self.settings / "postgresql.conf"

    @property
    def included(self) -> Path:
        """Our file of settings."""
        directory = self.settings / "conf.d"
        return (directory if directory.is_dir() else self.settings) / "standfast.conf"

    @property
    def signal(self) -> Path:
        """While it is there the server starts as a standby."""
        return self.data / "standby.signal"

    @property
    def version(self) -> int:
        """Major version of the data, or the one that the unit is named for.

        Raises:
            UserError: Neither says it.
        """
        try:
            return int((self.data / "PG_VERSION").read_text())
        except (OSError, ValueError):
            named = _VERSION.search(self.unit)
        if named is None:
            raise UserError(
                f"{self.data} does not say its major version, and neither does the name of "
                f"{self.unit}",
                remedy="correct spec.postgresql.dataDirectory or unit of the HAResource",
            )
        return int(named.group(1))

    def program(self, name: str) -> Path:
        """A program of the server's version.

        Raises:
            UserError: It is not installed.
        """
        version = self.version
        for pattern in PROGRAMS:
            found = Path(pattern.format(version)) / name
            if found.exists():
                return found
        raise UserError(
            f"{name} of PostgreSQL {version} is not on this node (looked in "
            f"{', '.join(pattern.format(version) for pattern in PROGRAMS)})",
            remedy=f"install PostgreSQL {version}, server and client",
        )


def places_of(unit: str, data: Path, settings: Path | None = None) -> Places:
    """The layout of a cluster, by its data directory unless told."""
    if settings is None:
        settings = data
        if data.is_relative_to(DEBIAN_DATA):
            debian = DEBIAN_SETTINGS / data.relative_to(DEBIAN_DATA)
            settings = debian if debian.is_dir() else data
    return Places(unit, data, settings)
