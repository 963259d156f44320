"""What happens inside the full VM: run as its first process, with the name of a story."""

import contextlib
import ctypes
import json
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from standfast.guard import elapsed, protocol
from standfast.guard.protocol import AddressTarget, CgroupTarget, Disarm, Extend, Plan

RUN, CONFIG = Path("/run/standfast"), Path("/etc/standfast/agent.toml")
GROUP = "/protected.slice/web.service"
TIMEOUT_S = 4
HOLD_MS = 15_000
"""Starting Python takes seconds in an emulated machine."""


def say(word: str) -> None:
    print(f"STORY {word}", flush=True)


def now_ms() -> int:
    return elapsed.boot_ns() // 1_000_000


class Guard:
    """The guard's process and a plain connection to it."""

    def __init__(self, *more: str, program: str = "") -> None:
        self.number = 0
        self.more = more
        self.how = ["-c", program] if program else ["-m", "standfast.guard"]
        self.start()

    def start(self) -> None:
        words = [sys.executable, *self.how, "--config", str(CONFIG)]
        self.process = subprocess.Popen([*words, *self.more])
        self.connect()

    def connect(self) -> None:
        import socket

        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        while self.socket.connect_ex(protocol.SOCKET) != 0:
            time.sleep(0.02)

    def ask(self, request: protocol.Request) -> dict[str, object]:
        self.number += 1
        self.socket.send(protocol.encode(self.number, request))
        while True:
            answer: dict[str, object] = json.loads(self.socket.recv(65536))
            if answer["n"] == self.number:
                assert answer["problem"] == "", answer
                return answer

    def extend_for(self, seconds: float, hold_ms: int = HOLD_MS) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.ask(Extend("lease", 1, now_ms() + hold_ms))
            time.sleep(0.2)

    def until_armed(self) -> None:
        while True:
            watchdog = self.status()["watchdog"]
            assert isinstance(watchdog, dict)
            if watchdog["armed"]:
                say(f"armed {watchdog['identity']} {watchdog['timeoutMs']}")
                return
            time.sleep(0.1)

    def status(self) -> dict[str, object]:
        found = self.ask(protocol.Ask())["status"]
        assert isinstance(found, dict)
        return found


def configure(device: str) -> None:
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text(f'[watchdog]\ndevice = "{device}"\ntimeout_s = {TIMEOUT_S}\n')


def configure_without_watchdog() -> None:
    CONFIG.parent.mkdir(parents=True, exist_ok=True)
    CONFIG.write_text("")


def stopped(device: str) -> None:
    """The guard is fed by its lease, is killed and restarted, then stands still with the agent."""
    configure(device)
    guard = Guard()
    guard.until_armed()
    guard.extend_for(2 * TIMEOUT_S)
    say("fed")
    guard.process.kill()
    guard.process.wait()
    guard.start()
    guard.until_armed()
    guard.extend_for(2 * TIMEOUT_S)
    say("fed after its restart")
    guard.process.send_signal(signal.SIGSTOP)
    say("stopped")
    time.sleep(60)
    say("still alive")


def left_over(device: str) -> None:
    """A process hangs in a file system that does not answer, so nothing can be verified."""
    configure(device)
    image = Path("/tmp/disk")
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    Path("/srv/data").mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-o", "loop", str(image), "/srv/data"], check=True)
    group = Path("/sys/fs/cgroup") / GROUP[1:]
    group.mkdir(parents=True)
    guard = Guard()
    guard.until_armed()
    guard.ask(Extend("lease", 1, now_ms() + HOLD_MS))
    guard.ask(Plan("lease", (CgroupTarget(GROUP),)))
    subprocess.run(["fsfreeze", "-f", "/srv/data"], check=True)
    script = f"echo $$ > {group}/cgroup.procs; exec dd if=/dev/zero of=/srv/data/x bs=1M count=1"
    subprocess.Popen(["sh", "-c", script], stderr=subprocess.DEVNULL)
    guard.extend_for(2 * TIMEOUT_S, hold_ms=2000)
    say("fed")
    time.sleep(3)
    (lease,) = guard.status()["leases"]  # type: ignore[misc]
    say(f"left {lease['outcome']['left']}")
    time.sleep(60)
    say("still alive")


def released(device: str) -> None:
    """Everything is stopped and disarmed: the guard leaves, and the machine goes on."""
    configure(device)
    guard = Guard()
    guard.until_armed()
    guard.extend_for(1)
    guard.ask(Disarm("lease", 1))
    guard.process.send_signal(signal.SIGTERM)
    say(f"left with status {guard.process.wait()}")
    time.sleep(3 * TIMEOUT_S)
    say("still alive")


