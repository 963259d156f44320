"""`make soak MINUTES=30 SEED=1`: real operators under changes and faults; does anything leak?

Two replicas against the lab's API server (through `soak_api`, which disturbs them), hollow
clusters and one real pair. Storms of random acts alternate with calms, in which everything must
become `Ready` and is counted. In the first part replicas are stopped, killed, frozen and lose the
API server for longer than a lease; from then on they live, because a restart would hide what they
leak. Written to `build/bench/soak.json`; the last line is the verdict, and so is the exit status.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import click

from standfast.adapters.kube.paths import SECRETS
from standfast.lab import kube
from tests.bench import soak_judge
from tests.bench.hollow import HollowAgents
from tests.bench.scale_bed import (
    NAMESPACE,
    WITNESS,
    WITNESS_HOST,
    Plan,
    ScaleOperator,
    Watch,
    carrier,
    declare,
    kind,
)
from tests.bench.soak_acts import Acts
from tests.bench.soak_api import FaultyApi, Mood
from tests.integration.kube_parts import KubeLab, kube_lab
from tests.integration.operator_bed import Plant, operator_bed
from tests.integration.vcenter_parts import VM_A, VM_B, VcenterLab, vcenter_lab

OUT = Path("build/bench/soak.json")
RESTLESS_SHARE = 1 / 3
"""Of the whole, at the beginning: replicas are restarted."""
STORM_S, CONVERGED_S, QUIET_S, ENROL_S = 60.0, 300.0, 6.0, 600.0
PAUSE_S = 3.0
PROBE_S = 90.0
EXITS = {0, 75, -signal.SIGKILL}
"""Asked to leave, lease lapsed, killed: nothing else is an end."""
COOLS_DOWN = {"window": "1m"}
"""A node that handed over because a resource kept failing does not stand for this window, so the
pair is not `Protected` for so long. These agents are not real-time, and on a busy machine what
they run does fail: with the default of 10 minutes that outlasts a calm."""
OUTAGE_S = 14.0
"""Longer than a lease without renewal."""


@dataclass
class Report:
    """What a soak came to."""

    minutes: float
    seed: int
    clusters: int
    faults: int = 0
    restarts: int = 0
    acts: dict[str, int] = field(default_factory=dict)
    converged_s: list[float] = field(default_factory=list)
    takeovers_s: list[float] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    @property
    def line(self) -> str:
        return (
            f"minutes={self.minutes:.1f} faults={self.faults} restarts={self.restarts} "
            f"leaks={len(self.leaks)} violations={len(self.violations)}"
        )


class Replica:
    """One replica, restarted when it ends, as a pod is."""

    def __init__(self, kubeconfig: Path, directory: Path, name: str, planted: str) -> None:
        self.probe = directory / f"{name}.probe"
        more = {"SOAK_PROBE": str(self.probe), "SOAK_PLANTED": planted}
        self.operator = ScaleOperator(
            kubeconfig, directory, name, program="tests.bench.soak_probe", more=more
        )
        self.log = directory / f"{name}.log"
        self.ends: list[int] = []

    @property
    def runs(self) -> bool:
        process = self.operator.process
        return process is not None and process.poll() is None

    def keep(self) -> None:
        """Start it if it does not run."""
        if self.runs:
            return
        if self.operator.process is not None:
            self.ends.append(self.operator.process.returncode)
        self.operator.start()

    def signal(self, number: int) -> None:
        if self.runs and self.operator.process is not None:
            self.operator.process.send_signal(number)

    async def sample(self) -> dict[str, Any]:
        """What is alive in it."""
        self.probe.unlink(missing_ok=True)
        self.signal(signal.SIGUSR1)
        async with asyncio.timeout(PROBE_S):
            while not self.probe.exists():  # noqa: ASYNC110 -- a file tells nobody
                await asyncio.sleep(0.1)
        found: dict[str, Any] = json.loads(self.probe.read_text())
        return found

    async def metrics(self) -> str:
        url = f"http://127.0.0.1:{self.operator.ops_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()

    def broken(self) -> list[str]:
        """Lines that tell of a bug of ours."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        words = ('"Pass broke"', '"Errand broke"', "Traceback", "was never retrieved")
        return [line[:600] for line in lines if any(word in line for word in words)]


