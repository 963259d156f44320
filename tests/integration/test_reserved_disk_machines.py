"""A reserved disk between real machines: two full VMs on one disk, the storage a third one.

The storage is Linux' own target; the hypervisor of each VM is its initiator, as ESXi is for a
VMDK, so that what a stopped VM had under way is in the hands of somebody who goes on. Who writes
is asked of the writers (what was acknowledged) and of the disk (what is on it).
"""

import queue
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.qemu_parts import Machine, missing_iscsi
from tests.integration.reserved_line import Line
from tests.integration.reserved_parts import IQN, initiator

pytestmark = [
    pytest.mark.load,
    pytest.mark.root,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(missing_iscsi()), reason=f"no full VM here: {missing_iscsi()}"),
]
HERE = Path(__file__).parent
PATIENCE_S = 420
"""Emulated machines on a busy one."""
LIFE_S = 1150
SIZE = 64 << 20
SLOW = "format=raw,cache=none,throttling.iops-write=40"
"""So the storage always has writes under way when somebody is thrown out."""


def numbers(said: str) -> set[int]:
    return set() if said == "none" else set(map(int, said.split(",")))


@dataclass(frozen=True)
class Wrote:
    """What a writer says of itself.

    Attributes:
        recent: Its last writes that were acknowledged.
        count: How many were.
        refused: How many were not, by reason.
    """

    recent: set[int]
    count: int
    refused: str

    @classmethod
    def of(cls, said: str) -> "Wrote":
        recent, count, *refused = said.split()
        return cls(numbers(recent), int(count), " ".join(refused))

    @property
    def newest(self) -> int:
        return max(self.recent, default=0)


