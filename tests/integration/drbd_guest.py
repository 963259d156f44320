"""The one program in a VM of the DRBD suite: its first process, standard library only.

    drbd_guest.py SOCKET HOST:PORT

Does what it is told over TCP, a list of words as a line of JSON: `run ARGV...`, `read FILE`,
`write FILE` (numbers, one after the other, each told as acknowledged when it is on the disk),
`clear` (nobody uses the device any more). What DRBD's handlers ask at SOCKET goes to HOST:PORT,
where the agent is.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

PORT = 9999
MOUNT = "/srv/data"
ACKNOWLEDGED = "/share/acknowledged"
_stopped = threading.Event()


def write(file: str) -> None:
    """Number after number; a number is acknowledged when fsync said so."""
    number = 0
    data = Path(file)
    if data.exists():
        rows = data.read_text().split()
        number = int(rows[-1]) if rows else 0
    try:
        with data.open("a") as numbers, Path(ACKNOWLEDGED).open("a", buffering=1) as told:
            while not _stopped.is_set():
                number += 1
                began = time.monotonic()
                numbers.write(f"{number}\n")
                numbers.flush()
                os.fsync(numbers.fileno())
                told.write(f"{number} {(time.monotonic() - began) * 1000:.0f}\n")
                time.sleep(0.05)
    except OSError as error:
        print(f"the writer ended: {error}", flush=True)


def clear() -> None:
    _stopped.set()
    subprocess.run(["umount", MOUNT], check=False, timeout=20)


def done(words: list[str]) -> tuple[int, str, str]:
    match words:
        case ["run", *argv]:
            ended = subprocess.run(
                argv, capture_output=True, text=True, errors="replace", check=False, timeout=120
            )
            return ended.returncode, ended.stdout, ended.stderr
        case ["read", file]:
            return 0, Path(file).read_text(), ""
        case ["write", file]:
            _stopped.clear()
            threading.Thread(target=write, args=(file,), daemon=True).start()
        case ["clear"]:
            clear()
        case _:
            return 2, "", f"what is {words}?"
    return 0, "", ""


def take_order(link: socket.socket) -> None:
    with link, link.makefile("rb") as asked:
        try:
            said = done(json.loads(asked.readline()))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            said = (1, "", str(error))
        link.sendall(json.dumps(said).encode() + b"\n")


def take_question(link: socket.socket) -> None:
    """Of a handler of DRBD, taken to the agent."""
    host, _, port = sys.argv[2].rpartition(":")
    with (
        link,
        link.makefile("rb") as asked,
        socket.create_connection((host, int(port)), timeout=5) as agent,
        agent.makefile("rb") as answer,
    ):
        agent.settimeout(None)
        agent.sendall(asked.readline())
        link.sendall(answer.readline())


def serve(listener: socket.socket, take: Callable[[socket.socket], None]) -> None:
    while True:
        link, _ = listener.accept()
        threading.Thread(target=take, args=(link,), daemon=True).start()


def main() -> None:
    Path(sys.argv[1]).parent.mkdir(parents=True, exist_ok=True)
    questions = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    questions.bind(sys.argv[1])
    questions.listen()
    threading.Thread(target=serve, args=(questions, take_question), daemon=True).start()
    orders = socket.create_server(("", PORT), backlog=64)
    serve(orders, take_order)


if __name__ == "__main__":
    main()
