"""What DRBD runs when it needs an answer: asks the agent over its socket, and ends with its word.

A program of its own, standard library only: `python3 -IS handler.py WORD SOCKET [MORE]`. DRBD
holds all writes while `fence-peer` runs, so it is patient: an agent that restarts is asked again.
When nobody answers in time the writes stay held, which is safe; the agent lets them go on later.
"""

import json
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
                sys.stderr.write(f"no agent answers at {path}: {error}\n")
                return BROKEN
            time.sleep(AGAIN_S)
        else:
            sys.stdout.write(f"{said}\n")
            return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
