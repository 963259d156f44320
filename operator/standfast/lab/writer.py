"""A client that writes numbers into a database and remembers which were acknowledged.

Run in the lab's client namespace, as `python -m standfast.lab.writer DSN`. Several connections
write at once, each number once and never again, whatever became of it. Prints one JSON line per
acknowledged write, `{"ms": …, "number": …, "took_ms": …}`, and one per failed one, with `error`;
ends at SIGINT or SIGTERM. What it printed is what `writing` compares with the table.
"""

import argparse
import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator

import msgspec
import psycopg

AGAIN_S = 0.02
"""Pause of a connection after a failure."""
ASK_AGAIN_S, ASK_S = 0.02, 0.2
WRITE_S = 0.4
"""A write that takes longer was not acknowledged."""
SETTINGS = (
    "connect_timeout=2 tcp_user_timeout=400 keepalives_idle=1 keepalives_interval=1 "
    "sslmode=disable gssencmode=disable"
)
"""Without TLS: its handshake would be measured with every reconnection."""


async def write(dsn: str, numbers: Iterator[int], pause_s: float) -> None:
    """One connection after the other, one number after the other, for ever."""
    loop = asyncio.get_running_loop()
    endpoint = endpoint_of(dsn)
    while True:
        number, began_ns = next(numbers), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            await reached(*endpoint)
            async with asyncio.timeout(WRITE_S):
                connection = await psycopg.AsyncConnection.connect(dsn, autocommit=True)
        except (TimeoutError, psycopg.Error) as error:
            _failed(began_ns, number, error)
            await asyncio.sleep(AGAIN_S)
            continue
        try:
            while True:
                cut = loop.call_later(WRITE_S, _cut, connection.fileno())
                try:
                    await connection.execute("INSERT INTO written VALUES (%s)", (number,))
                finally:
                    cut.cancel()
                _say(began_ns, {"number": number})
                await asyncio.sleep(pause_s)
                number, began_ns = next(numbers), time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        except psycopg.Error as error:
            _failed(began_ns, number, error)
        finally:
            with contextlib.suppress(psycopg.Error):
                await connection.close()
        await asyncio.sleep(AGAIN_S)


def endpoint_of(dsn: str) -> tuple[str, int]:
    """Host and port of a connection string."""
    fields = psycopg.conninfo.conninfo_to_dict(dsn)
    return str(fields["host"]), int(fields.get("port") or 5432)


async def reached(host: str, port: int) -> None:
    """Return as soon as the server can be reached: a question every 20 ms, none waits for another.

    A lost SYN is sent again after a second only; a client that waited for that would measure
    itself and not the service.
    """
    asking: set[asyncio.Task[bool]] = set()
    try:
        while True:
            asking.add(asyncio.create_task(_ask(host, port)))
            done, asking = await asyncio.wait(
                asking, timeout=ASK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
            )
            if any(task.result() for task in done):
                return
            if done:
                await asyncio.sleep(ASK_AGAIN_S)
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)  # cancelled


async def _ask(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(ASK_S):
            _, stream = await asyncio.open_connection(host, port)
    except OSError:  # a TimeoutError is one
        return False
    stream.transport.abort()
    return True


def _cut(descriptor: int) -> None:
    """Break the connection off: to cancel a write would be to ask the server that hangs."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
        end.shutdown(socket.SHUT_RDWR)


def _failed(began_ns: int, number: int, error: Exception) -> None:
    words = " ".join(str(error).split()) or type(error).__name__
    _say(began_ns, {"number": number, "error": words[:200]})


def _say(began_ns: int, row: dict[str, int | str]) -> None:
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    line = {"ms": now_ns / 1e6, **row, "took_ms": round((now_ns - began_ns) / 1e6, 3)}
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m standfast.lab.writer", description=__doc__)
    parser.add_argument("dsn")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--pause-ms", type=float, default=10, help="after each acknowledged write")
    parser.add_argument("--first", type=int, default=1, help="the first number")
    options = parser.parse_args()
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # broken connections are expected
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(options))
    return 0


async def _run(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    numbers = itertools.count(options.first)
    dsn = f"{options.dsn} {SETTINGS}"
    writing = asyncio.gather(
        *(write(dsn, numbers, options.pause_ms / 1000) for _ in range(options.connections))
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, writing.cancel)
    await writing


if __name__ == "__main__":
    sys.exit(main())
