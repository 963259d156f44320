"""The API server as the command line uses it: with the caller's kubeconfig, objects as models.

The only module here that talks to anybody. Whatever goes wrong becomes a sentence with a remedy.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import urllib3.exceptions
from kubernetes import client as kube
from kubernetes import config as kubeconfig

from standfast.adapters.kube.endpoint import of_user
from standfast.api.base import GROUP, VERSION, KubeObject
from standfast.api.kinds import BY_NAME
from standfast.api.parse import read
from standfast.api.record import FailoverRecord
from standfast.api.resource import HAResource
from standfast.api.switchover import Switchover
from standfast.cli.faults import translated
from standfast.errors import UserError

T = TypeVar("T", bound=KubeObject)
C = TypeVar("C", HAResource, Switchover, FailoverRecord)

_TIMEOUT_S = (5, 20)
"""To connect, to read."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster of Kubernetes, which namespace.

    Args:
        namespace: None for the one of the context.
        context: None for the current one.
        kubeconfig: None for $KUBECONFIG or ~/.kube/config.
    """

    namespace: str | None = None
    context: str | None = None
    kubeconfig: Path | None = None


class Api:
    """Reads and creates objects of the group."""

    def __init__(self, where: Where) -> None:
        """Read the kubeconfig; nobody is asked anything yet.

        Raises:
            UserError: There is no kubeconfig, or no such context in it.
        """
        connection, namespace = _connect(where)
        self.namespace = where.namespace or namespace
        self._objects = kube.CustomObjectsApi(connection)
        self._core = kube.CoreV1Api(connection)
        self._authentication = kube.AuthenticationV1Api(connection)

    def get(self, model: type[T], name: str) -> T:
        """Return one object.

        Raises:
            UserError: There is none of that name; the sentence lists those there are.
        """
        plural = BY_NAME[model.__name__].plural
        with translated(f"reading {model.__name__} {self.namespace}/{name}"):
            try:
                found = self._objects.get_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, plural, name, _request_timeout=_TIMEOUT_S
                )
            except kube.ApiException as error:
                if error.status != 404 or "page not found" in str(error.body):
                    raise
                raise self._nothing_called(model, name) from error
        return read(model, _document(found))

    def all_of(self, model: type[T], *, everywhere: bool = False) -> list[T]:
        """Return the objects of a kind, by namespace and name."""
        plural = BY_NAME[model.__name__].plural
        with translated(f"listing {plural}"):
            if everywhere:
                found = self._objects.list_cluster_custom_object(
                    GROUP, VERSION, plural, _request_timeout=_TIMEOUT_S
                )
            else:
                found = self._objects.list_namespaced_custom_object(
                    GROUP, VERSION, self.namespace, plural, _request_timeout=_TIMEOUT_S
                )
        items = _document(found)["items"]
        kind = {"apiVersion": f"{GROUP}/{VERSION}", "kind": model.__name__}
        objects = [read(model, {**kind, **item}) for item in items]
        return sorted(objects, key=lambda each: each.key)

    def of_cluster(self, model: type[C], cluster: str) -> list[C]:
        """Return the objects of a kind that belong to a cluster, by name."""
        return [each for each in self.all_of(model) if each.spec.cluster_ref.name == cluster]

    def create(self, wanted: T) -> T:
        """Create an object and return it as the API server has it."""
        model = type(wanted)
        plural = BY_NAME[model.__name__].plural
        document = {key: value for key, value in wanted.to_object().items() if key != "status"}
        with translated(f"creating a {model.__name__} in {self.namespace}"):
            made = self._objects.create_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                plural,
                document,
                field_manager="kubectl-standfast",
                _request_timeout=_TIMEOUT_S,
            )
        return read(model, _document(made))

    def patch(self, model: type[T], name: str, patch: dict[str, Any] | list[dict[str, Any]]) -> T:
        """Change an object; a list is a JSON patch, an object a merge patch.

        Raises:
            UserError: It was refused, or a test of the patch did not hold.
        """
        form = "json-patch" if isinstance(patch, list) else "merge-patch"
        with translated(f"changing {model.__name__} {self.namespace}/{name}"):
            made = self._objects.patch_namespaced_custom_object(
                GROUP,
                VERSION,
                self.namespace,
                BY_NAME[model.__name__].plural,
                name,
                patch,
                field_manager="kubectl-standfast",
                _content_type=f"application/{form}+json",
                _request_timeout=_TIMEOUT_S,
            )
        return read(model, _document(made))

    def user(self) -> str:
        """Return the name under which the API server knows the caller."""
        with translated("asking the API server who you are"):
            answer = self._authentication.create_self_subject_review(
                kube.V1SelfSubjectReview(), _request_timeout=_TIMEOUT_S
            )
        user = answer.status.user_info if answer.status is not None else None
        if user is None or not user.username:
            raise UserError(
                "the API server does not say who you are", remedy="kubectl auth whoami"
            )
        return str(user.username)

    def raw(self, path: str) -> Any:
        """Return what the API server answers to a path: JSON as data, else text.

        Raises:
            UserError: Not allowed, or nothing is there.
        """
        with translated(f"reading {path}"):
            connection = self._core.api_client
            asked = connection.param_serialize("GET", path, auth_settings=["BearerToken"])
            answer = connection.call_api(*asked, _request_timeout=_TIMEOUT_S)
            text = (answer.read() or b"").decode(errors="replace")
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise kube.ApiException(status=answer.status, reason=answer.reason, body=text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def secret(self, name: str) -> dict[str, str] | None:
        """Return the data of a Secret, still base64; None when there is none."""
        with translated(f"reading Secret {self.namespace}/{name}"):
            try:
                found = self._core.read_namespaced_secret(
                    name, self.namespace, _request_timeout=_TIMEOUT_S
                )
            except kube.ApiException as error:
                if error.status == 404:
                    return None
                raise
        return {key: str(value) for key, value in (found.data or {}).items()}

    def _nothing_called(self, model: type[KubeObject], name: str) -> UserError:
        kind = BY_NAME[model.__name__]
        names = [each.metadata.name for each in self.all_of(model)]
        there = f"there are {', '.join(names)}" if names else "there are none"
        return UserError(
            f"{kind.name} {name} does not exist in namespace {self.namespace}; {there}",
            remedy=f"kubectl get {kind.plural} -A",
        )


def _document(answer: object) -> dict[str, Any]:
    assert isinstance(answer, dict), "the client decodes JSON objects to dictionaries"
    return answer


def _connect(where: Where) -> tuple[kube.ApiClient, str]:
    with _kubeconfig_faults(where):
        if where.kubeconfig is None and _only_in_a_pod():
            kubeconfig.load_incluster_config()  # type: ignore[no-untyped-call]  # untyped there
            return kube.ApiClient(), _pod_namespace()
        file = str(where.kubeconfig) if where.kubeconfig else None
        contexts, current = kubeconfig.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            file
        )
        chosen = where.context or (current or {}).get("name")
        named = {context["name"]: context["context"] for context in contexts}
        if chosen not in named:
            raise UserError(
                f"context {chosen} is not in the kubeconfig; it has {', '.join(sorted(named))}",
                remedy="kubectl config get-contexts",
            )
        connection: kube.ApiClient = kubeconfig.new_client_from_config(  # type: ignore[no-untyped-call]
            file, context=chosen
        )
    connection.configuration.retries = urllib3.Retry(0)
    return connection, named[chosen].get("namespace") or "default"


@contextmanager
def _kubeconfig_faults(where: Where) -> Iterator[None]:
    try:
        yield
    except (kubeconfig.ConfigException, OSError, KeyError, TypeError) as error:
        file = where.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        raise UserError(
            f"the kubeconfig {file} cannot be used: {error}",
            remedy="--kubeconfig FILE, or export KUBECONFIG=FILE",
        ) from error


def _only_in_a_pod() -> bool:
    if "KUBERNETES_SERVICE_HOST" not in os.environ or "KUBECONFIG" in os.environ:
        return False
    return not of_user().exists()


def _pod_namespace() -> str:
    file = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
    return file.read_text().strip() if file.exists() else "default"
