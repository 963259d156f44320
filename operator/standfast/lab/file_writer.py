"""Writes numbers through a file service, one after the other, and tells which were acknowledged.

Run in the client namespace: `python -m standfast.lab.file_writer ADDRESS --first N`. Prints the
lines that `writing.RunningWriter` reads. A number that was not acknowledged is not written again:
whether it is there is for nobody to promise.
"""

import argparse
import contextlib
import http.client
import sys
import time

import msgspec

from standfast.lab.writing import Write

NAME = "ledger"
TIMEOUT_S = 1.0
PAUSE_S = 0.005


def write(address: str, number: int) -> Write:
    """One number, over a connection of its own."""
    began = _now_ms()
    error = ""
    connection = http.client.HTTPConnection(address, timeout=TIMEOUT_S)
    try:
        connection.request("POST", f"/{NAME}", body=str(number))
        status = connection.getresponse().status
        error = "" if status == http.client.OK else f"status {status}"
    except (OSError, http.client.HTTPException) as problem:
        error = str(problem) or type(problem).__name__
    finally:
        connection.close()
    now = _now_ms()
    return Write(ms=now, number=number, took_ms=now - began, error=error)


def read(address: str) -> list[int]:
    """All numbers that are there."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", f"/{NAME}")
        return [int(line) for line in connection.getresponse().read().split()]
    finally:
        connection.close()


def command(address: str, first: int) -> list[str]:
    """The command of a writer."""
    return [sys.executable, "-m", __name__, address, "--first", str(first)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--read", action="store_true", help="print what is there, and end")
    options = parser.parse_args()
    if options.read:
        print(*read(options.address))
        return 0
    number = options.first
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            print(msgspec.json.encode(write(options.address, number)).decode(), flush=True)
            number += 1
            time.sleep(PAUSE_S)
    return 0


def _now_ms() -> float:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) / 1e6


if __name__ == "__main__":
    sys.exit(main())
