"""From what the API server or a file holds to a model, or to a sentence that says what is wrong.

Specs are read strictly: acting on half of what a person asked for is worse than not acting.
Statuses are read leniently, and so is everything that is only shown: a field written by a newer
version must not blind an older one.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from standfast.api.base import KubeObject
from standfast.errors import UserError

T = TypeVar("T", bound=KubeObject)


def parse(model: type[T], document: Mapping[str, Any]) -> T:
    """Return the object to act on.

    Raises:
        UserError: Something in its spec is unknown or breaks a rule; the sentence names the
            object, the field, the value and the rule.
    """
    declared = {key: value for key, value in document.items() if key != "status"}
    try:
        strict = model.model_validate(declared)
        lenient = model.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise UserError(_problem(document, error), remedy=_remedy(model, document)) from error
    return strict.model_copy(update={"status": getattr(lenient, "status")})  # noqa: B009


def read(model: type[T], document: Mapping[str, Any]) -> T:
    """Return the object to show; fields that this version does not know are left out.

    Raises:
        UserError: It breaks a rule, as an object of an older schema can.
    """
    try:
        return model.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise UserError(_problem(document, error), remedy=_remedy(model, document)) from error


def _problem(document: Mapping[str, Any], error: ValidationError) -> str:
    metadata = document.get("metadata") or {}
    name = "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"))))
    details = error.errors(include_url=False)
    said = "; ".join(_sentence(detail) for detail in details[:5])
    more = f"; and {len(details) - 5} more" if len(details) > 5 else ""
    return f"{document.get('kind', 'object')} {name}: {said}{more}"


def _sentence(detail: ErrorDetails) -> str:
    where = ""
    for part in detail["loc"]:
        where += f"[{part}]" if isinstance(part, int) else f".{part}" if where else str(part)
    said = detail["msg"].removeprefix("Value error, ")
    value = detail["input"]
    if detail["type"] == "extra_forbidden":
        return f"{where} is not a field that this version knows"
    if isinstance(value, str | int | float | bool):
        return f"{where} is {value!r}: {said}"
    return f"{where}: {said}" if where else said


def _remedy(model: type[KubeObject], document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata") or {}
    namespace = f" -n {metadata['namespace']}" if metadata.get("namespace") else ""
    kind = model.__name__.lower()
    return f"kubectl edit {kind}{namespace} {metadata.get('name', '')}".rstrip()
