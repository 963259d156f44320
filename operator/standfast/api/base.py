"""What every kind is made of: the model's base, metadata, references, the object around them.

Rules: models are frozen; a field a user may write is refused when unknown; users see camelCase
with whole acronyms (`instanceUUID`), Python sees snake_case; None is never written.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import override

from standfast.api.markers import VALIDATIONS, Rule
from standfast.api.scalars import ObjectName, Time

GROUP = "standfast.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

_ACRONYMS = {"uuid": "UUID", "uid": "UID", "id": "ID"}


def camel(name: str) -> str:
    """Return the name users write: `instance_uuid` is `instanceUUID`, `from_` is `from`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """A part of an object."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _rules_hold(self) -> Self:
        for rule in self.RULES:
            rule.check(self)
        return self

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        json_schema = handler(schema)
        if cls.RULES:
            target = handler.resolve_ref_schema(json_schema)
            target[VALIDATIONS] = [rule.to_schema() for rule in cls.RULES]
        return json_schema

    def to_object(self) -> dict[str, Any]:
        """Return plain JSON data as the API server takes it, without fields that are None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class LocalRef(Model):
    """Another object in the same namespace."""

    name: ObjectName = Field(description="Name of the object; it is in the same namespace.")


ObservedGeneration = Annotated[
    int,
    Field(
        ge=-1,
        le=9_007_199_254_740_991,
        description="metadata.generation of the spec that this status is about; -1 before the "
        "operator has looked.",
    ),
]
"""The field `status.observedGeneration` of every kind."""


class OwnerReference(Model):
    """The object that this one belongs to and vanishes with."""

    model_config = ConfigDict(extra="ignore")

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """The part of Kubernetes' metadata that somebody here reads; the rest is ignored."""

    model_config = ConfigDict(extra="ignore")

    name: str = ""
    generate_name: str | None = None
    namespace: str | None = None
    uid: str = ""
    resource_version: str | None = None
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[OwnerReference, ...] = ()


class KubeObject(Model):
    """An object of the group: `kind`, `spec` and `status` are typed by the subclass."""

    api_version: Annotated[str, Field(pattern=f"^{GROUP}/{VERSION}$")] = API_VERSION
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)

    @override
    def to_object(self) -> dict[str, Any]:
        """Return the object in the order people write it, its metadata without what is empty."""
        found = super().to_object()
        metadata = {key: value for key, value in found.pop("metadata").items() if value}
        first = {"apiVersion": found.pop("apiVersion"), "kind": found.pop("kind")}
        return {**first, "metadata": metadata, **found}

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.metadata.namespace or "", self.metadata.name
