"""What a person says to a cluster in so many words, as annotations: each for one moment only.

They are no desired state: a consent names one boot and one record, an attestation one boot, a
recovery one incarnation and the minutes after it was said, a replacement one member. What they
name is over once it was acted on, so that a manifest that carries one for ever repeats nothing.
`kubectl standfast` writes them; who may annotate an HACluster may say them. The approver is the
user whom the API server authenticated: an admission policy of the chart compares it with the first
member of the text, which is why nothing may stand twice in it.
"""

import json
from collections.abc import Iterable
from typing import TypeVar

from pydantic import Field, ValidationError

from standfast.api.base import Model
from standfast.errors import UserError

ATTEST = "standfast.dev/attest"
CONSENT = "standfast.dev/consent"
RECOVER = "standfast.dev/recover"
REPLACE = "standfast.dev/replace"
"""`NODE=UID`: replace a node that lost its disk."""


class Word(Model):
    """Who says it, and when."""

    approver: str = Field(
        max_length=256, description="Who says it: the user's name at the API server."
    )
    at: str = Field(max_length=64, description="When, RFC 3339.")
    reason: str = Field(default="", max_length=1024, description="Why.")


class Attestation(Word):
    """A person has seen that a node is off."""

    node: str
    boot: str


class Consent(Word):
    """A person accepts a loss so that a node may lead."""

    node: str
    boot: str
    record: str
    loses: str = Field(max_length=1024, description="What was shown as lost.")


class Recovery(Word):
    """A person begins the cluster anew with whoever is left."""

    incarnation: int
    attested: tuple[str, ...] = Field(
        default=(), description="Members that the person has seen switched off."
    )


W = TypeVar("W", bound=Word)


def written(word: Word) -> str:
    """The text of the annotation: the approver first, as the admission policy demands."""
    return json.dumps(word.model_dump(mode="json", by_alias=True), ensure_ascii=False)


def word_in(annotations: dict[str, str], key: str, kind: type[W]) -> W | None:
    """What an annotation says; none when there is none.

    Raises:
        UserError: It does not read.
    """
    text = annotations.get(key)
    if not text:
        return None
    try:
        json.loads(text, object_pairs_hook=_each_once)
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise _unreadable(key, f"{where}: {first['msg']}") from error
    except ValueError as error:
        raise _unreadable(key, str(error)) from error


def _each_once(members: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in members:
        if name in found:
            raise ValueError(f"{name} stands in it twice")
        found[name] = value
    return found


def _unreadable(key: str, why: str) -> UserError:
    return UserError(
        f"annotation {key} does not read: {why}",
        remedy="kubectl standfast writes it; or remove the annotation",
    )
