"""The main job, told step by step with measured times: `make demo`.

Called by `standfast-lab demo`. Every line it prints is something that happened on real parts just
now; nothing is replayed, and a step that fails ends the demo with what was seen instead.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.status import Status

from standfast.errors import TransientError
from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.databases import CLUSTER, declare, install_all, make_application, settle, vip
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.ledger import Ledger
from standfast.lab.writing import RunningWriter, longest_silence_ms

EXAMPLE = "examples/02-postgresql"
RECOVERED = 100
"""So many acknowledged writes after a fault end the watching."""
RECOVERED_S = 30.0


class Story:
    """Prints steps as they are done, with their times.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    def title(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        self._console.print(f"  {text}", highlight=False)

    def shell(self, command: str, output: str) -> None:
        """Shows a command as typed, and what it printed."""
        self._console.print(f"  [cyan]$ {command}[/cyan]", highlight=False)
        for line in output.rstrip().splitlines():
            self._console.print(f"  {line}", markup=False, highlight=False)

    @contextmanager
    def step(self, text: str) -> Iterator[Status]:
        """One step: a spinner while it lasts, a line with its time when it is done."""
        begin = time.monotonic()
        with self._console.status(f"{text} …") as status:
            yield status
        took_s = time.monotonic() - begin
        self._console.print(
            f"  [green]✓[/green] {text} [dim]{took_s:.1f} s[/dim]", highlight=False
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """A database pair with a client that writes all the time, and who is told about it."""

    cluster: LabCluster
    story: Story
    ledger: Ledger
    client: RunningWriter

    def watch(self, act: Callable[[], object]) -> None:
        """Lets something happen, and tells what the client saw of it."""
        story, client = self.story, self.client
        since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        before = len(client.acknowledged)
        with story.step("The client's writes fail, and are acknowledged again"):
            act()
            client.wait_for_failure(since_ns / 1e6, timeout_s=RECOVERED_S)
            client.wait_for(RECOVERED, timeout_s=RECOVERED_S)
        silence_s = longest_silence_ms(client.writes, since_ns / 1e6) / 1000
        after = len(client.acknowledged)
        story.say(
            f"[bold]no write acknowledged for {silence_s:.2f} s[/bold]; "
            f"acknowledged so far: {before:,} before, {after - before:,} since"
        )
        verdict = self.ledger.check()
        story.say(
            f"[bold]{len(verdict.lost)} lost[/bold] of {verdict.acknowledged:,} acknowledged "
            "writes, counted in the table"
        )
        address = vip(self.cluster.lab)
        both_s = self.cluster.lab.both_held_s(address, since_ns)
        story.say(f"both kernels held {address} for {both_s:.3f} s")
        if both_s > 0:
            raise TransientError(f"two VMs held {address} at once for {both_s:.3f} s")


def tell(lab_name: str, console: Console, *, keep: bool = False) -> None:
    """Brings a lab up, lets three things happen to a database pair, and takes the lab down.

    Args:
        lab_name: Of the lab to use.
        console: Where the story is printed.
        keep: Leave the lab up, to try things by hand.

    Raises:
        StandfastError: A step did not end as it must.
    """
    story = Story(console)
    story.title("A data centre on this machine")
    lab = _bring_up(lab_name, story)
    try:
        cluster = _protect(lab, story)
        ledger = Ledger(lab, vip(lab))
        story.title(f"A client inserts numbers at {vip(lab)}, on four connections, all the time")
        with ledger.writing() as client:
            scene = Scene(cluster, story, ledger, client)
            _lose_vm(scene)
            _partition(scene)
            _switch_over(scene)
        verdict = ledger.check()
        story.say(
            f"[bold]{verdict.acknowledged:,} writes acknowledged, {len(verdict.lost)} lost, "
            f"{len(verdict.twice)} written twice[/bold]"
        )
        said = cluster.kubectl.standfast("history", CLUSTER)
        story.shell(f"kubectl standfast history {CLUSTER}", said)
    finally:
        if not keep:
            with story.step("Everything removed"):
                lab.down()
    story.title(f"That is the job. What to type next: `standfast-lab up`, then {EXAMPLE}.")


def _bring_up(lab_name: str, story: Story) -> Lab:
    begin = time.monotonic()
    with story.step("Kubernetes, vCenter and two VMs, each with a systemd of its own") as status:

        def progress(what: str, elapsed_s: float) -> None:
            spent = f" ({elapsed_s:.0f} s)" if elapsed_s >= 1 else ""
            status.update(f"{what}{spent} … {time.monotonic() - begin:.0f} s")

        return Lab.up(lab_name, Wanted(vms=2, networks=2), progress=progress)


def _protect(lab: Lab, story: Story) -> LabCluster:
    installed = "helm install standfast; in each VM PostgreSQL 15, as its package makes it"
    with story.step(installed), ThreadPoolExecutor() as pool:
        databases = pool.submit(install_all, lab)
        install_operator(lab)
        databases.result()
    with story.step(f"kubectl apply -f {EXAMPLE}/"):
        cluster = declare(lab)
    with story.step("Each VM given its bundle: kubectl standfast enroll"):
        cluster.enroll()
    with story.step("vm-b gets a copy of vm-a's data and follows: Ready, InSync, Protected"):
        settle(cluster)
    make_application(lab.vm(cluster.active))
    story.shell("kubectl get hac", cluster.kubectl.run("get", "hac"))
    return cluster


def _lose_vm(scene: Scene) -> None:
    cluster, story = scene.cluster, scene.story
    lost, heir = cluster.active, cluster.standby
    story.title(f"{lost}, the active VM, loses its power")
    scene.watch(lambda: cluster.lab.vm(lost).off())
    with story.step("The operator records it"):
        cluster.wait_active(heir)
    story.shell("kubectl get hac", cluster.kubectl.run("get", "hac"))
    with story.step(f"{lost} powered on again: its data are rewound, and it follows {heir}"):
        if cluster.lab.vm(lost).now().power != "on":
            cluster.lab.vm(lost).on()
        settle(cluster)
    said = cluster.kubectl.standfast("status", CLUSTER)
    story.shell(f"kubectl standfast status {CLUSTER}", said)


def _partition(scene: Scene) -> None:
    cluster, story = scene.cluster, scene.story
    cut, heir = cluster.active, cluster.standby
    story.title(f"{cut}, active now, is cut off from every network; its server runs on")
    scene.watch(lambda: cluster.lab.net.cut(cut))
    with story.step(f"The networks healed: {cut} gave up by itself, and follows {heir}"):
        cluster.lab.net.heal()
        cluster.wait_active(heir)
        settle(cluster)


def _switch_over(scene: Scene) -> None:
    cluster, story = scene.cluster, scene.story
    heir = cluster.standby
    story.title(f"A planned switchover: kubectl standfast switchover {CLUSTER} --to {heir}")
    command = ("switchover", CLUSTER, "--to", heir, "--reason", "demo")
    scene.watch(lambda: cluster.kubectl.standfast(*command))
    with story.step("Recorded"):
        cluster.wait_active(heir)
        settle(cluster)
