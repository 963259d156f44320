"""How an application is asked, as its driver needs to know it.

It may change while the application runs, so it comes with what may (`Knobs`), as one text.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from standfast.ports.resource import Knobs

_KNOB = "check"

MARGIN_MS_MAX = 200


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """A connection, and what is said first."""

    address: str
    port: int
    expect: str = ""


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A GET.

    Args:
        host: Header, and the name in TLS; "" for the address.
        verify: The certificate must be valid for `host`.
    """

    address: str
    port: int
    path: str = "/"
    is_tls: bool = False
    host: str = ""
    status_min: int = 200
    status_max: int = 399
    verify: bool = False

    @property
    def url(self) -> str:
        scheme = "https" if self.is_tls else "http"
        place = f"[{self.address}]" if ":" in self.address else self.address
        return f"{scheme}://{place}:{self.port}{self.path}"


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """A program, by the name that the host's file gives it."""

    name: str


Asked = TcpCheck | HttpCheck | CommandCheck


@dataclass(frozen=True, slots=True)
class Program:
    """What the host's file says under such a name.

    Args:
        command: Absolute path and arguments.
        user: As whom it is run.
    """

    command: tuple[str, ...]
    user: str


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """One way to ask, and how long whoever asks waits for the verdict.

    Args:
        timeout_ms: `monitor.timeout`: the caller gives up then.
    """

    ask: Asked
    timeout_ms: int

    @property
    def limit_ms(self) -> int:
        """Ended by itself a moment earlier, so that what was seen can be told."""
        return self.timeout_ms - min(MARGIN_MS_MAX, self.timeout_ms // 10)


def knobs_of(config: CheckConfig | None) -> Knobs:
    """As what may change while it runs; always something, so that its end is told too."""
    if config is None:
        return {_KNOB: None}
    kind = next(word for word, each in _KINDS.items() if isinstance(config.ask, each))
    text = json.dumps([kind, asdict(config.ask), config.timeout_ms], sort_keys=True)
    return {_KNOB: text}


def check_of(knobs: Knobs) -> CheckConfig | None:
    """The same, read back."""
    text = knobs.get(_KNOB)
    if not isinstance(text, str):
        return None
    kind, fields, timeout_ms = json.loads(text)
    return CheckConfig(_KINDS[kind](**fields), timeout_ms)


_KINDS: Mapping[str, type[Asked]] = {
    "tcp": TcpCheck,
    "http": HttpCheck,
    "command": CommandCheck,
}
