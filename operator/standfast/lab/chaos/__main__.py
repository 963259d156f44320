"""`python -m standfast.lab.chaos`, which is `make chaos`: a campaign from the command line.

The last line is `runs=… faults=… violations=… lost=…`; the exit status is 1 when something was
wrong.
"""

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import click

from standfast.errors import StandfastError, TransientError, UserError
from standfast.lab.chaos import bed, plan
from standfast.lab.chaos.campaign import NOT_WHOLE, Outcome, Run, keep_evidence
from standfast.lab.chaos.plants import PLANTS
from standfast.lab.chaos.scene import Scene
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab

NAME = "chaos"
LONG_S = 10.0
"""A recovery that takes longer says what it waited for."""
OUT = Path("build/chaos")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--runs", type=int, default=20, show_default=True, help="How many.")
@click.option("--first", type=int, default=1, show_default=True, help="Number of the first one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which faults.")
@click.option("--minutes", type=float, help="Begin no run after so long.")
@click.option(
    "--example", type=click.Choice(sorted(bed.SUBJECTS)), default="web", show_default=True
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice([kind.value for kind in plan.Kind]),
    help="Only this kind of fault; may be repeated.",
)
@click.option("--plant", type=click.Choice(sorted(PLANTS)), help="Break the pair on purpose.")
@click.option("--keep", is_flag=True, help="Leave the lab up.")
def main(
    *,
    runs: int,
    first: int,
    seed: int,
    minutes: float | None,
    example: str,
    kinds: tuple[str, ...],
    plant: str | None,
    keep: bool,
) -> None:
    """Random faults upon a real pair, judged by observers from outside."""
    subject = bed.SUBJECTS[example]
    until_s = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    OUT.mkdir(parents=True, exist_ok=True)
    done: list[Outcome] = []
    written = 0
    scene: Scene | None = None
    for number in range(first, first + runs):
        if time.monotonic() > until_s:
            break
        drawn = plan.draw(seed, number, {plan.Kind(kind) for kind in kinds} or subject.kinds)
        print(f"{number:4} {drawn.told()}", flush=True)
        run: Run | None = None
        try:
            if scene is None:
                scene, written = _fresh(subject), 0
            run = Run(scene, subject, drawn, PLANTS[plant] if plant else None, written)
            outcome = run.go()
        except TransientError as error:
            # A lab that does not come up, a probe that does not start: nothing was struck yet.
            scene = None
            if run is None or not run.begun:
                print(f"     not begun: {error}", flush=True)
                continue
            outcome = Outcome(drawn, wrong=[f"{NOT_WHOLE}: broke off: {error}"])
        written = run.written
        done.append(outcome)
        _tell(outcome)
        with (OUT / f"{example}-{seed}.jsonl").open("a") as record:
            record.write(json.dumps(outcome.row()) + "\n")
        if outcome.wrong:
            keep_evidence(OUT / f"{example}-{seed}-{number}", run, outcome)
        if any(sentence.startswith(NOT_WHOLE) for sentence in outcome.wrong):
            scene = None
    if scene is not None and not keep:
        scene.lab.down()
    faults = sum(len(outcome.plan.faults) - len(outcome.moot) for outcome in done)
    violations = sum(bool(outcome.wrong) for outcome in done)
    lost = sum(outcome.lost for outcome in done)
    print(f"runs={len(done)} faults={faults} violations={violations} lost={lost}")
    sys.exit(1 if violations else 0)


def _fresh(subject: bed.Subject) -> Scene:
    with suppress(UserError):  # what a campaign that was killed left behind
        Lab.open(NAME).down()
    began_s = time.monotonic()
    lab = Lab.up(NAME, Wanted(vms=2, networks=2))
    cluster = bed.make(lab, subject, OUT / "example")
    print(f"     a protected pair after {time.monotonic() - began_s:.0f} s", flush=True)
    return Scene(cluster, subject.unit)


def _tell(outcome: Outcome) -> None:
    row = f"     no answer {outcome.outage_s:.2f} s, mended in {outcome.mended_s:.1f} s, "
    row += f"whole again {outcome.recovery_s:.1f} s later"
    row += (
        f"; asked {outcome.asks} times, {outcome.late} late, {outcome.worst_gap_ms:.1f} ms at most"
    )
    if outcome.recovery_s > LONG_S:
        row += "".join(f"\n       {reason}" for reason in outcome.met)
    if outcome.woke_ms:
        row += f", lived on after a stun {outcome.woke_ms} ms"
    if outcome.moot:
        row += f"; moot: {'; '.join(outcome.moot)}"
    print(row, flush=True)
    for sentence in outcome.wrong:
        print(f"     VIOLATION {sentence}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except StandfastError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
