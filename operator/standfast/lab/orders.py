"""Orders to the lab's hypervisor: HTTP over its unix socket, answered when the deed is done.

Called by commands and tests; vCenter gives the same orders from its side (`tests/tools/vcsim`).
One request, one connection, one answer.
"""

import http.client
import socket
from http import HTTPStatus
from pathlib import Path

import msgspec
from typing_extensions import override

from standfast.errors import RefusedError, TransientError, UserError

TIMEOUT_S = 60.0


class ShownVm(msgspec.Struct, frozen=True):
    """A VM as the hypervisor sees it.

    Args:
        power: `on`, `off` or `suspended`.
        stunned: Whether it is on and frozen.
        boot: Its boot id; empty when it is off.
        since_ns: When it was switched on, on CLOCK_BOOTTIME; 0 when it is off.
    """

    power: str
    stunned: bool
    boot: str
    since_ns: int


class Hypervisor:
    """The hypervisor of one lab, from outside.

    Args:
        path: Its socket.
        lab: Whose it is, for messages.
    """

    def __init__(self, path: Path, lab: str) -> None:
        self._path = path
        self._lab = lab

    def power(self, vm: str, operation: str, *, report: bool) -> None:
        """Switches a VM `on` or `off`, or `reset`s or `suspend`s it; done when it returns.

        Args:
            vm: Its name.
            operation: One of the four.
            report: Whether vCenter is told; without it vCenter goes on showing what was before.

        Raises:
            RefusedError: It is in that state already.
        """
        self._call("POST", "/power", {"vm": vm, "op": operation, "report": report})

    def stun(self, vm: str, ms: int | None = None) -> None:
        """Freezes a VM; with `ms` it is thawed after that time, and the call returns then.

        Raises:
            RefusedError: It is off.
        """
        wait_s = TIMEOUT_S + (ms or 0) / 1000
        self._call("POST", "/stun", {"vm": vm, "ms": ms}, timeout_s=wait_s)

    def thaw(self, vm: str) -> None:
        """Lets a frozen VM go on.

        Raises:
            RefusedError: It is off.
        """
        self._call("POST", "/thaw", {"vm": vm})

    def vms(self) -> dict[str, ShownVm]:
        """Name -> what it is doing."""
        return msgspec.json.decode(self._call("GET", "/vms"), type=dict[str, ShownVm])

    def answers(self) -> bool:
        """Whether it runs."""
        try:
            self.vms()
        except TransientError:
            return False
        return True

    def _call(
        self,
        method: str,
        path: str,
        order: dict[str, str | int | bool | None] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        connection = _Connection(self._path, timeout_s)
        try:
            connection.request(method, path, body=msgspec.json.encode(order))
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise TransientError(
                f"the hypervisor of lab {self._lab} does not answer: {error}",
                remedy=f"standfast-lab up --name {self._lab}",
            ) from error
        finally:
            connection.close()
        said = body.decode().strip()
        if answer.status == HTTPStatus.CONFLICT:
            raise RefusedError(said)
        if answer.status == HTTPStatus.BAD_REQUEST:
            raise UserError(said, remedy="standfast-lab status")
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise TransientError(said)
        return body


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("hypervisor", timeout=timeout_s)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
