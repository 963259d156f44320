"""Which replica acts: a `coordination.k8s.io` Lease, held by a thread of its own.

Rules. A lease of another is over when this replica has seen it unchanged for its whole duration on
its own clock; the wall clock decides nothing. Our own is valid from *before* the request that
renewed it was sent. Every acquisition raises `leaseTransitions`, which goes to the members as
fencing token. When the lease lapses a second thread ends the process at once, whatever the event
loop is doing; that thread reads one number and waits for nothing. The token is checked by the
members, because a frozen process that wakes up acts before any thread of it can look.
"""

import http.client
import json
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import NoReturn, Protocol
from urllib.parse import urlsplit

from standfast.adapters.kube.endpoint import Credential, Endpoint
from standfast.adapters.kube.paths import LEASES, Document
from standfast.ports.clock import Clock

DURATION_MS = 15_000
"""How long others wait after the last change they saw."""
VALID_MS = 10_000
"""How long a renewal lets us act; the rest of the duration is margin."""
RETRY_S = 2.0
REQUEST_S_MAX = 2.0
EXIT_STATUS = 75
"""Temporary failure: whoever started us starts us again."""


class Exit(Protocol):
    """Ends the process without asking anybody."""

    def __call__(self, status: int, /) -> NoReturn: ...


@dataclass(frozen=True, slots=True)
class _Watched:
    """Another replica's lease as it looks, and when it is over unless it changes."""

    version: str
    ends_at_ms: int


