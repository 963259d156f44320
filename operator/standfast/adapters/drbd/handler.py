"""What DRBD runs when it needs an answer: asks the agent over its socket, and ends with its word.

A program of its own, standard library only: `python3 -IS handler.py WORD SOCKET [MORE]`. DRBD
holds all writes while `fence-peer` runs, so it is patient: an agent that restarts is asked again.
When nobody answers in time the writes stay held, which is safe; the agent lets them go on later.

The kernel runs it with nothing open: its status is the answer, and its words are for whoever
calls it by hand.
"""

import contextlib
import json
import os
import socket
import sys
import time

PATIENCE_S = 120.0
AGAIN_S = 0.1
BROKEN = 1


def ask(path: str, words: list[str]) -> tuple[int, str]:
    """The status to end with, and what was said; raises OSError when nobody answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect(path)
        link.sendall(json.dumps(words).encode() + b"\n")
        with link.makefile("rb") as answer:
            row = answer.readline()
    if not row:
        raise ConnectionResetError(path)
    status, said = json.loads(row)
    return int(status), str(said)


def main(arguments: list[str]) -> int:
    """Ask until somebody answers, or patience is over."""
    word, path, *more = arguments
    limit_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            status, said = ask(path, [word, *more])
        except (OSError, ValueError) as error:
            if time.monotonic() > limit_s:
                _say(f"no agent answers at {path}: {error}")
                return BROKEN
            time.sleep(AGAIN_S)
        else:
            _say(said)
            return status


def _say(words: str) -> None:
    """Where nobody listens there is no stream, or one that takes nothing."""
    # AttributeError: without a file there is no stream either.
    with contextlib.suppress(OSError, AttributeError):
        sys.stdout.write(f"{words}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    # Not by `sys.exit`, which flushes once more and ends with a status of its own when it cannot.
    os._exit(main(sys.argv[1:]))
