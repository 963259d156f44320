"""Structured logs on stdout: one JSON object per line, or text on a terminal.

A message is constant text; values go into fields (`cluster`, `node`, `term`, `reason`, ...). kopf
and other libraries log through the standard library and come out in the same form.
"""

import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

QUIET = ("kopf", "aiohttp", "asyncio", "urllib3")
"""Libraries whose INFO is not news to an operator of this product."""


def _message_first(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    ordered: EventDict = {
        "time": event.pop("timestamp", ""),
        "level": event.pop("level", ""),
        "msg": event.pop("event", ""),
    }
    return {**ordered, **event}


def configure(level: str, form: str) -> None:
    """Set up logging for the process; called once, before anything logs."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = (
        [_message_first, structlog.processors.JSONRenderer(default=str)]
        if form == "json"
        else [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


@contextmanager
def decision() -> Iterator[str]:
    """Give every line that is logged within, also by errands that are started here, one id.

    Tasks take the context of the moment in which they are made, so the id follows a decision to
    whatever is done about it, however long that takes.
    """
    drawn = secrets.token_hex(4)
    with structlog.contextvars.bound_contextvars(decision=drawn):
        yield drawn


def logger(**fields: object) -> structlog.stdlib.BoundLogger:
    """A logger whose every line carries these fields."""
    bound: structlog.stdlib.BoundLogger = structlog.get_logger("standfast")
    return bound.bind(**fields)
