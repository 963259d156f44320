"""Logs: one object per line, values as fields, tracebacks whole."""

import json
import logging
import sys

from standfast.member.logs import _Json, _Text


def record(**more: object) -> logging.LogRecord:
    made = logging.LogRecord("standfast", logging.WARNING, __file__, 1, "Failed", None, None)
    made.fields = {"resource": "web", "took_ms": 12}
    made.__dict__.update(more)
    return made


def test_a_line_is_one_object() -> None:
    entry = json.loads(_Json().format(record()))
    assert entry["msg"] == "Failed"
    assert (entry["level"], entry["resource"], entry["took_ms"]) == ("warning", "web", 12)


def test_a_traceback_is_a_field() -> None:
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        entry = json.loads(_Json().format(record(exc_info=sys.exc_info())))
    assert "ZeroDivisionError" in entry["traceback"]


def test_a_terminal_gets_text() -> None:
    assert _Text().format(record()).endswith("WARNING Failed resource=web took_ms=12")
