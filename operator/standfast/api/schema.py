"""From a pydantic model to a structural schema of a CRD.

Inlines references, unwraps Optional, says `enum` for `const`, list types for arrays, and drops
what the API server refuses. A keyword it does not know and a value without a bound are errors:
a schema that is nearly right costs a day. Each rule was tried on a real API server.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from standfast.api.markers import LIST_MAP_KEYS, LIST_TYPE, VALIDATIONS

Json = dict[str, Any]

_BOUNDED_FORMATS = frozenset({"date-time", "duration"})
_COPIED = (
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "maxProperties",
    "minProperties",
    LIST_TYPE,
    LIST_MAP_KEYS,
    VALIDATIONS,
)
_ORDER = (
    "description",
    "type",
    *_COPIED,
    "required",
    "properties",
    "items",
    "additionalProperties",
)
_KNOWN = frozenset(
    {
        *_ORDER,
        "const",
        "anyOf",
        "allOf",
        "$ref",
        "uniqueItems",
        "title",
        "examples",
        "propertyNames",
    }
)


class SchemaError(Exception):
    """A model says something that a CRD cannot, or leaves a value without a bound."""


def structural(model: type[BaseModel], field: str, *, defaults: bool = True) -> Json:
    """Return the structural schema of one field, with descriptions and rules.

    Args:
        model: The kind.
        field: Its field, as users write it.
        defaults: Whether the API server fills in what was left out: in a spec, where people shall
            see what holds; not in a status, where it would write into what the operator owns.
    """
    whole = model.model_json_schema(by_alias=True, mode="validation")
    writer = _Writer(whole.get("$defs", {}), defaults=defaults)
    return writer.convert(whole["properties"][field], f"{model.__name__}.{field}")


class _Writer:
    """Writes the nodes of one model's schema; `path` is where a node is, for errors."""

    def __init__(self, definitions: Mapping[str, Json], *, defaults: bool) -> None:
        self.definitions = definitions
        self.defaults = defaults

    def convert(self, given: Json, path: str) -> Json:
        """Return the node as a CRD says it."""
        node = self._flat(given, path)
        unknown = sorted(set(node) - _KNOWN)
        if unknown:
            raise SchemaError(f"{path}: the generator does not know {', '.join(unknown)}")
        found = {key: node[key] for key in ("type", *_COPIED) if key in node}
        if said := _description(node, path):
            found["description"] = said
        if "const" in node:
            found["enum"] = [node["const"]]
        if VALIDATIONS in node:
            found[VALIDATIONS] = [_rule(rule) for rule in node[VALIDATIONS]]
        match node.get("type"):
            case "object":
                self._object(found, node, path)
            case "array":
                self._array(found, node, path)
            case "string":
                _string(found, node, path)
            case "integer" | "number":
                _number(found, path)
            case "boolean":
                pass
            case other:
                raise SchemaError(f"{path}: type {other!r} is not structural")
        self._default(found)
        return {key: found[key] for key in _ORDER if key in found}

    def _default(self, found: Json) -> None:
        """Keep of a default what the defaults of its own properties do not say already."""
        default = found.pop("default", None)
        if default is None or not self.defaults:
            return
        if isinstance(default, dict):
            inner = found.get("properties", {})
            default = {
                key: value
                for key, value in default.items()
                if value is not None and value != inner.get(key, {}).get("default")
            }
        found["default"] = default

    def _flat(self, node: Json, path: str) -> Json:
        """Replace `$ref`, `allOf` and a nullable `anyOf` by what they mean; siblings win."""
        own = dict(node)
        if "$ref" in own:
            name = own.pop("$ref").rsplit("/", 1)[-1]
            own = _over(self._flat(self.definitions[name], path), own)
        for word in ("allOf", "anyOf"):
            if word in own:
                members = [member for member in own.pop(word) if member != {"type": "null"}]
                if len(members) != 1:
                    raise SchemaError(f"{path}: {word} of {len(members)} is not structural")
                own = _over(self._flat(members[0], path), own)
        return own

    def _object(self, found: Json, node: Json, path: str) -> None:
        values = node.get("additionalProperties")
        if isinstance(values, dict):
            if "maxProperties" not in node:
                raise SchemaError(f"{path}: a map without a bound; give it max_length")
            found["additionalProperties"] = self.convert(values, f"{path}[]")
            return
        if "properties" not in node:
            raise SchemaError(f"{path}: an object without properties")
        found["properties"] = {
            name: self.convert(child, f"{path}.{name}")
            for name, child in node["properties"].items()
        }
        if node.get("required"):
            found["required"] = sorted(node["required"])

    def _array(self, found: Json, node: Json, path: str) -> None:
        if "maxItems" not in node:
            raise SchemaError(f"{path}: a list without a bound; give it max_length")
        found["items"] = self.convert(node["items"], f"{path}[]")
        found[LIST_TYPE] = "set" if node.get("uniqueItems") else node.get(LIST_TYPE, "atomic")
        for key in node.get(LIST_MAP_KEYS, []):
            items = found["items"]
            if key not in items.get("required", []) and "default" not in items["properties"][key]:
                why = "must be required in its items, or have a default"
                raise SchemaError(f"{path}: the list's key {key} {why}")


def _rule(rule: Json) -> Json:
    return {key: rule[key] for key in ("rule", "message")}


def _over(base: Json, own: Json) -> Json:
    rules = [*base.get(VALIDATIONS, []), *own.get(VALIDATIONS, [])]
    return {**base, **own, **({VALIDATIONS: rules} if rules else {})}


def _description(node: Json, path: str) -> str:
    """The description as one paragraph, with the first example."""
    text = " ".join(str(node.get("description", "")).split())
    if not text and not path.endswith("[]"):
        raise SchemaError(f"{path}: has no description")
    for example in node.get("examples", [])[:1]:
        shown = ", ".join(example) if isinstance(example, list) else example
        text += f" Example: {shown}"
    return text


def _string(found: Json, node: Json, path: str) -> None:
    bounded = "maxLength" in node or "enum" in found or node.get("format") in _BOUNDED_FORMATS
    if not bounded:
        raise SchemaError(f"{path}: a string without a bound; give it max_length")


def _number(found: Json, path: str) -> None:
    """Bounds are a must; `exclusiveMinimum: 3` becomes OpenAPI v3's pair of words."""
    for word, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if word in found:
            found[bound], found[word] = found[word], True
    if not {"minimum", "maximum"} <= set(found):
        raise SchemaError(f"{path}: a number without bounds; give it ge and le")
    if found["type"] == "integer":
        found["format"] = "int64"
