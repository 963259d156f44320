"""Marks on fields and models: rules, list types, text that is cut to fit.

Used by every kind of this package. A `Rule` is written once and enforced twice: by the API server
as CEL, and by the models here, so that a file checked on a laptop is refused with the sentence the
API server would use. `tests/integration/test_crds.py` holds the two against each other.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_snake
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

VALIDATIONS = "x-kubernetes-validations"
LIST_TYPE = "x-kubernetes-list-type"
LIST_MAP_KEYS = "x-kubernetes-list-map-keys"


@dataclass(frozen=True, slots=True)
class Rule:
    """One sentence that must hold, for a value (as `Annotated` metadata) or a model (`RULES`).

    Args:
        cel: The rule for the API server; a transition rule where it names `oldSelf`.
        message: What, why and the remedy, in one line. Without the value, which the API server
            names itself (a `messageExpression` over lists is refused for its cost).
        holds: The same rule in Python; None for a transition rule, which needs the old object.
    """

    cel: str
    message: str
    holds: Callable[[Any], bool] | None = None

    def check(self, value: Any) -> None:
        """Raise `ValueError` with the rule's sentence when it does not hold for `value`."""
        if self.holds is not None and not self.holds(value):
            raise ValueError(self.message)

    def to_schema(self) -> dict[str, str]:
        """Return the entry of `x-kubernetes-validations`."""
        return {"rule": self.cel, "message": self.message}

    def _checked(self, value: Any) -> Any:
        self.check(value)
        return value

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        json_schema = handler(schema)
        json_schema.setdefault(VALIDATIONS, []).append(self.to_schema())
        return json_schema


def exactly_one(*members: str, of: str) -> Rule:
    """Rule of a union: one object with exactly one of these members set.

    Args:
        members: Field names as users write them.
        of: What the members are, for the sentence: "kind of infrastructure".
    """
    listed = ", ".join(f"has(self.{member})" for member in members)
    names = " or ".join(members)
    return Rule(
        cel=f"[{listed}].exists_one(is_set, is_set)",
        message=f"exactly one {of} must be set: {names}",
        holds=lambda value: (
            [getattr(value, to_snake(m)) is not None for m in members].count(True) == 1
        ),
    )


def same_member_for_ever(*members: str, what: str, remedy: str) -> Rule:
    """Transition rule of a union: the member that was set first stays the one that is set."""
    return Rule(
        cel=" && ".join(f"has(self.{m}) == has(oldSelf.{m})" for m in members),
        message=f"{what} cannot change from one of {', '.join(members)} to another: {remedy}",
    )


def immutable(what: str, *, remedy: str) -> Rule:
    """Transition rule of a value that is an identity."""
    return Rule(cel="self == oldSelf", message=f"{what} cannot change: {remedy}")


@dataclass(frozen=True, slots=True)
class ListMap:
    """A list whose items have a key; no key may come twice.

    Args:
        key: The key as users write it; its Python name is the same word.
        also: A second field that belongs to the key.
    """

    key: str
    also: str = ""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), LIST_TYPE: "map", LIST_MAP_KEYS: list(self._keys)}

    @property
    def _keys(self) -> tuple[str, ...]:
        return (self.key, self.also) if self.also else (self.key,)

    def _distinct(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        found = ("/".join(str(getattr(item, key)) for key in self._keys) for item in items)
        _refuse_twice(found, self.key)
        return items


@dataclass(frozen=True, slots=True)
class ListSet:
    """A list of plain values that never holds one twice; its order means nothing."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._distinct, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "uniqueItems": True}

    def _distinct(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        _refuse_twice(items, "value")
        return items


@dataclass(frozen=True, slots=True)
class Clip:
    """Text of a status: cut at `chars_max` with an ellipsis, never a reason to lose the status."""

    chars_max: int

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._clip, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {**handler(schema), "maxLength": self.chars_max}

    def _clip(self, text: str) -> str:
        return text if len(text) <= self.chars_max else text[: self.chars_max - 1] + "…"


def _refuse_twice(keys: Iterable[Hashable], word: str) -> None:
    seen: set[Hashable] = set()
    for key in keys:
        if key in seen:
            raise ValueError(f"{word} {key!r} is listed twice: keep one of them")
        seen.add(key)
