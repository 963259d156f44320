"""Where a vCenter is and as whom to log in: plain values, compared to see a rotated secret."""

from dataclasses import dataclass, field

PORT_DEFAULT = 443


@dataclass(frozen=True, slots=True)
class Access:
    """Everything that a session needs.

    Attributes:
        server: `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
        username: As in the Secret.
        password: As in the Secret; never printed.
        ca_pem: Certificates to trust instead of the system's store; empty for the store.
        secret: Name of the Secret, for sentences.
    """

    server: str
    username: str
    password: str = field(repr=False)
    ca_pem: str = field(default="", repr=False)
    secret: str = ""

    @property
    def host(self) -> str:
        """The host without port and brackets."""
        return self._split()[0]

    @property
    def port(self) -> int:
        return self._split()[1]

    def _split(self) -> tuple[str, int]:
        if self.server.startswith("["):
            host, _, port = self.server[1:].partition("]")
            return host, int(port[1:]) if port.startswith(":") else PORT_DEFAULT
        host, _, port = self.server.partition(":")
        return host, int(port) if port else PORT_DEFAULT
