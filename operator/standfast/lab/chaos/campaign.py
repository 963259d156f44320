"""Run after run: settle, watch, strike, mend, judge; what was wrong is kept with its evidence.

Called by `python -m standfast.lab.chaos`. A run that the pair does not survive by itself is a
violation too (I5 of `docs/failure-modes.md`); the campaign then goes on with a fresh lab.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from standfast.core.timing import Profile
from standfast.errors import StandfastError, TransientError
from standfast.lab import databases, kubectl, observe, power
from standfast.lab.chaos import acts, bed, clocks, sight, verdict
from standfast.lab.chaos.bed import Subject
from standfast.lab.chaos.plan import Kind, Plan, Role
from standfast.lab.chaos.scene import Scene
from standfast.lab.chaos.sight import Sight
from standfast.lab.cluster import LabCluster
from standfast.lab.lab import Lab
from standfast.lab.observe import Observation
from standfast.lab.writing import (
    RunningWriter,
    Verdict,
    before_the_last,
    judge,
    longest_silence_ms,
)

CALM_S = 1.0
"""Watched for so long after the last fault: what comes back late is seen."""
RECOVERY_S = 90.0
WRITES_AFTER = 20
AGREED_MS = 1000 + Profile.NORMAL.timing.ttl_ms
"""What was acknowledged before the last so much of a tenure is within the bound, or said."""
SAID_S = 30.0
"""A FailoverRecord tells of a loss within that; the operator may have been struck as well."""
NOT_WHOLE = "not whole again"
"""How the sentence begins that costs the lab."""
Plant = Callable[[Scene, str], None]
"""A fault of the pair itself, which the checkers must see; told the name of the standby."""


@dataclass
class Outcome:
    """One run.

    Args:
        plan: What was to happen.
        wrong: What was not as it must be.
        moot: Faults that found nothing to break.
        lost: Acknowledged writes that are not there; asynchronous, some may be.
        outage_s: The longest time in which no client was answered.
        mended_s: How long it took to undo what was left of the faults.
        recovery_s: From then until the pair would survive the next one.
        asks: How often the observer asked.
        late: How often of these later than every two milliseconds.
        worst_gap_ms: The longest time in which the observer did not look.
        met: What was in the way of that, and when it was seen.
        woke_ms: How long the application lived on in VMs that woke from a stun too late.
        active: Who was active at the beginning.
        since_ns: Its beginning.
        records: The FailoverRecords of the runs before.
    """

    plan: Plan
    wrong: list[str] = field(default_factory=list)
    moot: list[str] = field(default_factory=list)
    lost: int = 0
    outage_s: float = 0.0
    mended_s: float = 0.0
    recovery_s: float = 0.0
    asks: int = 0
    late: int = 0
    worst_gap_ms: float = 0.0
    met: list[str] = field(default_factory=list)
    woke_ms: list[float] = field(default_factory=list)
    active: str = ""
    since_ns: int = 0
    records: frozenset[str] = frozenset()

    def row(self) -> dict[str, object]:
        """For the record of the campaign."""
        return {
            "run": self.plan.number,
            "plan": self.plan.told(),
            "active": self.active,
            "outage_s": round(self.outage_s, 3),
            "mended_s": round(self.mended_s, 1),
            "recovery_s": round(self.recovery_s, 1),
            "asks": self.asks,
            "late": self.late,
            "met": self.met,
            "worst_gap_ms": round(self.worst_gap_ms, 3),
            "woke_ms": self.woke_ms,
            "moot": self.moot,
            "lost": self.lost,
            "wrong": self.wrong,
        }


@dataclass
class Run:
    """One run on a settled pair.

    Args:
        scene: Where.
        subject: Which example.
        plan: What happens.
        plant: What is broken on purpose besides.
        written: The number of the last write of the runs before.
        begun: Whether anything was struck.
    """

    scene: Scene
    subject: Subject
    plan: Plan
    plant: Plant | None = None
    written: int = 0
    begun: bool = False
    sight: Sight = field(init=False)

    def go(self) -> Outcome:
        """Does it all, and judges."""
        lab, cluster = self.scene.lab, self.scene.cluster
        outcome = Outcome(self.plan, active=cluster.active, since_ns=_now_ns())
        outcome.records = frozenset(records(cluster))
        nodes = {Role.ACTIVE: cluster.active, Role.STANDBY: cluster.standby, Role.NOBODY: ""}
        self.sight = Sight(sight.command(lab, self.subject.address(lab), self.subject.group))
        with self._client(outcome), self.sight:
            self._strike(outcome, nodes)
            began_s = ended_s = time.monotonic()
            try:
                mend(lab)
                self._forget(cluster)
                ended_s = time.monotonic()
                outcome.met = bed.settle(cluster, self.subject, RECOVERY_S)
            except TransientError as error:
                outcome.wrong.append(f"{NOT_WHOLE}: {error}")
            outcome.mended_s = ended_s - began_s
            outcome.recovery_s = time.monotonic() - ended_s
            time.sleep(CALM_S)
        self._judge(outcome, nodes)
        return outcome

    def _strike(self, outcome: Outcome, nodes: Mapping[Role, str]) -> None:
        """All faults, each in its own thread at its time."""
        self.begun = True
        began_s = time.monotonic()

        def do(position: int) -> None:
            fault = self.plan.faults[position]
            time.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
            if moot := acts.perform(self.scene, fault, nodes[fault.role]):
                outcome.moot.append(moot)

        threads = [
            threading.Thread(target=do, args=(position,), name=fault.kind.value)
            for position, fault in enumerate(self.plan.faults)
        ]
        for thread in threads:
            thread.start()
        if self.plant is not None:
            self.plant(self.scene, nodes[Role.STANDBY])
        for thread in threads:
            thread.join()
        time.sleep(CALM_S)

    def _forget(self, cluster: LabCluster) -> None:
        """An application killed once too often cools down for minutes; an agent forgets that."""
        if any(fault.kind is Kind.APP_KILL for fault in self.plan.faults):
            for vm in cluster.lab.vms():
                vm.exec(["systemctl", "restart", "standfast-agent"])

    @contextmanager
    def _client(self, outcome: Outcome) -> Iterator[None]:
        """A client from outside: of the database, or of any TCP service."""
        lab, address = self.scene.lab, self.subject.address(self.scene.lab)
        if not self.subject.writes:
            with lab.probe_vip(address) as probe:
                probe.wait_for()
                yield
                _serves(probe.wait_for, outcome)
            outcome.outage_s = probe.summary.longest_s
            if probe.summary.both_s or probe.summary.both_claimed_s:
                outcome.wrong.append(f"a client saw two: {probe.summary}")
            return
        with lab.write_sql(databases.dsn(address), self.written + 1) as writing:
            writing.wait_for(WRITES_AFTER)
            yield
            _serves(lambda: writing.wait_for(WRITES_AFTER), outcome)
        self._count(outcome, writing)

    def _count(self, outcome: Outcome, writing: RunningWriter) -> None:
        self.written = max(write.number for write in writing.writes)
        first = min(writing.acknowledged)
        outcome.outage_s = longest_silence_ms(writing.writes) / 1000
        lab, address = self.scene.lab, self.subject.address(self.scene.lab)
        found = [number for number in databases.numbers(lab, address) if number >= first]
        counted = judge(writing.acknowledged, found)
        outcome.lost = len(counted.lost)
        if counted.lost and (above := self._above_what_was_said(outcome, writing, counted)):
            outcome.wrong.append(f"acknowledged and lost: {counted.lost[:20]}{above}")
        if counted.twice:
            outcome.wrong.append(f"written twice: {counted.twice[:20]}")

    def _above_what_was_said(
        self, outcome: Outcome, writing: RunningWriter, counted: Verdict
    ) -> str:
        """Why a loss is none that was declared and said; empty when it was both."""
        if not self.subject.max_data_loss:
            return "; the data are synchronous"
        lost = len(before_the_last(AGREED_MS, writing.writes, counted.lost))
        bytes_min = lost * databases.WRITE_BYTES_MIN
        kept = outcome.records

        def unsaid() -> str | None:
            rows = records(self.scene.cluster)
            said = [row for name, row in rows.items() if name not in kept]
            losses = [cast("Mapping[str, int]", row.get("dataLoss") or {}) for row in said]
            told = sum(loss.get("bytesMax", 0) for loss in losses)
            return None if bytes_min <= told else f"FailoverRecords said {told} bytes at most"

        try:
            kubectl.until("a loss is said", unsaid, SAID_S)
        except TransientError as error:
            return f"; {lost} that were agreed on are more than {bytes_min} bytes, and {error}"
        return ""

    def _judge(self, outcome: Outcome, nodes: Mapping[Role, str]) -> None:
        lab, now_ns = self.scene.lab, _now_ns()
        happened = self.happened(outcome.since_ns)
        outcome.asks, outcome.late = self.sight.seen.asks, self.sight.seen.late
        outcome.worst_gap_ms = self.sight.seen.worst_gap_ns / 1e6
        outcome.woke_ms = [
            round(ns / 1e6, 1) for ns in verdict.woke_ns(self.sight.seen.ran, happened)
        ]
        hampered = {nodes[fault.role] for fault in self.plan.faults if fault.hampers_guard}
        outcome.wrong += verdict.judge(
            self.sight.seen,
            lab.holders(self.subject.address(lab), outcome.since_ns),
            happened,
            hampered=frozenset(hampered),
            exclusive_processes=self.subject.exclusive_processes,
            now_ns=now_ns,
            stays=outcome.active if self.plan.moves_nothing else "",
        )

    def happened(self, since_ns: int) -> list[Observation]:
        """What the hypervisor noted during the run."""
        noted = observe.load(power.observations(self.scene.lab.paths))
        return [one for one in noted if one.at_ns >= since_ns]


def records(cluster: LabCluster) -> dict[str, Mapping[str, object]]:
    """The status of every FailoverRecord, by its name."""
    rows = cast(
        "list[dict[str, dict[str, object]]]", cluster.kubectl.get("failoverrecord")["items"]
    )
    return {str(row["metadata"]["name"]): row.get("status") or {} for row in rows}


def _serves(wait: Callable[[], object], outcome: Outcome) -> None:
    """A pair that says that it is whole serves its client."""
    try:
        wait()
    except TransientError as error:
        outcome.wrong.append(f"{NOT_WHOLE}: {error}")


def mend(lab: Lab) -> None:
    """Undoes every fault of the lab that is left."""
    lab.net.heal()
    lab.start_control()
    for vm in lab.vms():
        now = vm.now()
        if now.stunned:
            vm.thaw()
        if now.power == "off":
            with suppress(StandfastError):  # it comes up by itself, from a reset of the operator
                vm.on()
        clocks.set_right(vm)


def keep_evidence(directory: Path, run: Run, outcome: Outcome) -> None:
    """Puts everything that was seen of a run where it stays."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    (directory / "outcome.json").write_text(json.dumps(outcome.row(), indent=1) + "\n")
    (directory / "observer.jsonl").write_text("\n".join(run.sight.lines) + "\n")
    noted = [f"{one.at_ns} {one.vm} {one.event.value} {one.address}" for one in
             run.happened(outcome.since_ns)]  # fmt: skip
    (directory / "hypervisor.txt").write_text("\n".join(noted) + "\n")
    for vm in run.scene.lab.vms():
        (directory / f"{vm.name}.log").write_text(vm.logs())
    (directory / "status.json").write_text(json.dumps(run.scene.cluster.document(), indent=1))
    logs = run.scene.lab.paths.log_dir
    shutil.copytree(logs, directory / "control", dirs_exist_ok=True)


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
