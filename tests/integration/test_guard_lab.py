"""The guard in a VM with a real systemd: whatever happens to the agent, the lease ends in time."""

import contextlib
import json
import os
import select
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from standfast.core.timing import Profile
from standfast.guard.unit import NAME, PATH, unit_text
from standfast.lab.lab import Lab, LabVm
from tests.integration.lab_bed import bare_lab

pytestmark = [pytest.mark.load, pytest.mark.root, pytest.mark.lab, pytest.mark.timeout(600)]

PYTHON = "/opt/standfast/bin/python"
STAND_IN = Path(__file__).with_name("guard_stand_in.py")
HOST_OCTET = 100
UNITS = {
    "stand-in.service": f"""\
[Service]
ExecStart={PYTHON} /usr/local/lib/stand_in.py
EnvironmentFile=/run/stand-in.env
CPUSchedulingPolicy=fifo
CPUSchedulingPriority=10
SendSIGKILL=yes
KillSignal=SIGKILL
[Unit]
StartLimitIntervalSec=0
""",
    # The worst of units: comes back at once, ignores a polite stop, and forks.
    "web.service": """\
[Service]
ExecStart=/bin/sh -c 'trap "" TERM; sleep 1000 & sleep 1001 & wait; wait; wait'
Restart=always
RestartSec=0
TimeoutStopSec=60
[Unit]
StartLimitIntervalSec=0
""",
}


class GroupWatch:
    """When a control group had processes and when not, as the kernel says it."""

    def __init__(self, events: Path) -> None:
        self._events = events
        self._stop = threading.Event()
        self.changes: list[tuple[int, bool]] = []
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "GroupWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _note(self, *, populated: bool) -> None:
        if not self.changes or self.changes[-1][1] != populated:
            at_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self.changes.append((at_ns, populated))

    def _look(self) -> None:
        while not self._stop.is_set():
            try:
                with self._events.open() as file:
                    changed = select.poll()
                    changed.register(file, select.POLLPRI)
                    while not self._stop.is_set():
                        file.seek(0)
                        self._note(populated="populated 1" in file.read())
                        changed.poll(50)
            except OSError:  # systemd removed the group; it may make a new one
                self._note(populated=False)
                time.sleep(0.0005)

    def ended_ns(self, after_ns: int) -> int:
        """When it was left without processes for the first time after this moment."""
        return next(at for at, populated in self.changes if at > after_ns and not populated)

    def alive_after_ns(self, from_ns: int) -> int:
        """For how long it had processes after this moment."""
        alive, since = 0, None
        for at, populated in [*self.changes, (time.clock_gettime_ns(time.CLOCK_BOOTTIME), False)]:
            if since is not None and not populated:
                alive, since = alive + max(0, at - max(since, from_ns)), None
            elif populated and since is None:
                since = at
        return alive


@dataclass
class Late:
    """How long after the deadline things were gone, in milliseconds."""

    address: list[float] = field(default_factory=list)
    unit: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)
    """For how long systemd brought the unit back (Restart=always, RestartSec=0)."""

    def must_fit(self) -> None:
        """The guard begins on time; the rest is done within the budget of the emergency stop."""
        assert max(self.begun) < 20
        budget_ms = Profile.FAST.timing.stop_budget_ms
        assert max(self.address) < budget_ms
        assert max(self.unit) < budget_ms
        assert max(self.again) < budget_ms

    def print(self, what: str) -> None:
        for name, values in (
            ("guard begins", self.begun),
            ("address gone", self.address),
            ("unit gone", self.unit),
            ("unit brought back", self.again),
        ):
            print(
                f"\n  {what}, {name}: median {statistics.median(values):.2f} ms, "
                f"max {max(values):.2f} ms (n={len(values)})",
                end="",
            )


