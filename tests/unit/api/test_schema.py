"""From pydantic to structural schemas: each rule of translation, and each refusal to guess."""

from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from standfast.api.markers import ListMap, ListSet, Rule
from standfast.api.schema import SchemaError, structural

Short = Annotated[str, Field(max_length=8)]


class Colour(StrEnum):
    """A colour."""

    RED = "red"


class Part(BaseModel):
    """A part."""

    name: Short = Field(description="Its name.")
    size: Annotated[int, Field(ge=0, le=9)] = Field(default=3, description="Its size.")


class Loose(BaseModel):
    """A part that may have no name."""

    name: Short | None = Field(default=None, description="Its name.")


def of(annotation: Any, **field: Any) -> dict[str, Any]:
    """The schema of a field `f` of that type."""
    said = {"description": "A field.", **field}
    model = type("M", (BaseModel,), {"__annotations__": {"f": annotation}, "f": Field(**said)})
    return structural(model, "f")


def test_a_reference_is_inlined_and_its_own_description_wins() -> None:
    assert of(Part) == {
        "description": "A field.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"description": "Its name.", "type": "string", "maxLength": 8},
            "size": {
                "description": "Its size.",
                "type": "integer",
                "format": "int64",
                "default": 3,
                "minimum": 0,
                "maximum": 9,
            },
        },
    }


def test_optional_is_the_type_itself_without_a_default() -> None:
    assert of(Short | None, default=None) == {
        "description": "A field.",
        "type": "string",
        "maxLength": 8,
    }


def test_a_constant_is_an_enumeration_of_one() -> None:
    assert of(Literal["x"])["enum"] == ["x"]


def test_an_enumeration_keeps_the_fields_description() -> None:
    assert of(Colour) == {"description": "A field.", "type": "string", "enum": ["red"]}


def test_exclusive_bounds_are_pairs_of_words() -> None:
    found = of(Annotated[int, Field(gt=0, lt=10)])

    assert (found["minimum"], found["exclusiveMinimum"]) == (0, True)
    assert (found["maximum"], found["exclusiveMaximum"]) == (10, True)


def test_lists_say_what_they_are() -> None:
    assert (
        of(Annotated[tuple[Short, ...], Field(max_length=2)])["x-kubernetes-list-type"] == "atomic"
    )
    assert of(frozenset[Short], max_length=2)["x-kubernetes-list-type"] == "set"
    assert (
        of(Annotated[tuple[Short, ...], Field(max_length=2), ListSet()])["x-kubernetes-list-type"]
        == "set"
    )
    keyed = of(Annotated[tuple[Part, ...], Field(max_length=2), ListMap("name")])
    assert keyed["x-kubernetes-list-type"] == "map"
    assert keyed["x-kubernetes-list-map-keys"] == ["name"]


def test_a_map_is_bounded_and_its_values_too() -> None:
    assert of(dict[str, Short], max_length=4) == {
        "description": "A field.",
        "type": "object",
        "maxProperties": 4,
        "additionalProperties": {"type": "string", "maxLength": 8},
    }


def test_a_default_says_only_what_inner_defaults_do_not() -> None:
    assert of(Part, default=Part(name="a"))["default"] == {"name": "a"}


def test_a_status_gets_no_defaults() -> None:
    class Whole(BaseModel):
        status: Part = Field(description="S.")

    assert "default" not in structural(Whole, "status", defaults=False)["properties"]["size"]


def test_rules_of_a_value_and_of_its_type_both_count() -> None:
    one, two = Rule(cel="a", message="1"), Rule(cel="b", message="2")
    inner = Annotated[str, Field(max_length=3), one]

    found = of(Annotated[inner, two])["x-kubernetes-validations"]

    assert found == [{"rule": "a", "message": "1"}, {"rule": "b", "message": "2"}]


def test_the_first_example_is_part_of_the_description() -> None:
    assert of(Short, examples=["a", "b"])["description"] == "A field. Example: a"
    listed = of(Annotated[tuple[Short, ...], Field(max_length=2)], examples=[["a", "b"]])
    assert listed["description"] == "A field. Example: a, b"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (str, "a string without a bound"),
        (int, "a number without bounds"),
        (Annotated[float, Field(ge=0)], "a number without bounds"),
        (tuple[Short, ...], "a list without a bound"),
        (dict[str, Short], "a map without a bound"),
        (Short | int, "anyOf of 2 is not structural"),
        (Any, "type None is not structural"),
        (dict[str, Any], "an object without properties"),
    ],
    ids=str,
)
def test_what_is_not_structural_is_an_error(annotation: Any, said: str) -> None:
    with pytest.raises(SchemaError, match=f"M.f.*{said}"):
        of(annotation)


def test_an_unknown_keyword_is_an_error() -> None:
    with pytest.raises(SchemaError, match=r"M\.f: the generator does not know contentEncoding"):
        of(Short, json_schema_extra={"contentEncoding": "base64"})


def test_a_field_without_description_is_an_error() -> None:
    with pytest.raises(SchemaError, match=r"M\.f: has no description"):
        of(Short, description=None)


def test_a_key_that_may_be_absent_is_an_error() -> None:
    with pytest.raises(SchemaError, match="the list's key name must be required in its items"):
        of(Annotated[tuple[Loose, ...], Field(max_length=2), ListMap("name")])


def test_a_key_of_two_fields_where_one_has_a_default() -> None:
    keyed = of(Annotated[tuple[Part, ...], Field(max_length=2), ListMap("name", "size")])
    assert keyed["x-kubernetes-list-map-keys"] == ["name", "size"]
