"""The shapes of everything that programs of different versions read from each other, as data.

`shapes.json` holds them as they were last agreed on. `python -m tests.unit.wire.shapes` writes it
anew: needed after an addition that is to be kept, never to silence a refusal of `test_skew`
once a version that speaks the old shape has been released.
"""

import enum
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as shape

from standfast.core.record import Config, Record
from standfast.core.state import Durable
from standfast.wire import api, codec, durable, resources

FILE = Path(__file__).with_name("shapes.json")
Shape = dict[str, Any]
Shapes = dict[str, Shape]


def roots() -> Iterator[type]:
    """What is read from another program, or from a journal that another version wrote."""
    for module in (api, resources, durable):
        for _, found in inspect.getmembers(module, inspect.isclass):
            if found.__module__ == module.__name__ and issubclass(found, msgspec.Struct):
                yield found
    yield from codec.KINDS
    yield codec._Header
    yield from (Durable, Record, Config)


def shapes(*of: type) -> Shapes:
    """Every named shape that these lead to."""
    found: Shapes = {}
    for each in of or tuple(roots()):
        _name(shape.type_info(each), found)
    return dict(sorted(found.items()))


def _name(info: shape.Type, found: Shapes) -> str:
    """A type in a word; what it names is gathered."""
    match info:
        case shape.StructType() | shape.DataclassType() | shape.NamedTupleType():
            return _fields(info, found)
        case shape.EnumType(cls=cls):
            name = f"{cls.__module__}.{cls.__qualname__}"
            assert issubclass(cls, enum.Enum)
            found[name] = {"values": sorted(str(each.value) for each in cls)}
            return name
        case shape.UnionType(types=types):
            return " | ".join(sorted(_name(each, found) for each in types))
        case shape.VarTupleType(item_type=item) | shape.ListType(item_type=item):
            return f"[{_name(item, found)}]"
        case shape.SetType(item_type=item) | shape.FrozenSetType(item_type=item):
            return f"[{_name(item, found)}]"
        case shape.TupleType(item_types=items):
            return f"({', '.join(_name(each, found) for each in items)})"
        case shape.DictType(key_type=key, value_type=value):
            return f"{{{_name(key, found)}: {_name(value, found)}}}"
        case shape.LiteralType(values=values):
            return " | ".join(map(repr, values))
        case _:
            return type(info).__name__.removesuffix("Type").lower()


def _fields(
    info: shape.StructType | shape.DataclassType | shape.NamedTupleType, found: Shapes
) -> str:
    name = f"{info.cls.__module__}.{info.cls.__qualname__}"
    if name not in found:
        found[name] = {}
        found[name] = {
            "inOrder": isinstance(info, shape.NamedTupleType)
            or bool(isinstance(info, shape.StructType) and info.array_like),
            "fields": {
                each.encode_name: {"type": _name(each.type, found), "required": each.required}
                for each in info.fields
            },
        }
    return name


def main() -> None:
    FILE.write_text(json.dumps(shapes(), indent=1) + "\n")


if __name__ == "__main__":
    main()
