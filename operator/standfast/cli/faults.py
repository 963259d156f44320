"""What the API server and the way to it can answer, as sentences with remedies."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import urllib3.exceptions
from kubernetes.client import ApiException

from standfast.errors import StandfastError, TransientError, UserError


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the Kubernetes client raises into our own errors.

    Args:
        doing: What was tried, with names: "reading HACluster databases/orders".
    """
    try:
        yield
    except ApiException as error:
        raise _from_answer(doing, error) from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransientError(
            f"{doing}: the API server does not answer ({_short(error)}). Protected VMs fail over "
            "without it",
            remedy="kubectl cluster-info",
        ) from error


def _from_answer(doing: str, error: ApiException) -> StandfastError:
    said = _said(error)
    match error.status:
        case HTTPStatus.NOT_FOUND if "page not found" in str(error.body):
            return UserError(
                f"{doing}: the API server does not know the kinds of standfast.dev",
                remedy="helm install standfast-crds charts/standfast-crds",
            )
        case HTTPStatus.NOT_FOUND:
            return UserError(f"{doing}: {said}", remedy="kubectl get hac -A")
        case HTTPStatus.UNAUTHORIZED:
            return UserError(
                f"{doing}: the API server does not know who you are", remedy="kubectl auth whoami"
            )
        case HTTPStatus.FORBIDDEN:
            return UserError(
                f"{doing}: {said}",
                remedy="ask for the ClusterRole standfast-viewer to see, standfast-switcher to "
                "switch over; for enrolment, the right to get Secrets",
            )
        case HTTPStatus.BAD_REQUEST | HTTPStatus.CONFLICT | HTTPStatus.UNPROCESSABLE_ENTITY:
            return UserError(f"{doing}: {said}")
        case _:
            return TransientError(f"{doing}: the API server answers {error.status}, {said}")


def _said(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError):
        return str(error.reason)


def _short(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).rsplit(": ", 1)[-1] or type(error).__name__
