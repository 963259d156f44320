"""Tries the watchdog for real: lets it reset this machine, and judges that after the boot.

`standfast-guard --try-watchdog` feeds the device once and then beats into a file, flushed each
time, until the machine goes down. The next guard compares: another boot, and a last beat about
one timeout after the feeding, mean that the watchdog did it. A shutdown by a person leaves no
file, and a power cut comes at another time. Only then is the watchdog called tested.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from standfast.guard.watchdog import Watchdog

BEAT_S = 0.1
EARLY_S, LATE_S = 1.5, 5.0
"""How far the last beat may be from the timeout: counters of whole seconds, a slow reset."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where a trial leaves its traces; on a disk, for they must outlive the machine's reset."""

    directory: Path

    @property
    def note(self) -> Path:
        return self.directory / "watchdog-trial.json"

    @property
    def tested(self) -> Path:
        return self.directory / "watchdog-tested"


class Stopped(Exception):  # noqa: N818 nothing went wrong
    """The machine is being shut down, or a person has had enough."""


def attempt(watchdog: Watchdog, files: Files, boot: str, log: Callable[[str], None]) -> int:
    """Let the watchdog reset this machine. Returns only when that did not happen.

    Returns:
        Exit status.
    """
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    begin = time.monotonic()
    watchdog.tend(time.monotonic_ns(), may_feed=True)
    status = watchdog.status
    if not status.armed:
        log(watchdog.trouble)
        return 1
    files.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    log(f"the watchdog {status.identity} is to reset this machine in {status.timeout_ms} ms")
    begun = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        while (beat_ms := round((time.monotonic() - begin) * 1000)) < 3 * status.timeout_ms + 5000:
            fields = {"boot": boot, "begun": begun, "timeoutMs": status.timeout_ms}
            _write(files.note, json.dumps({**fields, "beatMs": beat_ms}))
            time.sleep(BEAT_S)
    except Stopped:
        log("the trial was stopped")
    else:
        log(f"the watchdog {status.identity} did not reset this machine")
        files.tested.unlink(missing_ok=True)
    files.note.unlink(missing_ok=True)
    watchdog.close(disarm=True)
    return 1


def judge(files: Files, boot: str) -> str:
    """What is known of trials on this machine, a trial before this boot included.

    Args:
        files: Its traces.
        boot: Id of this boot.

    Returns:
        When the watchdog last proved itself, RFC 3339; "" when it never did.
    """
    try:
        note = json.loads(files.note.read_text(encoding="ascii"))
        is_over = note["boot"] != boot
        short_by_s = (note["timeoutMs"] - note["beatMs"]) / 1000
        begun = str(note["begun"])
    except (OSError, ValueError, KeyError, TypeError):
        is_over, short_by_s, begun = False, 0.0, ""
    if is_over:
        if -LATE_S <= short_by_s <= EARLY_S:
            _write(files.tested, begun)
        files.note.unlink(missing_ok=True)
    try:
        return files.tested.read_text(encoding="ascii").strip()[:40]
    except (OSError, UnicodeError):
        return ""


def _write(path: Path, text: str) -> None:
    """Replace a file, flushed: the machine may be gone the next moment."""
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, text.encode("ascii"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(path)


def _stop(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise Stopped