@dataclass
class Bed:
    """The VM with guard, stand-in and unit."""

    lab: Lab
    vm: LabVm

    @property
    def address(self) -> str:
        return self.vm.addresses[0].rpartition(".")[0] + f".{HOST_OCTET}"

    @property
    def group(self) -> Path:
        return self.vm.machine.cgroup.path / "system.slice" / "web.service"

    def file(self, path: str) -> Path:
        return self.vm.machine.root() / path.lstrip("/")

    def ctl(self, *words: str) -> str:
        return self.vm.exec(["systemctl", *words], check=False).strip()

    def report(self) -> dict[str, object]:
        """guard.json; read again when the guard was writing."""
        while True:
            with contextlib.suppress(ValueError):
                found: dict[str, object] = json.loads(
                    self.file("/run/standfast/guard.json").read_text()
                )
                return found

    def lease(self) -> dict[str, object]:
        leases = self.report()["leases"]
        assert isinstance(leases, list)
        return leases[0] if leases else {}

    def deadline(self) -> tuple[int, int]:
        """Term and moment that the stand-in asked for last."""
        term, until_ms = self.file("/run/stand-in").read_text().split()
        return int(term), int(until_ms)

    def holds_address(self) -> bool:
        return self.address in self.vm.exec(["ip", "-o", "address"])

    def serve(self, hold_ms: int = 800) -> int:
        """Let the stand-in serve a term of its own or go on with the present one."""
        self.file("/run/stand-in.env").write_text(f"HOLD_MS={hold_ms}\nADDRESS={self.address}\n")
        self.ctl("start", "--no-block", "stand-in.service")
        self.until(lambda: self.lease().get("stage") == "Armed")
        self.until(
            lambda: self.holds_address() and self.ctl("is-active", "web.service") == "active"
        )
        return self.pid("stand-in.service")

    def pid(self, unit: str) -> int:
        """Main process of a unit, as this machine numbers it."""
        inner = self.ctl("show", "--value", "--property=MainPID", unit)
        for pid in self.vm.machine.cgroup.pids():
            with contextlib.suppress(OSError):
                rows = Path(f"/proc/{pid}/status").read_text().splitlines()
                numbers = next(row for row in rows if row.startswith("NSpid:")).split()
                if numbers[-1] == inner:
                    return pid
        raise AssertionError(f"{unit} has no process")

    def until(self, seen: Callable[[], bool], within_s: float = 20) -> None:
        end = time.monotonic() + within_s
        while not seen():
            assert time.monotonic() < end, (
                f"not so in time: {self.report()} {self.vm.logs()[-3000:]}"
            )
            time.sleep(0.005)

    def end(self) -> None:
        """Stop the stand-in for good and let the guard finish."""
        self.ctl("stop", "stand-in.service")
        self.until(self.is_over)

    def is_over(self) -> bool:
        lease = self.lease()
        outcome = lease.get("outcome")
        verified = isinstance(outcome, dict) and outcome["verifiedUs"] is not None
        return lease.get("stage") != "Armed" and verified

    def end_of_lease(self, strike: Callable[[int], None], late: Late, hold_ms: int = 800) -> None:
        """Serve, let something happen to the agent, and measure how the lease ends."""
        agent = self.serve(hold_ms)
        with GroupWatch(self.group / "cgroup.events") as watch:
            begin_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            time.sleep(0.15)
            strike(agent)
            term, until_ms = self.deadline()
            until_ns = until_ms * 1_000_000
            self.until(self.is_over)
            time.sleep(0.3)  # something might come back
        tenures = self.lab.holders(self.address, begin_ns)[self.vm.name]
        lease = self.lease()
        assert (lease["term"], lease["stage"]) == (term, "Fired")
        outcome = lease["outcome"]
        assert isinstance(outcome, dict)
        assert outcome["dueMs"] == until_ms
        assert outcome["problems"] == []
        late.begun.append(outcome["lateUs"] / 1000)
        late.address.append((tenures[-1].end_ns - until_ns) / 1e6)
        late.unit.append((watch.ended_ns(until_ns - 1_000_000) - until_ns) / 1e6)
        late.again.append(max(0.0, watch.alive_after_ns(until_ns) / 1e6 - late.unit[-1]))
        assert not self.holds_address()
        assert self.ctl("is-active", "web.service") != "active"
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, 9)
        self.ctl("stop", "stand-in.service")


