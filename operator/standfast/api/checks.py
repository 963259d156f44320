"""How an application is asked whether it answers: a union of three ways.

What stands behind the name of a program is for the host's administrator to say, in its
/etc/standfast/agent.toml: nothing that is declared here makes a host run what that does not name.
Nor is anything sent that could change an application: a connection is opened, or a GET made.
"""

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from standfast.api.base import Model
from standfast.api.markers import Rule, exactly_one
from standfast.api.scalars import Address, Label

LOCAL = "127.0.0.1"
Port = Annotated[int, Field(ge=1, le=65535)]
Host = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.:_-]+$")]
_STATUS = r"^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"
_WHERE = (
    "Where it is asked, the same on every node. An address that is not the machine's own loopback "
    "must be one that agent.toml of the nodes allows."
)


class TcpCheck(Model):
    """A port takes connections; with `expect`, it also says something.

    The kernel takes connections for a process that hangs: only words show that it lives.
    """

    address: Address = Field(default=LOCAL, description=_WHERE)
    port: Port = Field(description="The port.", examples=[25])
    expect: Annotated[str, Field(max_length=256)] = Field(
        default="",
        description="What it says first, by itself, must begin with this. When absent, a "
        "connection is enough, which a process that hangs takes too.",
        examples=["220 "],
    )


class Scheme(StrEnum):
    """How an application is spoken to."""

    HTTP = "HTTP"
    HTTPS = "HTTPS"


class HttpCheck(Model):
    """A GET is answered with an expected status; redirects are not followed."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!self.verify || (self.scheme == 'HTTPS' && has(self.host))",
            message="verify needs scheme HTTPS, and the host for which the certificate is to be "
            "valid: set both, or remove verify",
            holds=lambda check: (
                not check.verify or (check.scheme is Scheme.HTTPS and check.host is not None)
            ),
        ),
    )

    address: Address = Field(default=LOCAL, description=_WHERE)
    port: Port = Field(description="The port.", examples=[8080])
    path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/[!-~]*$")] = Field(
        default="/",
        description="Path and query, as they are sent.",
        examples=["/healthz"],
    )
    scheme: Scheme = Field(default=Scheme.HTTP, description="HTTP or HTTPS.")
    host: Host | None = Field(
        default=None,
        description="The Host header, and the name that TLS asks for; when absent, the address.",
        examples=["www.example.com"],
    )
    status: Annotated[
        str,
        Field(min_length=3, max_length=7, pattern=_STATUS),
        Rule(
            cel="self.size() == 3 || self.substring(0, 3) <= self.substring(4, 7)",
            message="must be one status, or the lowest and the highest, as 200-399",
            holds=lambda text: not re.match(_STATUS, text) or text[:3] <= text[-3:],
        ),
    ] = Field(default="200-399", description="Statuses that count as an answer: one, or from-to.")
    verify: bool = Field(
        default=False,
        description="Whether the certificate must be valid, for host and by the CAs of the "
        "machine. A check asks whether it answers, so the default believes any.",
    )

    @property
    def status_range(self) -> tuple[int, int]:
        return int(self.status[:3]), int(self.status[-3:])


class CommandCheck(Model):
    """A program ends with status 0."""

    name: Label = Field(
        description="Its name in /etc/standfast/agent.toml of the nodes, which says what is run "
        "and as which user ([checks.NAME]).",
        examples=["orders"],
    )


class Check(Model):
    """One way to ask."""

    RULES: ClassVar[tuple[Rule, ...]] = (
        exactly_one("tcp", "http", "command", of="kind of check"),
    )

    tcp: TcpCheck | None = Field(default=None, description="A port takes connections and answers.")
    http: HttpCheck | None = Field(default=None, description="A GET is answered.")
    command: CommandCheck | None = Field(default=None, description="A program of the host.")