class Soak:
    """One run."""

    def __init__(self, acts: Acts, replicas: list[Replica], report: Report) -> None:
        self._acts = acts
        self._replicas = replicas
        self._report = report
        self._rng = random.Random(report.seed + 1)
        self._kept = True

    async def run(self) -> None:
        began = time.monotonic()
        ends = began + 60 * self._report.minutes
        keeper = asyncio.create_task(self._keep())
        try:
            await self._converge(ENROL_S)
            self._say("enrolled")
            while time.monotonic() < ends:
                is_restless = time.monotonic() - began < RESTLESS_SHARE * (ends - began)
                await self._storm(min(STORM_S, ends - time.monotonic()), is_restless=is_restless)
                await self._acts.calm()
                await self._converge(CONVERGED_S)
                if not is_restless:
                    await self._count()
        finally:
            keeper.cancel()
        await self._end()

    async def _keep(self) -> None:
        while True:
            for each in self._replicas:
                each.keep()
            await asyncio.sleep(0.5)

    async def _storm(self, length_s: float, *, is_restless: bool) -> None:
        until = time.monotonic() + length_s
        if is_restless:
            await self._restart()
        while time.monotonic() < until:
            try:
                await self._acts.one()
            except TimeoutError as error:
                self._report.violations.append(f"an act was not done in time: {error!r}")
            self._report.faults += 1
            await asyncio.sleep(self._rng.uniform(0, 2 * PAUSE_S))

    async def _restart(self) -> None:
        """Something happens to the replicas; a frozen one wakes again."""
        leader = await self._leader()
        match self._rng.choice(("stop", "kill", "freeze", "both", "api")):
            case "stop":
                leader.signal(signal.SIGTERM)
            case "kill":
                leader.signal(signal.SIGKILL)
            case "freeze":
                leader.signal(signal.SIGSTOP)
                began = time.monotonic()
                await self._elected(leader)
                self._report.takeovers_s.append(round(time.monotonic() - began, 1))
                leader.signal(signal.SIGCONT)
            case "both":
                for each in self._replicas:
                    each.signal(signal.SIGKILL)
            case _:
                self._acts.faulty.mood = Mood(away=True)
                await asyncio.sleep(OUTAGE_S)
                self._acts.faulty.calm()
        self._report.faults += 1

    async def _leader(self) -> Replica:
        async with asyncio.timeout(CONVERGED_S):
            while True:
                for each in self._replicas:
                    if await self._leads(each):
                        return each
                await asyncio.sleep(0.5)

    async def _elected(self, but: Replica) -> None:
        async with asyncio.timeout(120):
            while not any(  # noqa: ASYNC110 -- nobody tells
                [await self._leads(each) for each in self._replicas if each is not but]
            ):
                await asyncio.sleep(0.1)

    @staticmethod
    async def _leads(replica: Replica) -> bool:
        if not replica.runs:
            return False
        try:
            async with asyncio.timeout(15):
                return "standfast_operator_leader 1.0" in await replica.metrics()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _converge(self, within_s: float) -> None:
        """Everything is as declared, and stays so for a moment."""
        began, since, slow_s = time.monotonic(), 0.0, 20.0
        while True:
            lacking = self._acts.not_ready()
            now = time.monotonic()
            if lacking and now - began > slow_s:
                self._say(f"still not as declared: {'; '.join(lacking[:3])}")
                slow_s *= 2
            since = 0.0 if lacking else since or now
            if since and now - since >= QUIET_S:
                break
            if lacking and now - began > within_s:
                said = "; ".join(lacking[:5])
                self._report.violations.append(
                    f"{len(lacking)} not as declared within {within_s:.0f} s: {said}"
                )
                break
            await asyncio.sleep(0.2)
        self._report.converged_s.append(round((since or now) - began, 1))
        self._say(f"calm after {self._report.converged_s[-1]} s")

    async def _count(self) -> None:
        for each in self._replicas:
            try:
                sample = await each.sample()
            except TimeoutError:
                self._report.violations.append(f"{each.operator.name} does not answer its probe")
                continue
            name = soak_judge.name_of(each.operator.name, sample)
            there = len(self._acts.clusters.objects)
            self._report.leaks += soak_judge.heard_too_many(name, sample, there)
            self._report.samples.setdefault(name, []).append(sample)
            self._say(
                f"{name}: {sample['rss_kib'] // 1024} MiB, {sample['objects']} objects, "
                f"{sum(sample['tasks'].values())} tasks, {sample['files']} files"
            )
        leader = await self._leader()
        text = await leader.metrics()
        self._report.series.append(soak_judge.series(text))
        foreign = soak_judge.foreign_clusters(text, set(self._acts.clusters.objects))
        if foreign:
            self._report.leaks.append(f"metrics of clusters that are gone: {sorted(foreign)}")

    async def _end(self) -> None:
        report = self._report
        report.acts = dict(sorted(self._acts.counts.items()))
        await self._orphans()
        longest = [name for name, each in report.samples.items() if each]
        for name in longest:
            report.leaks += soak_judge.leaks(name, report.samples[name])
        enough = {
            soak_judge.role_of(report.samples[name][0])
            for name in longest
            if len(report.samples[name]) >= soak_judge.SAMPLES_MIN
        }
        if report.minutes >= 20 and enough != {"leader", "standby"}:
            report.violations.append(f"only {enough} lived long enough to be judged")
        if report.series and report.series[-1] > report.series[0]:
            report.leaks.append(f"series {report.series[0]} -> {report.series[-1]}")
        for each in self._replicas:
            report.restarts += len(each.ends)
            report.violations += each.broken()
            odd = [code for code in each.ends if code not in EXITS]
            if odd:
                report.violations.append(f"{each.operator.name} ended with {odd}")
        hollow = {vm.name for plan in self._acts.plans for vm in plan.vms}
        board = self._acts.pair.vcenter.hypervisor
        fenced = [order for order in board.orders if order["vm"] in hollow]
        if fenced:
            report.violations.append(
                f"machines were switched that nothing was wrong with: {fenced}"
            )
        if self._acts.agents.unknown:
            report.violations.append(f"{self._acts.agents.unknown} calls that nobody asked for")

    async def _orphans(self) -> None:
        """What is left of what was deleted; the garbage collector has a moment."""
        left: list[str] = []
        for _ in range(60):
            left = await self._left()
            if not left:
                return
            await asyncio.sleep(1)
        self._report.leaks += [f"left behind: {each}" for each in left]

    async def _left(self) -> list[str]:
        api, uids, found = self._acts.api, set(), []
        for of in ("HACluster", "Witness", "Infrastructure"):
            page = await api.get(kind(of).path(NAMESPACE))
            uids |= {each["metadata"]["uid"] for each in page["items"]}
        for path in (SECRETS.path(NAMESPACE), kind("FailoverRecord").path(NAMESPACE)):
            for each in (await api.get(path))["items"]:
                metadata = each["metadata"]
                owners = {owner["uid"] for owner in metadata.get("ownerReferences") or ()}
                is_users = metadata["name"] == "vcenter"
                if not is_users and not owners & uids:
                    found.append(metadata["name"])
                if metadata["name"].endswith("-bundle"):
                    found.append(f"{metadata['name']} (its node has joined)")
        return found

    def _say(self, text: str) -> None:
        minutes = time.strftime("%H:%M:%S")
        load = os.getloadavg()[0]
        faults = self._report.faults
        print(f"{minutes} {text} (faults {faults}, load {load:.0f})", flush=True)


