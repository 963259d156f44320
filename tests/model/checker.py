"""Runs Spin on a model: build a verifier, search everything, read its verdict.

`search` is what the tests and `story` call. A search that did not visit everything raises: it
would be no result.
"""

import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent
DEPTH_MAX = 200_000
MEMORY_MB_MAX = 3_500


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an exhaustive search found.

    Attributes:
        violated: The claim that does not hold, as the model writes it, or "".
        states: Different situations visited.
        transitions: Steps tried.
        seconds: Of processor time, the search alone.
        unreached: Statements of the model that were never executed.
    """

    violated: str
    states: int
    transitions: int
    seconds: float
    unreached: tuple[str, ...]


def search(
    model: str, defines: tuple[str, ...], work: Path, *, memory_mb: int = MEMORY_MB_MAX
) -> Verdict:
    """Check a model exhaustively; a counterexample is left in `work` as `<model>.trail`."""
    _run(["spin", "-a", *flags(defines), str(MODELS / model)], work)
    optimise = "-O1" if any(name.startswith("NO_") for name in defines) else "-O2"
    exhaustive = ["-DSAFETY", "-DNOREDUCE", f"-DMEMLIM={memory_mb}"]
    _run(["gcc", "-w", optimise, *exhaustive, "-o", "pan", "pan.c"], work)
    before = _spent()
    said = _run(["./pan", f"-m{DEPTH_MAX}", "-w23"], work)
    seconds = _spent() - before
    violated = re.search(r"^pan:1: assertion violated (.*?) \(at depth \d+\)", said, re.MULTILINE)
    if violated is None and ("errors: 0" not in said or "not completed" in said):
        raise RuntimeError(f"{model} {defines}: the search is not exhaustive\n{said}")
    return Verdict(
        violated="" if violated is None else violated.group(1).strip(),
        states=int(_number(r"(\S+) states, stored", said)),
        transitions=int(_number(r"(\S+) transitions", said)),
        seconds=round(seconds, 1),
        unreached=tuple(
            line.strip() for line in re.findall(r"^\t(\S+:\d+, state .*)$", said, re.MULTILINE)
        ),
    )


def flags(defines: tuple[str, ...]) -> list[str]:
    return [f"-D{name}" for name in defines]


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _number(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    assert found is not None, f"no {pattern} in:\n{said}"
    return float(found.group(1))


def _run(command: list[str], work: Path) -> str:
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
    return done.stdout
