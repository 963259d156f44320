"""A spare agent, loaded and asleep, that bridges the restart of the real one.

Loading the program takes longer than a lease of a fast profile leaves after a crash, the more so
on a busy machine. So the service forks a spare before it begins: it sleeps on a pipe, and when the
service dies without a word it goes to work at once, adopts what runs and wins the lease back. The
service that systemd starts meanwhile asks it to leave as soon as it is loaded, and adopts in turn.
Both are ordinary restarts of an agent within its lease; nothing in the protocol knows of spares.

A spare that nobody relieves leaves after a minute: then the lease ends and another node serves.
"""

import logging
import os
import select
import signal
import threading
from collections.abc import Callable
from pathlib import Path

RELIEVED_AFTER_S = 60.0
LEAVES_WITHIN_S = 2.0
_BYE = b"bye"
log = logging.getLogger("standfast")


class Spare:
    """The service's end of it.

    Args:
        note: File that names the spare that is at work.
    """

    def __init__(self, note: Path) -> None:
        self._note = note
        self._pipe = -1

    def fork(self, warm: Callable[[], object]) -> bool:
        """Make the spare. Returns twice: False in the service; True in the spare, once needed.

        Before any thread or loop is started. The spare that is not needed never returns.

        Args:
            warm: Called in the spare before it falls asleep: load what is loaded late.
        """
        reader, self._pipe = os.pipe()
        if os.fork() != 0:
            os.close(reader)
            return False
        os.close(self._pipe)
        self._pipe = -1
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
        warm()
        if os.read(reader, len(_BYE)) == _BYE:
            os._exit(0)
        os.close(reader)
        self._note.write_text(str(os.getpid()), encoding="ascii")
        log.warning("SpareAtWork", extra={"fields": {"reason": "the agent died"}})
        timer = threading.Timer(RELIEVED_AFTER_S, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
        return True

    def relieve(self) -> None:
        """Ask the spare of an earlier service to leave, if one is at work, and wait until it has.

        What it runs goes on running; its lease lasts long enough to be adopted.
        """
        try:
            pid = int(self._note.read_text(encoding="ascii"))
            handle = os.pidfd_open(pid)
        except (OSError, ValueError):
            return
        try:
            if _is_ours(pid):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
                if not select.select([handle], [], [], LEAVES_WITHIN_S)[0]:
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [], LEAVES_WITHIN_S)
        finally:
            os.close(handle)
            self._note.unlink(missing_ok=True)

    def dismiss(self) -> None:
        """The service ends on purpose: the spare is not needed."""
        if self._pipe >= 0:
            os.write(self._pipe, _BYE)
            os.close(self._pipe)
            self._pipe = -1


def _is_ours(pid: int) -> bool:
    """Whether that process runs the same program: the number may have been used again."""
    try:
        theirs = Path(f"/proc/{pid}/cmdline").read_bytes()
        mine = Path("/proc/self/cmdline").read_bytes()
    except OSError:
        return False
    return theirs == mine