@dataclass
class Running:
    """A machine that is on, and what it says."""

    machine: Machine
    story: str
    words: "queue.Queue[str]" = field(default_factory=queue.Queue)
    seen: list[str] = field(default_factory=list)
    orders: int = 0

    def begin(self) -> "Running":
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        return self

    def _listen(self) -> None:
        with (self.machine.directory / "console").open("a", buffering=1) as console:
            for row in self.machine.tell(self.story, LIFE_S):
                console.write(f"{time.monotonic():.1f} {row}\n")
                _, is_ours, word = row.partition("STORY ")
                if is_ours:
                    self.words.put(word)
        self.words.put("(off)")

    def wait_for(self, start: str) -> str:
        """The next word that begins so; what comes before is kept in `seen`."""
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                word = self.words.get(timeout=max(0.1, end - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"{self.story}: no {start!r} in {self.machine.said[-40:]}")
            self.seen.append(word)
            if word.startswith(start):
                return word.removeprefix(start).strip()
            if word == "(off)":
                pytest.fail(f"{self.story} went off: {self.machine.said[-40:]}")

    def order(self, *words: str) -> None:
        self.orders += 1
        directory = self.machine.disk / "orders"
        directory.mkdir(exist_ok=True)
        made = directory / f".{self.orders}"
        made.write_text(" ".join(words))
        made.rename(directory / str(self.orders))

    def answer(self) -> str:
        return self.wait_for(f"did {self.orders} ")

    def do(self, *words: str) -> str:
        self.order(*words)
        return self.answer()

    def wrote(self) -> "Wrote":
        return Wrote.of(self.do("wrote"))

    def rest(self) -> "Wrote":
        return Wrote.of(self.do("rest"))

    def found(self, node: str) -> set[int]:
        """What that node wrote, as the disk has it."""
        return numbers(self.do("found", node))

    def until_written(self, number: int) -> None:
        end = time.monotonic() + PATIENCE_S
        while (wrote := self.wrote()).newest < number:
            assert time.monotonic() < end, (number, wrote, self.machine.said[-40:])

    def power_off(self) -> None:
        self.machine.order("quit")
        self._thread.join(PATIENCE_S)


@dataclass
class Bed:
    """Storage, and two nodes, each with a line to it."""

    directory: Path
    port: int
    lines: dict[str, Line] = field(default_factory=dict)
    boots: int = 0
    on: list[Running] = field(default_factory=list)

    def storage(self) -> Running:
        made = self._machine(
            "target",
            HERE / "reserved_target.py",
            ("configfs", "target_core_mod", "virtio_blk", "virtio_net", "crc32c_generic"),
            (
                *("-drive", f"file={self.directory}/disk.img,if=virtio,{SLOW}"),
                *("-netdev", f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:3260"),
                *("-device", "virtio-net-pci,netdev=n"),
            ),
        )
        made.wait_for("serves")
        return made

    def node(self, name: str) -> Running:
        self.boots += 1
        if name in self.lines:
            self.lines[name].close()
        self.lines[name] = Line(self.port, self.boots)
        target = f"iscsi://127.0.0.1:{self.lines[name].port}/{IQN}/0"
        return self._machine(
            name,
            HERE / "reserved_stories.py",
            ("virtio_scsi", "sd_mod", "sg"),
            (
                *("-iscsi", f"initiator-name={initiator(name)}"),
                *("-device", "virtio-scsi-pci"),
                *("-drive", f"file={target},if=none,id=d,format=raw,cache=none"),
                *("-device", "scsi-block,drive=d"),
            ),
        )

    def _machine(
        self, name: str, script: Path, modules: tuple[str, ...], devices: tuple[str, ...]
    ) -> Running:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        for order in (directory / "disk/orders").glob("*"):
            order.unlink()
        machine = Machine(
            directory, script, modules, devices, monitored=True, python=sys.executable
        )
        self.on.append(Running(machine, name).begin())
        return self.on[-1]


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(SIZE)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Bed(tmp_path, port)
    yield made
    # Storage last: without it qemu's monitor does not answer.
    last = {running.story: running for running in made.on}
    for running in sorted(last.values(), key=lambda each: each.story == "target"):
        with suppress(OSError):  # it is off
            running.machine.order("quit")
    for line in made.lines.values():
        line.close()


def refuses(node: Running, first: int) -> None:
    """Writes without a right to; none of it is acknowledged."""
    node.do("write", str(first))
    time.sleep(1)
    wrote = node.rest()
    assert (wrote.count, wrote.recent) == (0, set()), wrote
    assert "Invalid_exchange" in wrote.refused


def take(node: Running, term: int, old: str) -> tuple[set[int], int]:
    """Throws the old node out: what that has on the disk, and the milliseconds it took."""
    node.do("claim", str(term))
    stays, took_ms = node.do("exclude").split()
    assert stays == "True"
    there = node.found(old)
    assert node.do("start") == "Up"
    return there, int(took_ms)


def is_out(old: Running, there: set[int], asked: Running) -> Wrote:
    """All that was acknowledged to it is among what the new node found, and nothing came after."""
    old.wait_for("event Ousted")
    time.sleep(1)
    wrote = old.rest()
    assert wrote.recent <= there, (wrote, there)
    assert "Invalid_exchange" in wrote.refused
    assert asked.found(old.story) == there
    assert "OutrankedError" in old.do("exclude")
    return wrote


def test_the_old_node_is_shut_out_under_load_and_stays_so(
    bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    """With writes under way in the network, in a stopped VM, in the storage; and power losses."""
    storage = bed.storage()
    a, b = bed.node("a"), bed.node("b")
    a.wait_for("ready")
    b.wait_for("ready")
    assert a.do("ready") == "[]"

    # a holds term 1, and writes; b has no right to, and no luck.
    assert take(a, 1, "b")[0] == set()
    a.do("write", "1")
    a.until_written(50)
    refuses(b, 1)

    # What a sends is kept under way; b takes the disk in term 2; then a's writes arrive.
    bed.lines["a"].hold()
    end = time.monotonic() + PATIENCE_S
    while bed.lines["a"].waiting == 0:
        assert time.monotonic() < end
        time.sleep(0.1)
    late, late_ms = take(b, 2, "a")
    b.do("write", "1000")
    bed.lines["a"].release()
    is_out(a, late, b)

    # a is switched off and on again: it is nobody until it takes the disk by a later term.
    a.power_off()
    a = bed.node("a")
    a.wait_for("ready")
    refuses(a, 5000)
    assert b.found("a") == late

    # The storage loses its power amid b's writes, and forgets nothing: b writes on, a may not.
    storage.power_off()
    storage = bed.storage()
    b.until_written(b.wrote().newest + 20)
    refuses(a, 6000)
    assert b.found("a") == late

    # b is stopped amid its writes; a takes the disk in term 3; b wakes up.
    b.machine.order("stop")
    stopped, stopped_ms = take(a, 3, "b")
    a.do("write", "10000")
    b.machine.order("cont")
    is_out(b, stopped, a)
    a.until_written(10_020)

    # b takes it in term 4 while a writes all it can: the storage ends what it has of a.
    began, before = time.monotonic(), a.wrote().count
    time.sleep(2)
    rate = (a.wrote().count - before) / (time.monotonic() - began)
    loaded, loaded_ms = take(b, 4, "a")
    b.do("write", "20000")
    is_out(a, loaded, b)
    b.until_written(20_020)

    # b's initiator connects as another port: it is nobody, and says so. Linux' target does not
    # let it take what its older port holds, but lets a, in term 6; then b, in term 7.
    before = b.wrote()
    bed.lines["b"].connect_anew(100)
    assert "its storage refuses this node" in b.wait_for("event Died")
    wrote = b.rest()
    assert "Invalid_exchange" in wrote.refused
    assert wrote.newest >= before.newest
    b.do("claim", "5")
    assert "its storage refuses this node all the same" in b.do("exclude")
    refuses(b, 25_000)
    anew, _ = take(a, 6, "b")
    assert wrote.recent <= anew
    a.do("write", "30000")
    a.until_written(30_020)
    again, _ = take(b, 7, "a")
    b.do("write", "40000")
    is_out(a, again, b)
    b.until_written(40_020)
    with capsys.disabled():
        print(f"\n  thrown out: with writes in the network in {late_ms} ms, stopped in", end="")
        print(f" {stopped_ms} ms, amid {rate:.0f} writes/s in {loaded_ms} ms", end="")