@dataclass(frozen=True)
class Run:
    """How to soak."""

    clusters: int
    minutes: float
    seed: int
    planted: str
    directory: Path


async def soak(lab: KubeLab, vcenter: VcenterLab, run: Run, report: Report) -> None:
    rng = random.Random(run.seed)
    plans = [Plan(number) for number in range(run.clusters)]
    agents = HollowAgents(WITNESS_HOST, WITNESS)
    faulty = FaultyApi(lab.endpoint, run.directory, random.Random(run.seed + 2))
    await faulty.start()
    replicas = [
        Replica(faulty.kubeconfig, run.directory, name, run.planted) for name in ("op-1", "op-2")
    ]
    async with (
        kube.client(lab.paths, lab.endpoint.server) as api,
        operator_bed(lab, vcenter, run.directory, 90) as pair,
    ):
        witness_uid = await declare(api, vcenter.info, plans, agents)
        await pair.declare(COOLS_DOWN, timing={"profile": "Tolerant"})
        await agents.listen()
        secrets = Watch(api, SECRETS.path(NAMESPACE))
        secrets.on_object = carrier(agents, witness_uid)
        clusters = Watch(api, kind("HACluster").path(NAMESPACE))
        watches = [asyncio.create_task(each.run()) for each in (secrets, clusters)]
        acts = Acts(api, plans, agents, clusters, faulty, pair, rng)
        acts.hollow = {each.name: each for each in agents.clusters()}
        try:
            replicas[0].keep()
            async with asyncio.timeout(ENROL_S):
                while "third-identity" not in secrets.objects:  # noqa: ASYNC110
                    await asyncio.sleep(0.5)
            await pair.enrol()
            await Soak(acts, replicas, report).run()
        finally:
            for each in replicas:
                await each.operator.stop()
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
            await agents.close()
            await faulty.close()


async def _run(lab: KubeLab, run: Run, report: Report) -> None:
    plans = [Plan(number) for number in range(run.clusters)]
    vms = (VM_A, VM_B, *(vm for plan in plans for vm in plan.vms))
    board = Plant()
    board.power = {vm.name: "on" for vm in vms}
    async with vcenter_lab("soakvc", vms, board) as vcenter:
        await soak(lab, vcenter, run, report)


@click.command()
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--clusters", default=12, show_default=True, help="Hollow ones, beside the pair.")
@click.option("--planted", default="", help="`tasks` or `objects`: leak on purpose.")
@click.option("--out", default=OUT, type=Path, show_default=True)
def main(minutes: float, seed: int, clusters: int, planted: str, out: Path) -> None:
    directory = out.parent.absolute() / out.stem
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    report = Report(minutes, seed, clusters)
    run = Run(clusters, minutes, seed, planted, directory)
    try:
        with kube_lab("soak") as lab:
            asyncio.run(_run(lab, run, report))
    finally:
        out.write_text(json.dumps(vars(report), indent=1))
    for each in (*report.leaks, *report.violations):
        print(each)
    print(f"converged after (s): {report.converged_s}; takeovers (s): {report.takeovers_s}")
    print(report.line)
    sys.exit(bool(report.leaks or report.violations))


if __name__ == "__main__":
    main()
