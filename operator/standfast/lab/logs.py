"""Log lines of the lab's own programs: a constant message, then its fields as `key=value`."""

import logging

from typing_extensions import override

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class FieldFormatter(logging.Formatter):
    """Adds what was given as `extra` to the line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in vars(record).items() if key not in STANDARD}
        said = super().format(record)
        return " ".join([said, *(f"{key}={value}" for key, value in fields.items())])


def configure() -> None:
    """Sends the log of this process to standard error, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(FieldFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
