"""Asking the agent of this machine over its socket: `standfast-agent status`, `quiesce`, `thaw`.

Standard library only, so that it answers at once; works with the control plane up or down.
"""

import http.client
import socket
from pathlib import Path

import msgspec
from typing_extensions import override

from standfast.errors import RefusedError, TransientError
from standfast.wire.api import STATUS_PATH, MemberStatus, Problem

TIMEOUT_S = 5.0
QUIESCE_TIMEOUT_S = 45.0
"""Longer than everything that is done for it."""


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("agent", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(str(self._path))


def ask(
    path: Path,
    what: str = STATUS_PATH,
    *,
    method: str = "GET",
    body: bytes | None = None,
    timeout_s: float = TIMEOUT_S,
) -> bytes:
    """The JSON that the agent answers with.

    Raises:
        TransientError: No agent answers there.
        RefusedError: It answers that it cannot.
    """
    connection = _Connection(path, timeout_s)
    try:
        connection.request(method, what, body)
        response = connection.getresponse()
        said = response.read()
    except OSError as error:
        raise TransientError(
            f"no agent answers at {path}: {error.strerror or error}",
            remedy="systemctl status standfast-agent",
        ) from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        problem = msgspec.json.decode(said, type=Problem)
        raise RefusedError(problem.problem, remedy=problem.remedy)
    return said


def render(status: MemberStatus) -> str:
    """A status for people, on one screen."""
    lines = [f"{status.name or '(not enrolled)'}  {status.role}  term {status.term}"]
    if status.halted:
        lines.append(f"  HALTED: {status.halted}")
    names = {peer.member: peer.name for peer in status.peers} | {status.member_uid: status.name}
    if status.holder is not None:
        lines.append(f"  active   {names.get(status.holder.member, status.holder.member)}")
    if status.lease_remaining_ms is not None:
        lines.append(f"  lease    {status.lease_remaining_ms} ms")
    lines += [f"  hindered {reason}" for reason in status.ineligible_reasons]
    for resource in status.resources:
        said = f"  {resource.message}" if resource.message else ""
        lines.append(f"  resource {resource.name} ({resource.type})  {resource.state}{said}")
    for peer in status.peers:
        lines.append(f"  peer     {peer.name}  {'reachable' if peer.reachable else 'UNREACHABLE'}")
        for path in peer.paths:
            how = f"up {path.rtt_ms} ms" if path.up else f"down  {path.problem}"
            lines.append(f"    path   {path.address}  {how}")
    lines += [
        f"  alert    {alert.reason}: {alert.message}  ({alert.remedy})" for alert in status.alerts
    ]
    return "\n".join(lines)
