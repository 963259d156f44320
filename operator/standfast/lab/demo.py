"""The main job, told step by step with measured times: `make demo`.

Called by `standfast-lab demo`. Every line it prints is something that happened on real parts just
now; nothing is replayed, and a step that fails ends the demo with what was seen instead.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status

from standfast.errors import TransientError
from standfast.lab.cluster import LabCluster, install_operator
from standfast.lab.installation import Wanted
from standfast.lab.lab import Lab
from standfast.lab.outages import Summary
from standfast.lab.software import checkout

EXAMPLE = "examples/01-web-pair"
CLUSTER = "web"
VIP = "10.77.1.100"
CALM_S = 1.0
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


def tell(lab_name: str, console: Console, *, keep: bool = False) -> None:
    """Brings a lab up, lets three things happen to a pair, and takes the lab down.

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
        _lose_vm(cluster, story)
        _partition(cluster, story)
        _switch_over(cluster, story)
    finally:
        if not keep:
            with story.step("Everything removed"):
                lab.down()
    story.title(
        "That is the job. What to type next: `standfast-lab up`, then examples/01-web-pair."
    )


def _bring_up(lab_name: str, story: Story) -> Lab:
    begin = time.monotonic()
    with story.step("Kubernetes, vCenter and two VMs, each with a systemd of its own") as status:

        def progress(what: str, elapsed_s: float) -> None:
            spent = f" ({elapsed_s:.0f} s)" if elapsed_s >= 1 else ""
            status.update(f"{what}{spent} … {time.monotonic() - begin:.0f} s")

        return Lab.up(lab_name, Wanted(vms=2, networks=2), progress=progress)


def _protect(lab: Lab, story: Story) -> LabCluster:
    with story.step("helm install standfast: two replicas ready"):
        install_operator(lab)
    cluster = LabCluster(lab, CLUSTER)
    with story.step(f"kubectl apply -f {EXAMPLE}/"):
        cluster.apply(checkout() / EXAMPLE)
    with story.step("Each VM given its bundle: kubectl standfast enroll"):
        cluster.enroll()
    with story.step("The pair converges: Ready and Protected"):
        cluster.wait_settled()
    story.shell("kubectl get hac", cluster.kubectl.run("get", "hac"))
    return cluster


def _lose_vm(cluster: LabCluster, story: Story) -> None:
    lab = cluster.lab
    lost, heir = cluster.active, cluster.standby
    story.title(f"{lost}, the active VM, loses its power")
    with story.step(f"{lost} powered off, {heir} answers at {VIP}"):
        summary = _watch(lab, lambda: lab.vm(lost).off(), heir)
    _tell_outage(story, summary)
    with story.step("The operator records it"):
        cluster.wait_active(heir)
    story.shell("kubectl get hac", cluster.kubectl.run("get", "hac"))
    story.shell("kubectl standfast status web", cluster.kubectl.standfast("status", CLUSTER))
    with story.step(f"{lost} powered on again: it comes back as standby"):
        if lab.vm(lost).now().power != "on":
            lab.vm(lost).on()
        cluster.wait_settled()


def _partition(cluster: LabCluster, story: Story) -> None:
    lab = cluster.lab
    cut, heir = cluster.active, cluster.standby
    story.title(f"{cut}, active again on its own, is cut off from every network")
    since_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with story.step(f"{cut} isolated, {heir} answers at {VIP}"):
        summary = _watch(lab, lambda: lab.net.cut(cut), heir)
    _tell_outage(story, summary)
    both_s = lab.both_held_s(VIP, since_ns)
    story.say(f"both kernels held {VIP} for {both_s:.3f} s; {cut} let go before {heir} began")
    if both_s > 0 or summary.both_s > 0:
        raise TransientError(f"two VMs held {VIP} at once for {both_s:.3f} s")
    with story.step("The networks healed: the pair is protected again"):
        lab.net.heal()
        cluster.wait_active(heir)
        cluster.wait_settled()


def _switch_over(cluster: LabCluster, story: Story) -> None:
    lab = cluster.lab
    heir = cluster.standby
    story.title(f"A planned switchover to {heir}")
    command = ("switchover", CLUSTER, "--to", heir, "--reason", "demo")
    said: list[str] = []
    with story.step(f"kubectl standfast switchover {CLUSTER} --to {heir}"):
        summary = _watch(lab, lambda: said.append(cluster.kubectl.standfast(*command)), heir)
    _tell_outage(story, summary)
    with story.step("Recorded"):
        cluster.wait_active(heir)
        cluster.wait_settled()
    story.shell("kubectl standfast history web", cluster.kubectl.standfast("history", CLUSTER))


def _watch(lab: Lab, act: Callable[[], object], heir: str) -> Summary:
    """Connects to the address every 20 ms while something happens, until the heir answers."""
    with lab.probe_vip(VIP) as probe:
        probe.wait_for()
        act()
        probe.wait_for(heir, timeout_s=RECOVERED_S)
        time.sleep(CALM_S)  # an address that comes back to the old VM would be seen here
    return probe.summary


def _tell_outage(story: Story, summary: Summary) -> None:
    longest = max((outage.s for outage in summary.outages), default=0.0)
    answered = ", ".join(f"{who} {count} times" for who, count in summary.answered_by.items())
    story.say(f"[bold]no answer for {longest:.2f} s[/bold]; answered by {answered}")
