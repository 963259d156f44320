"""Rules hold in the models with the sentence of the API server."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field, ValidationError
from tests.unit.api.documents import REFUSALS, RIGHT, Document, Refusal

from standfast.api.kinds import BY_NAME
from standfast.api.markers import Clip, ListSet
from standfast.api.parse import parse
from standfast.errors import UserError


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.claim)
def test_what_the_api_server_refuses_the_models_refuse(refusal: Refusal) -> None:
    kind = BY_NAME[refusal.document["kind"]]

    with pytest.raises(UserError) as refused:
        parse(kind.model, refusal.document)

    assert refusal.sentence in refused.value.problem


@pytest.mark.parametrize("document", RIGHT, ids=lambda document: document["metadata"]["name"])
def test_what_is_right_is_taken(document: Document) -> None:
    kind = BY_NAME[document["kind"]]

    assert parse(kind.model, document).metadata.name == document["metadata"]["name"]


def test_text_of_a_status_is_cut_and_never_refused() -> None:
    class Said(BaseModel):
        text: Annotated[str, Clip(5)]

    assert Said(text="abcdefgh").text == "abcd…"
    assert Said(text="abcde").text == "abcde"


def test_a_set_holds_nothing_twice() -> None:
    class Held(BaseModel):
        values: Annotated[tuple[str, ...], Field(max_length=3), ListSet()]

    with pytest.raises(ValidationError, match="value 'a' is listed twice: keep one of them"):
        Held(values=("a", "b", "a"))
