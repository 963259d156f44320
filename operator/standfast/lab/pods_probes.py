"""Tries a container: `httpGet`, `tcpSocket` and `exec`, from inside the pod's network.

Called by `pods_health` for probes and by `pods_container` for `preStop`. A socket belongs to the
network namespace in which it was made, whoever uses it afterwards; so sockets are made in a thread
that has entered the pod's namespace and used from the loop like any other.
"""

import asyncio
import ctypes
import os
import socket
import ssl
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Self

import aiohttp

from standfast.lab.kube_client import Json
from standfast.lab.pods_spec import NotStartableError, Rights

CLONE_NEWNET = 0x40000000
KINDS = ("httpGet", "tcpSocket", "exec")


@dataclass(frozen=True, slots=True)
class Target:
    """A running container, as probes see it.

    Args:
        address: The pod's.
        namespace: File of its network namespace; None for this machine's own.
        ports: Port name -> number.
        pid: Of its first process.
        env: Its environment.
        rights: Whom it runs as.
    """

    address: str
    namespace: Path | None
    ports: Mapping[str, int]
    pid: int
    env: Mapping[str, str]
    rights: Rights


@dataclass(frozen=True, slots=True)
class Probe:
    """When a container is tried and how often it may fail.

    Args:
        action: `httpGet`, `tcpSocket` or `exec`, as in the manifest.
        delay_s: Before the first try.
        period_s: Between tries.
        timeout_s: A try without an answer has failed.
        successes: In a row, until it counts as passed.
        failures: In a row, until it counts as failed.
    """

    action: Json
    delay_s: float
    period_s: float
    timeout_s: float
    successes: int
    failures: int

    @classmethod
    def of(cls, manifest: Json, ports: AbstractSet[str]) -> Self:
        """The probe of a manifest.

        Args:
            manifest: As in the pod's spec.
            ports: Names of the container's ports.

        Raises:
            NotStartableError: It is of a kind that the lab does not know, or of no port.
        """
        kind = next((kind for kind in KINDS if kind in manifest), None)
        if kind is None:
            raise NotStartableError(f"a probe is {', '.join(KINDS)} in the lab, not {manifest}")
        port = manifest[kind].get("port", 0)
        if isinstance(port, str) and port not in ports:
            raise NotStartableError(f"a probe is of port {port!r}, which the container has not")
        return cls(
            action=manifest,
            delay_s=manifest.get("initialDelaySeconds", 0),
            period_s=manifest.get("periodSeconds", 10),
            timeout_s=manifest.get("timeoutSeconds", 1),
            successes=manifest.get("successThreshold", 1),
            failures=manifest.get("failureThreshold", 3),
        )


async def passes(action: Json, target: Target, timeout_s: float) -> bool:
    """Tries once.

    Returns:
        Whether it was answered with success within the time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            if "httpGet" in action:
                return await _http(action["httpGet"], target)
            if "tcpSocket" in action:
                return await _tcp(action["tcpSocket"], target)
            return await _exec(action["exec"]["command"], target)
    except (OSError, aiohttp.ClientError, TimeoutError):
        return False


async def _http(wanted: Json, target: Target) -> bool:
    scheme = wanted.get("scheme", "HTTP").lower()
    host = wanted.get("host") or target.address
    url = f"{scheme}://{host}:{_port(wanted, target)}{wanted.get('path', '/')}"
    headers = {entry["name"]: entry["value"] for entry in wanted.get("httpHeaders", [])}
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as the kubelet does

    def opened(info: aiohttp.AddrInfoType) -> socket.socket:
        return _socket(target.namespace, info[0])

    connector = aiohttp.TCPConnector(ssl=context, socket_factory=opened, force_close=True)
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(url, headers=headers, allow_redirects=False) as answer,
    ):
        return answer.status < HTTPStatus.BAD_REQUEST


async def _tcp(wanted: Json, target: Target) -> bool:
    host = wanted.get("host") or target.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with _socket(target.namespace, family) as opened:
        await asyncio.get_running_loop().sock_connect(opened, (host, _port(wanted, target)))
    return True


async def _exec(command: list[str], target: Target) -> bool:
    argv = ["nsenter", f"--target={target.pid}", "--mount", "--uts", "--ipc", "--net", "--pid"]
    argv += [f"--setuid={target.rights.uid}", f"--setgid={target.rights.gid}", "--"]
    process = await asyncio.create_subprocess_exec(
        *argv,
        *command,
        env=dict(target.env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        return await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _port(wanted: Json, target: Target) -> int:
    port = wanted["port"]
    return port if isinstance(port, int) else target.ports[port]


def _socket(namespace: Path | None, family: int) -> socket.socket:
    """A TCP socket of a network namespace; one thread per socket, because it moves for good."""
    made: Future[socket.socket] = Future()

    def make() -> None:
        try:
            if namespace is not None:
                _move_into(namespace)
            opened = socket.socket(family, socket.SOCK_STREAM)
            opened.setblocking(False)
            made.set_result(opened)
        except OSError as error:
            made.set_exception(error)

    Thread(target=make, daemon=True).start()
    return made.result()


def _move_into(namespace: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(fd)
