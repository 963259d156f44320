"""Values that several kinds share: names, addresses, durations, times, counts.

Each is an `Annotated` type with its bound, so that no field is unbounded (the API server refuses
CEL over unbounded values for its cost) and none is described twice.
"""

import ipaddress
import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, PlainSerializer

from standfast.api.markers import Clip, Rule

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_DURATION = r"^([0-9]{1,7}(ms|s|m|h)){1,4}$"
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UUID_CEL = "^" + _UUID + "$"


class Truth(StrEnum):
    """What is known of a claim; Unknown is never rounded to False."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"

    @classmethod
    def of(cls, claim: bool | None) -> "Truth":
        """Return the word for a claim that may be unknown (None)."""
        if claim is None:
            return cls.UNKNOWN
        return cls.TRUE if claim else cls.FALSE


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration as users write it: `10s`, `1m30s`, `500ms`."""
    if not re.match(_DURATION, text):
        raise ValueError(f"{text!r} is not a duration: write 500ms, 10s, 1m30s or 2h")
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", text)
    return sum(int(number) * _UNIT_MS[unit] for number, unit in parts)


def between(shortest: str, longest: str) -> Rule:
    """Rule of a duration: not shorter and not longer than these."""
    low_ms, high_ms = duration_ms(shortest), duration_ms(longest)
    return Rule(
        cel=f"self >= duration('{shortest}') && self <= duration('{longest}')",
        message=f"must be between {shortest} and {longest}",
        holds=lambda text: low_ms <= duration_ms(text) <= high_ms,
    )


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text and getattr(address, "ipv4_mapped", None) is None


def _is_interface_address(text: str) -> bool:
    address, _, length = text.partition("/")
    if not (length.isascii() and length.isdigit() and _is_address(address)):
        return False
    found = ipaddress.ip_address(address)
    return int(length) <= found.max_prefixlen and not found.is_unspecified


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rfc3339_ms(moment: datetime) -> str:
    in_utc = moment.astimezone(UTC)
    return in_utc.strftime("%Y-%m-%dT%H:%M:%S.") + f"{in_utc.microsecond // 1000:03d}Z"


Label = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""A name that is one DNS label: nodes."""

ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
]
"""The name of a Kubernetes object."""

Uuid = Annotated[
    str,
    Field(min_length=36, max_length=36),
    Rule(
        cel=f"self.matches('{_UUID_CEL}')",
        message="must be a UUID in lower case, 8-4-4-4-12 hexadecimal digits: "
        "`govc vm.info -json NAME` prints the VM's as config.instanceUuid",
        holds=lambda text: re.fullmatch(_UUID, text) is not None,
    ),
]

Address = Annotated[
    str,
    Field(min_length=2, max_length=45),
    Rule(
        cel="isIP(self)",
        message="must be an IPv4 or IPv6 address without prefix length, such as 10.10.1.11: "
        "members reach each other without DNS",
        holds=_is_address,
    ),
]

InterfaceAddress = Annotated[
    str,
    Field(min_length=4, max_length=49),
    Rule(
        cel="isCIDR(self) && !cidr(self).ip().isUnspecified()",
        message="must be an address with its prefix length, such as 10.10.1.100/24",
        holds=_is_interface_address,
    ),
]

Endpoint = Annotated[
    str,
    Field(
        min_length=3,
        max_length=261,
        pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([-.A-Za-z0-9]*[A-Za-z0-9])?)(:[0-9]{1,5})?$",
    ),
]
"""`host`, `host:port`, `[ipv6]` or `[ipv6]:port`."""

Duration = Annotated[
    str,
    Field(
        min_length=2, max_length=32, pattern=_DURATION, json_schema_extra={"format": "duration"}
    ),
]
"""`500ms`, `10s`, `1m30s`, `2h`; `duration_ms` counts it."""

Time = Annotated[AwareDatetime, PlainSerializer(_rfc3339, return_type=str, when_used="json")]
"""A moment on the wall clock, whole seconds; decides nothing."""

TimeMs = Annotated[AwareDatetime, PlainSerializer(_rfc3339_ms, return_type=str, when_used="json")]
"""A moment on the wall clock with milliseconds; decides nothing."""

Milliseconds = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Serial = Annotated[int, Field(ge=0, le=9_007_199_254_740_991)]
"""A number that only grows: a term, a generation, a sequence."""

Word = Annotated[str, Clip(128)]
"""A short text of a status: a version, a name given by somebody else."""

Sentence = Annotated[str, Clip(1024)]
"""A sentence of a status, with its values."""

Reason = Annotated[str, Field(max_length=128, pattern=r"^[A-Za-z][A-Za-z0-9]*$")]
"""One word in CamelCase, for machines."""
