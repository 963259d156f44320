"""Where things are, from the environment; read once at start, printed once, never changed.

What users want is in the objects; what is not negotiable is a constant where it is used.
"""

import os
import socket
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from standfast.errors import UserError

PREFIX = "STANDFAST_"


class Settings(BaseModel):
    """Settings of the process, each from `STANDFAST_<NAME>`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pod_name: str = Field(default_factory=socket.gethostname, min_length=1, max_length=253)
    namespace: str = Field(default="standfast-system", min_length=1, max_length=63)
    watch_namespaces: tuple[str, ...] = ()
    """Empty: all of them."""
    lease_name: str = Field(default="standfast-operator", min_length=1, max_length=253)
    ops_port: int = Field(default=8080, ge=0, le=65535)
    ops_address: str = "0.0.0.0"  # noqa: S104 probes and Prometheus come from outside the pod
    witness_image: str = ""
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_format: str = Field(default="json", pattern="^(json|text)$")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read them.

        Raises:
            UserError: One is unknown or out of range; the sentence names the variable.
        """
        env = os.environ if environment is None else environment
        values: dict[str, object] = {
            name: env[PREFIX + name.upper()]
            for name in cls.model_fields
            if env.get(PREFIX + name.upper())
        }
        listed = str(values.get("watch_namespaces", ""))
        values["watch_namespaces"] = tuple(
            part.strip() for part in listed.split(",") if part.strip()
        )
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = PREFIX + "_".join(str(part) for part in first["loc"]).upper()
            raise UserError(
                f"{name} is {first['input']!r}: {first['msg']}",
                remedy=f"correct {name} in the operator's environment",
            ) from error
