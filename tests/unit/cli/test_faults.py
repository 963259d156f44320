"""What the API server answers, as a class of error and a remedy."""

import json

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import MaxRetryError

from standfast.cli.faults import translated
from standfast.errors import StandfastError, TransientError, UserError


def answer(status: int, message: str = "said") -> ApiException:
    fault = ApiException(status=status, reason="Reason")
    fault.body = json.dumps({"message": message})
    return fault


def caught(fault: Exception) -> StandfastError:
    with pytest.raises(StandfastError) as found, translated("reading HACluster default/web"):
        raise fault
    return found.value


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
def test_what_a_person_must_change_is_wrong_input(status: int) -> None:
    assert type(caught(answer(status))) is UserError


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_what_passes_by_itself_is_worth_a_retry(status: int) -> None:
    assert type(caught(answer(status))) is TransientError


def test_a_refusal_by_the_api_server_keeps_its_sentence() -> None:
    said = caught(answer(422, "spec.to: Invalid value"))

    assert said.problem == "reading HACluster default/web: spec.to: Invalid value"


def test_missing_kinds_are_told_from_missing_objects() -> None:
    missing = ApiException(status=404, reason="Not Found")
    missing.body = "404 page not found\n"

    assert "does not know the kinds of standfast.dev" in caught(missing).problem


def test_missing_rights_name_the_role_to_ask_for() -> None:
    assert "standfast-viewer" in caught(answer(403)).remedy


def test_an_api_server_that_does_not_answer_is_no_failover_problem() -> None:
    gone = MaxRetryError(None, "/", OSError("Connection refused"))  # type: ignore[arg-type]  # no pool

    said = caught(gone)

    assert "the API server does not answer (Connection refused)" in said.problem
    assert "Protected VMs fail over without it" in said.problem