def _signal(number: int, pid: int) -> None:
    os.kill(pid, number)


def may_spare() -> bool:
    """Whether this machine lets anybody lower oom_score_adj (CAP_SYS_RESOURCE)."""
    rows = Path("/proc/self/status").read_text().splitlines()
    return bool(
        int(next(row for row in rows if row.startswith("CapBnd")).split()[1], 16) >> 24 & 1
    )


@pytest.fixture(scope="module")
def bed() -> Iterator[Bed]:
    with bare_lab("guard", vms=1, networks=1) as lab:
        found = Bed(lab, lab.vm("vm-a"))
        found.file("/usr/local/lib/stand_in.py").write_text(STAND_IN.read_text())
        for name, text in UNITS.items():
            found.file(f"/etc/systemd/system/{name}").write_text(text)
        found.file(str(PATH)).write_text(unit_text(Path("/opt/standfast/bin/standfast-guard")))
        found.ctl("daemon-reload")
        found.vm.exec(["systemctl", "enable", "--now", NAME])
        yield found


def test_the_unit_gives_the_guard_all_it_needs(
    bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    report = bed.report()
    assert (report["locked"], report["realtime"]) == (True, True)
    if may_spare():
        assert report["troubles"] == []
        assert report["spared"] is True
    pid = bed.pid(NAME)
    status = Path(f"/proc/{pid}/status").read_text()
    rows = dict(row.split(":\t", 1) for row in status.splitlines())
    assert rows["Name"] == "standfast-guard"
    assert rows["NoNewPrivs"] == "1"
    assert rows["Seccomp"] == "2"
    mine, everybodys = Path(f"/proc/{pid}/ns/mnt"), Path(f"/proc/{bed.vm.machine.pid1}/ns/mnt")
    assert mine.readlink() == everybodys.readlink()
    maps = Path(f"/proc/{pid}/maps").read_text()
    for foreign in ("aiohttp", "msgspec", "dbus_fast", "cryptography", "_ssl"):
        assert foreign not in maps
    with capsys.disabled():
        print(
            f"\n  guard in a VM: {rows['VmRSS'].strip()} resident, {rows['VmLck'].strip()} locked"
        )


@pytest.mark.parametrize("number", [19, 9], ids=["SIGSTOP", "SIGKILL"])
def test_without_its_agent_the_lease_ends_in_time(
    number: int, bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    """F09, F89: twenty deaths of each kind."""
    late = Late()
    for _ in range(20):
        bed.end_of_lease(partial(_signal, number), late)
    with capsys.disabled():
        late.print("SIGSTOP" if number == 19 else "SIGKILL")
    late.must_fit()


def test_an_agent_that_is_back_within_the_lease_goes_on(bed: Bed) -> None:
    agent = bed.serve(3000)
    term, _ = bed.deadline()
    begin_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with GroupWatch(bed.group / "cgroup.events") as watch:
        for _ in range(3):
            os.kill(agent, 9)
            bed.until(lambda: bed.ctl("is-active", "stand-in.service") != "active")
            agent = bed.serve(3000)
        time.sleep(3.2)
    assert bed.deadline()[0] == term
    assert bed.lease()["stage"] == "Armed"
    assert len(bed.lab.holders(bed.address, begin_ns)[bed.vm.name]) == 1
    assert [populated for _, populated in watch.changes] == [True]
    bed.end()


def test_a_killed_guard_is_back_and_the_lease_goes_on(bed: Bed) -> None:
    bed.serve(3000)
    term, _ = bed.deadline()
    for _ in range(3):
        before = bed.pid(NAME)
        os.kill(before, 9)
        bed.until(lambda: bed.report()["pid"] and bed.ctl("is-active", NAME) == "active")
        bed.until(lambda before=before: not Path(f"/proc/{before}").exists())
        time.sleep(0.4)
    time.sleep(3)
    lease = bed.lease()
    assert (lease["term"], lease["stage"]) == (term, "Armed")
    assert bed.holds_address()
    bed.end()


def test_guard_and_agent_killed_at_once(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """systemd brings the guard back, and it keeps the deadline of the agent that is gone."""
    late = Late()

    def strike(agent: int) -> None:
        os.kill(agent, 9)
        os.kill(bed.pid(NAME), 9)

    for _ in range(5):
        bed.end_of_lease(strike, late, hold_ms=1500)
    with capsys.disabled():
        late.print("guard killed too")


def test_a_stunned_vm_acts_the_moment_it_wakes(
    bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    """F16. The guard is faster than the agent that wakes with it; the kernel's clock went on."""
    late: list[float] = []
    for _ in range(5):
        agent = bed.serve(800)
        with GroupWatch(bed.group / "cgroup.events") as watch:
            bed.vm.freeze()
            time.sleep(2)
            awake_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            bed.vm.thaw()
            bed.until(bed.is_over)
        late.append((watch.ended_ns(awake_ns) - awake_ns) / 1e6)
        outcome = bed.lease()["outcome"]
        assert isinstance(outcome, dict)
        assert outcome["lateUs"] > 1_000_000
        with contextlib.suppress(ProcessLookupError):
            os.kill(agent, 9)
        bed.ctl("stop", "stand-in.service")
    with capsys.disabled():
        middle, worst = statistics.median(late), max(late)
        print(f"\n  from waking to no process: median {middle:.1f} ms, max {worst:.1f} ms", end="")


def test_a_stopped_guard_is_restarted_by_systemd(bed: Bed) -> None:
    """It does not answer systemd's watchdog; the agent hands over before that."""
    bed.serve(800)
    guard = bed.pid(NAME)
    os.kill(guard, 19)
    bed.until(lambda: not Path(f"/proc/{guard}").exists())
    bed.until(bed.is_over)
    assert "LOST" in bed.vm.logs("stand-in.service")
    assert not bed.holds_address()
    bed.end()


def test_under_load_and_without_memory(bed: Bed, capsys: pytest.CaptureFixture[str]) -> None:
    """F10: eight processes that burn, one that eats memory until the kernel kills it, for ever."""
    late = Late()
    memory = Path(f"/sys/fs/cgroup/memory/guard-{os.getpid()}")
    if memory.parent.is_dir():
        memory.mkdir()
        (memory / "memory.limit_in_bytes").write_text(str(300 << 20))
        for pid in bed.vm.machine.cgroup.pids():
            with contextlib.suppress(OSError):
                (memory / "cgroup.procs").write_text(str(pid))
    eat = "while :; do python3 -c 'x=[bytearray(1<<20) for _ in range(290)]'; done"
    try:
        for number in range(8):
            bed.vm.exec(["systemd-run", f"--unit=hog{number}", "sh", "-c", "yes > /dev/null"])
        if memory.is_dir():
            bed.vm.exec(["systemd-run", "--unit=hog8", "sh", "-c", eat])
        for number in range(20):
            strike = partial(_signal, 19 if number % 2 else 9)
            bed.end_of_lease(strike, late, hold_ms=2500)
    finally:
        for number in range(9):
            bed.ctl("kill", "--signal=KILL", f"hog{number}.service")
        bed.until(lambda: "hog" not in bed.ctl("list-units", "--state=active", "hog*"))
        if memory.is_dir():
            for pid in (memory / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (memory.parent / "cgroup.procs").write_text(pid)
            bed.until(lambda: not (memory / "cgroup.procs").read_text().split())
            memory.rmdir()
    with capsys.disabled():
        late.print("under load")
    late.must_fit()