def ended(device: str) -> None:
    """The lease ends, everything is taken away and verified: the watchdog is fed on."""
    configure(device)
    guard = Guard()
    guard.until_armed()
    guard.extend_for(1, hold_ms=2000)
    time.sleep(3 * TIMEOUT_S)
    (lease,) = guard.status()["leases"]  # type: ignore[misc]
    say(f"{lease['stage']}, still alive")


def clock(device: str) -> None:
    """A PTP device of a network card, read the way the hypervisor's is."""
    del device
    elapsed.HYPERVISORS = ("",)  # whatever it is called
    found = elapsed.find_device()
    assert found is not None, list(Path("/sys/class/ptp").glob("*/clock_name"))
    say(f"answers {found.read_ns() >= 0}")


def trial(device: str) -> None:
    """The watchdog is tried; the next boot says that it was."""
    configure(device)
    words = [sys.executable, "-m", "standfast.guard", "--config", str(CONFIG), "--state", "/mnt"]
    if Path("/mnt/watchdog-trial.json").exists():
        guard = Guard("--state", "/mnt")
        guard.until_armed()
        watchdog = guard.status()["watchdog"]
        assert isinstance(watchdog, dict)
        say("tested" if watchdog["tested"] else "not tested")
        return
    say("tries")
    say(f"ended with status {subprocess.run([*words, '--try-watchdog'], check=False).returncode}")


ADDRESS = "10.9.9.9"
PAUSE_HOLD_MS = 2000
SHARED_CLOCK = """
import os, sys
from standfast.guard import elapsed, main
elapsed.SANDWICH_NS_MAX = elapsed.NOISE_NS = 50_000_000  # a look at the share takes milliseconds
clock = elapsed.Device("share", lambda: os.stat("/mnt/clock").st_mtime_ns)
main.find_device = lambda: clock
sys.exit(main.main())
"""
"""The guard with a clock that goes on while the machine stands still. `ptp_kvm` needs KVM: in an
emulated machine the time of a file that the world outside touches every millisecond stands in."""


def is_here() -> bool:
    """Whether this machine has the address."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        try:
            bound.bind((ADDRESS, 0))
        except OSError:
            return False
        return True


def paused(clock: str) -> None:
    """An address under a lease, renewed until this machine is stopped from outside.

    After the last renewal the agent is silent, as one that has nothing to say for itself: what
    takes the address away on waking is the guard.
    """
    configure_without_watchdog()
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    guard = Guard(program=SHARED_CLOCK if clock == "shared" else "")
    guard.ask(Extend("lease", 1, now_ms() + HOLD_MS))
    guard.ask(Plan("lease", (AddressTarget(ADDRESS, 32),)))
    guard.extend_for(1, hold_ms=PAUSE_HOLD_MS)
    guard.ask(Extend("lease", 1, now_ms() + PAUSE_HOLD_MS))
    say("stop me")
    while is_here():
        say("here")
        time.sleep(0.01)
    say("gone")


def stepped(_: str) -> None:
    """The wall clock is set an hour forward, an hour back, while a lease runs to its end."""
    configure_without_watchdog()
    subprocess.run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"], check=True)
    guard = Guard()
    guard.ask(Extend("lease", 1, now_ms() + HOLD_MS))
    guard.ask(Plan("lease", (AddressTarget(ADDRESS, 32),)))
    until_ms = now_ms() + HOLD_MS
    guard.ask(Extend("lease", 1, until_ms))
    for seconds in (3600, -7200):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + seconds)
        time.sleep(1)
        say(f"{seconds:+d} s: {'here' if is_here() else 'gone'}")
    while is_here():
        time.sleep(0.01)
    say(f"gone at {'its' if now_ms() >= until_ms else 'another'} time")


def panicked(device: str) -> None:
    """The kernel stops for good, with everything in it."""
    configure(device)
    guard = Guard()
    guard.until_armed()
    guard.extend_for(1)
    Path("/proc/sys/kernel/panic").write_text("0")
    say("panic")
    Path("/proc/sysrq-trigger").write_text("c")


STORIES: dict[str, Callable[[str], None]] = {
    "stopped": stopped,
    "left": left_over,
    "released": released,
    "ended": ended,
    "clock": clock,
    "trial": trial,
    "paused": paused,
    "stepped": stepped,
    "panicked": panicked,
}


def main() -> None:
    name, _, device = sys.argv[1].partition("@")
    say(f"begins {name}")
    try:
        STORIES[name](device)
    except (AssertionError, OSError, subprocess.SubprocessError):
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            ctypes.CDLL(None).sync()
        Path("/proc/sysrq-trigger").write_text("o")
        time.sleep(30)


main()
