"""Plant a bug in memory: one module of the core is read with one text changed; no file is touched.

Works in a process that has not imported the core yet; whoever runs one bug after another forks for
each. Bytecode caches are left out for the changed module, in both directions.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.catalogue import Mutant

PACKAGE = Path(__file__).resolve().parents[2] / "operator" / "standfast"


class StaleError(Exception):
    """The core moved on: the entry must be written anew."""


def changed(mutant: Mutant) -> str:
    """The text of the module with the bug in it."""
    text = (PACKAGE / mutant.module).read_text()
    times = text.count(mutant.old)
    if times != 1:
        raise StaleError(f"the text to replace occurs {times} times in {mutant.module}")
    return text.replace(mutant.old, mutant.new)


def plant(mutant: Mutant) -> None:
    """Have the next import of the module get the changed text."""
    name = "standfast." + mutant.module.removesuffix(".py").replace("/", ".")
    assert not any(loaded.startswith("standfast.core") for loaded in sys.modules)
    sys.meta_path.insert(0, _Finder(name, changed(mutant), str(PACKAGE / mutant.module)))


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, text: str, path: str) -> None:
        self._name = name
        self._loader = _Loader(text, path)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(
            fullname, self._loader.path, loader=self._loader
        )


class _Loader(importlib.abc.InspectLoader):
    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self.path = path

    def get_source(self, fullname: str) -> str:
        return self._text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, self.path, "exec", dont_inherit=True)