class Elector:
    """Stands for the lease from `start` to `release`.

    Args:
        endpoint: The API server.
        clock: Counts validity.
        namespace: Of the Lease.
        name: Of the Lease.
        identity: Ours, with a part that no other run ever had.
        on_elected: Called from the elector's thread, once, with the fencing token.
        end: Ends the process when the lease lapses.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_elected: Callable[[int], None],
        end: Exit = os._exit,
    ) -> None:
        self._api = _LeaseApi(endpoint, clock, namespace, name)
        self._clock = clock
        self._identity = identity
        self._on_elected = on_elected
        self._end = end
        self._name = name
        self._valid_until_ms: int | None = None
        self._token = 0
        self._seen = 0
        self._watched: _Watched | None = None
        self._lease: Document | None = None
        self._stopping = threading.Event()
        self._elected = threading.Event()
        self._renewer = threading.Thread(target=self._renew_for_ever, name="elector", daemon=True)
        self._warden = threading.Thread(target=self._guard, name="elector-warden", daemon=True)

    @property
    def token(self) -> int:
        """The fencing token; 0 before the election."""
        return self._token

    def outbid(self, seen: int) -> None:
        """A member has seen a higher token: whoever holds the Lease raises it above that.

        Only its holder can. When another replica has it, this one was replaced and ends; otherwise
        the Lease was deleted, or restored from a backup, and its count with it.
        """
        if seen > self._token:
            self._seen = max(self._seen, seen)

    def _above(self, count: int) -> int:
        """A count that no member refuses, as far as is known."""
        return max(count, self._seen + 1) if self._seen else count

    def held(self) -> bool:
        """Whether we may act at this moment. Ask right before every act."""
        until_ms = self._valid_until_ms
        return until_ms is not None and self._clock.now_ms() < until_ms

    def start(self) -> None:
        self._renewer.start()
        self._warden.start()

    def release(self) -> None:
        """Give the lease up, so that another replica need not wait; returns within seconds."""
        self._stopping.set()
        self._elected.set()
        if self._renewer.is_alive():
            self._renewer.join(2 * REQUEST_S_MAX + 1)

    def _renew_for_ever(self) -> None:
        while not self._stopping.is_set():
            self._once()
            self._stopping.wait(self._pause_s())
        if self._valid_until_ms is not None:
            self._valid_until_ms = None
            self._give_up()
        self._api.close()

    def _pause_s(self) -> float:
        """Until the next try; what is over before that is taken when it is over."""
        if self._watched is None:
            return RETRY_S
        left_ms = self._watched.ends_at_ms - self._clock.now_ms()
        return min(RETRY_S, left_ms / 1000) if left_ms > 0 else RETRY_S

    def _once(self) -> None:
        asked_ms = self._clock.now_ms()
        try:
            if self._lease is None:
                self._lease = self._api.read()
            if self._lease is None:
                self._lease = self._api.create(self._spec(1))
                self._won(asked_ms, 1)
            elif _holder(self._lease) == self._identity:
                count = self._above(_count(self._lease))
                self._lease = self._api.replace(self._lease, self._spec(count))
                self._won(asked_ms, count)
            elif self._may_take(self._lease, asked_ms):
                count = self._above(_count(self._lease) + 1)
                self._lease = self._api.replace(self._lease, self._spec(count))
                self._watched = None
                self._won(asked_ms, count)
            else:
                self._lease = None
        except _ConflictError:
            self._lease = None
        except (OSError, http.client.HTTPException, ValueError):
            # The write may have been done: read before the next one. Nobody is told; the warden
            # sees the time pass.
            self._lease = None
            self._api.close()

    def _may_take(self, lease: Document, now_ms: int) -> bool:
        if not _holder(lease):
            return True
        version = str(lease["metadata"].get("resourceVersion"))
        if self._watched is None or self._watched.version != version:
            seconds = lease.get("spec", {}).get("leaseDurationSeconds") or DURATION_MS // 1000
            self._watched = _Watched(version, now_ms + int(seconds) * 1000)
        return now_ms >= self._watched.ends_at_ms

    def _won(self, asked_ms: int, count: int) -> None:
        self._valid_until_ms = asked_ms + VALID_MS
        self._token = count
        if self._elected.is_set():
            return
        self._elected.set()
        self._on_elected(count)

    def _guard(self) -> None:
        self._elected.wait()
        while not self._stopping.is_set():
            until_ms = self._valid_until_ms
            if until_ms is None:
                return  # released
            left_ms = until_ms - self._clock.now_ms()
            if left_ms <= 0:
                sys.stderr.write(
                    f'{{"level": "error", "msg": "Lease lapsed", "lease": "{self._name}"}}\n'
                )
                sys.stderr.flush()
                self._end(EXIT_STATUS)
            self._stopping.wait(left_ms / 1000)

    def _give_up(self) -> None:
        try:
            lease = self._api.read()
            if lease is not None and _holder(lease) == self._identity:
                spec = {
                    **self._spec(_count(lease)),
                    "holderIdentity": "",
                    "leaseDurationSeconds": 1,
                }
                self._api.replace(lease, spec)
        except (_ConflictError, OSError, http.client.HTTPException, ValueError):
            return  # the others wait it out

    def _spec(self, count: int) -> Document:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        acquired = now
        if self._lease is not None and _holder(self._lease) == self._identity:
            acquired = self._lease.get("spec", {}).get("acquireTime") or now
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_MS // 1000,
            "acquireTime": acquired,
            "renewTime": now,
            "leaseTransitions": count,
        }


class _ConflictError(Exception):
    """Somebody else wrote first."""


class _LeaseApi:
    """Three requests, blocking, each with a time limit."""

    def __init__(self, endpoint: Endpoint, clock: Clock, namespace: str, name: str) -> None:
        self._endpoint = endpoint
        self._credential = Credential(endpoint, clock)
        self._address = urlsplit(endpoint.server)
        self._namespace = namespace
        self._name = name
        self._connection: http.client.HTTPSConnection | None = None

    def read(self) -> Document | None:
        status, document = self._call("GET", LEASES.path(self._namespace, self._name))
        return None if status == HTTPStatus.NOT_FOUND else document

    def create(self, spec: Document) -> Document:
        metadata = {"name": self._name, "namespace": self._namespace}
        body = LEASES.of({"metadata": metadata, "spec": spec})
        return self._call("POST", LEASES.path(self._namespace), body)[1]

    def replace(self, lease: Document, spec: Document) -> Document:
        body = LEASES.of({"metadata": lease["metadata"], "spec": spec})
        return self._call("PUT", LEASES.path(self._namespace, self._name), body)[1]

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _call(self, method: str, path: str, body: Document | None = None) -> tuple[int, Document]:
        if self._connection is None:
            host = self._address.hostname
            assert host is not None, "the endpoint names a host"
            self._connection = http.client.HTTPSConnection(
                host,
                self._address.port or 443,
                timeout=REQUEST_S_MAX,
                context=self._endpoint.ssl_context(),
            )
        headers = {"Content-Type": "application/json", **self._credential.headers()}
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status == HTTPStatus.CONFLICT:
            raise _ConflictError
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status != HTTPStatus.NOT_FOUND:
            raise http.client.HTTPException(f"{answer.status} {text[:200]!r}")
        if answer.status == HTTPStatus.NOT_FOUND and method != "GET":
            raise _ConflictError
        document: Document = json.loads(text) if text else {}
        return answer.status, document


def _holder(lease: Document) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")


def _count(lease: Document) -> int:
    return int(lease.get("spec", {}).get("leaseTransitions") or 0)
