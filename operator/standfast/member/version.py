"""The version of the installed package, read when somebody asks for it: that takes a while."""

from functools import cache
from importlib import import_module


@cache
def product_version() -> str:
    """As in `pyproject.toml`; "0" when it runs from sources that are not installed."""
    metadata = import_module("importlib.metadata")
    try:
        return str(metadata.version("standfast"))
    except metadata.PackageNotFoundError:
        return "0"
