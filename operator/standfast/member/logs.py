"""Logs for engineers: one JSON object per line on stdout, text on a terminal.

The message is constant, values are fields (`extra={"fields": {...}}`), always by the names of the
style guide. Nothing in the product reads log text.
"""

import json
import logging
import sys
from datetime import UTC, datetime

from typing_extensions import override

_LEVELS = {"WARNING": "warning", "ERROR": "error", "INFO": "info", "DEBUG": "debug"}


class _Json(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "msg": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class _Text(logging.Formatter):
    @override
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        text = f"{at} {record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = getattr(record, "fields", {})
    return fields


def set_up(level: str) -> None:
    """Send everything to stdout, from `level` on."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Text() if sys.stdout.isatty() else _Json())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)
