"""Tells a counterexample as a story: one line per step, who did what and what it changed.

    python -m tests.model.story lease.pml NO_BOOT_HOLD

searches for the violation with that rule removed and prints the way to it. Names and figures are
the model's; `done` and scratch variables are left out.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.model.checker import MODELS, flags, search

STEP = re.compile(r"^ *(\d+):\tproc .*?:(\d+) \(state")
CHANGE = re.compile(r"^\t\t(\w+(?:\[\d+\])?) = (-?\d+)$")
SCRATCH = {"i", "k", "was"}


def actions(model: str) -> dict[int, str]:
    """Line of the model to the action whose body it is in."""
    found: dict[int, str] = {}
    name = ""
    for number, line in enumerate((MODELS / model).read_text().splitlines(), start=1):
        if begun := re.match(r"inline (\w+)\(", line):
            name = begun.group(1)
        found[number] = name
        if line.startswith("}"):
            name = ""
    return found


def tell(model: str, defines: tuple[str, ...], work: Path) -> Iterator[str]:
    """The steps of the trail in `work`, one line each."""
    replay = ["spin", "-k", f"{model}.trail", "-p", "-g", *flags(defines), str(MODELS / model)]
    said = subprocess.run(replay, cwd=work, capture_output=True, text=True, check=False).stdout
    body = actions(model)
    steps: dict[int, tuple[list[str], dict[str, str]]] = {}
    at = 0
    for line in said.splitlines():
        if step := STEP.match(line):
            at = int(step.group(1))
            names, _ = steps.setdefault(at, ([], {}))
            if body[int(step.group(2))]:
                names.append(body[int(step.group(2))])
        elif at and (change := CHANGE.match(line)):
            steps[at][1][change.group(1)] = change.group(2)
        elif "assertion violated" in line or "text of failed" in line:
            yield line
        elif "trail ends" in line:
            break
    parts = _parts(model)
    now: dict[str, str] = {}
    for number, (names, seen) in enumerate(steps.values(), start=1):
        changed = {k: v for k, v in seen.items() if k not in SCRATCH and now.get(k, "0") != v}
        now |= seen
        if "done" in names or not changed:
            continue
        name = next((n for n in names if n not in parts), names[0] if names else "")
        told = "  ".join(f"{what}={value}" for what, value in changed.items())
        yield f"{number:4} {name:10} {told}"


def _parts(model: str) -> set[str]:
    """Actions that others are made of: the name of the whole says more."""
    text = (MODELS / model).read_text()
    bodies = re.findall(r"^inline (\w+)\([^)]*\) \{(.*?)\}$", text, re.MULTILINE | re.DOTALL)
    return {
        name
        for name, _ in bodies
        for other, body in bodies
        if name != other and f"{name}(" in body
    }


def main(model: str, *defines: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        verdict = search(model, defines, work)
        if not verdict.violated:
            print(f"no violation in {verdict.states} states")
            return 0
        print(*tell(model, defines, work), sep="\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
