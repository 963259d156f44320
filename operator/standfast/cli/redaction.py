"""Takes secrets out of what is handed to others: pure, data in, data out.

By key, by shape and by value: a field whose name says that it is a secret, a private key or bearer
token wherever it stands, what is written as `password=...`, and the copies of manifests that
`kubectl apply` leaves in annotations. Names of Secrets stay: they are needed to understand, and
say nothing.
"""

import re
from typing import Any

REDACTED = "(redacted)"

_KEYS = re.compile(
    r"(password|passwd|passphrase|secret|token|credential|private.?key|api.?key|bundle\.json"
    r"|tls\.key|authorization)$",
    re.IGNORECASE,
)
_PLAIN_WORDS = re.compile(r"^(data|stringData)$")
_SHAPES = (
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL
    ),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"),
)
_ASSIGNED = re.compile(
    r"(?P<name>\b[\w.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key)\b[\"']?\s*[=:]\s*)"
    r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s,;&}]+)",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{6,}")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s:]+:[^/@\s]+(?=@)")
_COPIES = "kubectl.kubernetes.io/last-applied-configuration"


def redacted(value: Any, key: str = "") -> Any:
    """Return data without secrets.

    Args:
        value: Of JSON's types.
        key: The name of the field that holds it.
    """
    if isinstance(value, dict):
        if value.get("kind") == "Secret":
            value = {
                name: dict.fromkeys(held, REDACTED) if _PLAIN_WORDS.match(name) and held else held
                for name, held in value.items()
            }
        if _is_named_secret(value):
            value = {**value, "value": REDACTED}
        return {name: redacted(held, name) for name, held in value.items() if name != _COPIES}
    if isinstance(value, list | tuple):
        return [redacted(each, key) for each in value]
    if isinstance(value, str):
        return REDACTED if value and _KEYS.search(key) else redacted_text(value)
    return value


def _is_named_secret(value: dict[str, Any]) -> bool:
    """`{name: VCENTER_PASSWORD, value: ...}`, as in the environment of a container."""
    return bool(isinstance(value.get("value"), str) and _KEYS.search(str(value.get("name", ""))))


def redacted_text(text: str) -> str:
    """Return text, such as a log, without secrets."""
    for shape in _SHAPES:
        text = shape.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1{REDACTED}", text)
    text = _USER_IN_URL.sub(REDACTED, text)
    return _ASSIGNED.sub(lambda found: f"{found['name']}{REDACTED}", text)
