"""Where the API server is and who we are: from the pod's service account, or from a kubeconfig.

The service account's token is read anew from its file every few seconds, because the kubelet
replaces it hourly; whoever holds an old one is answered 401 within the day.
"""

import base64
import os
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from standfast.errors import UserError
from standfast.ports.clock import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_AGE_MS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One API server and one identity.

    Attributes:
        server: `https://host:port`.
        ca: PEM; empty for the system's store.
        token_file: Read again and again; none when another proof is used.
        token: Fixed; empty when another proof is used.
        certificate: Client certificate, PEM.
        key: Its key, PEM.
        namespace: Ours; "default" outside a pod unless the kubeconfig names one.
    """

    server: str
    ca: str = field(default="", repr=False)
    token_file: Path | None = None
    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    namespace: str = "default"

    def ssl_context(self) -> ssl.SSLContext:
        """A context that verifies the server and shows our certificate where we have one."""
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.certificate:
            with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
                pair.write(f"{self.certificate}\n{self.key}\n")
                pair.flush()
                context.load_cert_chain(pair.name)
        return context


class Credential:
    """The bearer token to send now. Cheap to ask; may be asked from any thread."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._token = endpoint.token
        self._read_at_ms: int | None = None

    def headers(self) -> dict[str, str]:
        """Headers that prove who we are; none when the client certificate does."""
        path = self._endpoint.token_file
        now_ms = self._clock.now_ms()
        stale = self._read_at_ms is None or now_ms - self._read_at_ms > TOKEN_AGE_MS_MAX
        if path is not None and stale:
            self._token = path.read_text(encoding="ascii").strip()
            self._read_at_ms = now_ms
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


def load_endpoint(environment: Mapping[str, str] | None = None) -> Endpoint:
    """Find the API server as `kubectl` would, the pod's own first.

    Raises:
        UserError: There is neither a service account nor a usable kubeconfig.
    """
    env = os.environ if environment is None else environment
    account = Path(env.get("STANDFAST_SERVICE_ACCOUNT_DIR", str(SERVICE_ACCOUNT)))
    if env.get("KUBERNETES_SERVICE_HOST") and (account / "token").exists():
        return _of_pod(env, account)
    path = Path(env["KUBECONFIG"]) if env.get("KUBECONFIG") else of_user()
    if path.exists():
        return of_kubeconfig(path)
    raise UserError(
        "no Kubernetes API server is known: this is not a pod with a service account, and there "
        f"is no {path}",
        remedy="set KUBECONFIG to a kubeconfig file",
    )


def of_user() -> Path:
    """Where `kubectl` looks by default; unexpanded for a user without a home, as in images."""
    path = Path("~/.kube/config")
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _of_pod(env: Mapping[str, str], account: Path) -> Endpoint:
    host = env["KUBERNETES_SERVICE_HOST"]
    port = env.get("KUBERNETES_SERVICE_PORT", "443")
    return Endpoint(
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca=(account / "ca.crt").read_text(encoding="ascii"),
        token_file=account / "token",
        namespace=(account / "namespace").read_text(encoding="ascii").strip(),
    )


def of_kubeconfig(path: Path) -> Endpoint:
    """Read the current context of a kubeconfig; exec plugins are not run.

    Raises:
        UserError: It cannot be used, and why.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        context = _named(config, "contexts", config.get("current-context"))["context"]
        cluster = _named(config, "clusters", context["cluster"])["cluster"]
        user = _named(config, "users", context["user"])["user"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} cannot be used as a kubeconfig: {error}",
            remedy="kubectl config view --minify",
        ) from error
    return Endpoint(
        server=str(cluster["server"]).rstrip("/"),
        ca=_text(cluster, "certificate-authority"),
        token_file=Path(user["tokenFile"]) if user.get("tokenFile") else None,
        token=str(user.get("token", "")),
        certificate=_text(user, "client-certificate"),
        key=_text(user, "client-key"),
        namespace=str(context.get("namespace") or "default"),
    )


def _named(config: Mapping[str, Any], section: str, name: object) -> Mapping[str, Any]:
    for entry in config.get(section) or ():
        if entry.get("name") == name:
            found: Mapping[str, Any] = entry
            return found
    raise KeyError(f"{section} has no {name!r}")


def _text(entry: Mapping[str, Any], key: str) -> str:
    data = entry.get(f"{key}-data")
    if data:
        return base64.b64decode(data).decode()
    return Path(entry[key]).read_text(encoding="ascii") if entry.get(key) else ""
