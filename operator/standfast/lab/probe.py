"""A client that never tires: a fresh connection every 20 ms, and a line about each.

Run in the lab's client namespace by `standfast-lab probe` and by tests, as
`python -m standfast.lab.probe vip ADDRESS [--port P]` or `… sql DSN`. Prints one JSON line per
attempt, `{"ms": …, "by": "vm-a", "took_ms": …}` or with `error` in place of `by`, and at the end,
which is SIGINT, SIGTERM or the time given by `--for`, one line `{"summary": {…}}`.

Connections do not wait for each other: a slow one says nothing about the next.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from standfast.lab.claims import Asker
from standfast.lab.outages import Attempt, Sighting, summarize

ANSWER_BYTES_MAX = 4096
NAME_CHARACTERS_MAX = 80


@dataclass
class Probe:
    """A running probe.

    Args:
        ask: Makes one attempt and returns who answered; an `OSError` says why nobody did.
        every_ms: From the beginning of one attempt to the next.
        timeout_ms: How long one attempt may take.
    """

    ask: Callable[[], Awaitable[str]]
    every_ms: int
    timeout_ms: int
    attempts: list[Attempt] = field(default_factory=list)
    claims: list[Sighting] = field(default_factory=list)

    async def run(self, ended: asyncio.Event, asker: Asker | None) -> None:
        """Attempts until `ended` is set, then waits for the last ones and prints the summary."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        if asker is not None:
            loop.add_reader(asker.sock, self._hear, asker)
        async with asyncio.TaskGroup() as running:
            while not ended.is_set():
                running.create_task(self._attempt())
                if asker is not None:
                    asker.ask()
                due = max(due + self.every_ms / 1000, loop.time())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), due - loop.time())
        if asker is not None:
            loop.remove_reader(asker.sock)
            asker.sock.close()
        _print({"summary": summarize(self.attempts, self.claims, _now_ns())})

    async def _attempt(self) -> None:
        began_ns = _now_ns()
        by, error = "", ""
        try:
            async with asyncio.timeout(self.timeout_ms / 1000):
                by = await self.ask()
        except TimeoutError:
            error = "timeout"
        except OSError as reason:
            error = reason.strerror or type(reason).__name__
        attempt = Attempt(began_ns, _now_ns() - began_ns, by, error)
        self.attempts.append(attempt)
        outcome = {"by": by} if by else {"error": error}
        _print({"ms": began_ns / 1e6, **outcome, "took_ms": round(attempt.took_ns / 1e6, 3)})

    def _hear(self, asker: Asker) -> None:
        for who in asker.heard():
            if not self.claims or self.claims[-1].who != who:
                _print({"ms": _now_ns() / 1e6, "claimed_by": who})
            self.claims.append(Sighting(_now_ns(), who))


async def ask_tcp(address: str, port: int) -> str:
    """Who answers on a TCP port: the body's first line of a web server, the first line of others.

    Raises:
        OSError: Nobody does, or a web server answers with another status than 200.
    """
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(f"GET / HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
        first = await reader.readline()
        if not first:
            raise OSError(0, "closed without a word")
        if not first.startswith(b"HTTP/"):
            return _name(first)
        rest = first[-2:] + await reader.read(ANSWER_BYTES_MAX)
        status = first.split(maxsplit=2)[1].decode(errors="replace")
        if status != "200":
            raise OSError(0, f"HTTP status {status}")
        while b"\r\n\r\n" not in rest or not _body(rest):
            more = await reader.read(ANSWER_BYTES_MAX)
            if not more:
                break
            rest += more
        return _name(_body(rest))
    finally:
        writer.transport.abort()


async def ask_sql(dsn: str, statement: str) -> str:
    """Who answers a statement on a fresh connection: the first column of the first row.

    Raises:
        OSError: Nobody does, or the statement is refused.
    """
    import psycopg

    try:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            cursor = await connection.execute(statement.encode())
            row = await cursor.fetchone()
    except psycopg.Error as error:
        raise OSError(0, " ".join(str(error).split())) from error
    return _name(str(row[0] if row else "no row").encode())


STATEMENT = (
    "SELECT coalesce(nullif(current_setting('cluster_name'), ''),"
    " 'started ' || pg_postmaster_start_time()::text)"
    " || CASE WHEN pg_is_in_recovery() THEN ' (standby)' ELSE '' END"
)


def main() -> int:
    options = _parser().parse_args()
    if options.what == "vip":
        probe = Probe(
            lambda: ask_tcp(options.address, options.port), options.every_ms, options.timeout_ms
        )
        asker = Asker.on(options.interface, options.address) if options.interface else None
    else:
        probe = Probe(
            lambda: ask_sql(options.dsn, options.statement), options.every_ms, options.timeout_ms
        )
        asker = None
    asyncio.run(_run(probe, asker, options.seconds))
    return 0


async def _run(probe: Probe, asker: Asker | None, seconds: float | None) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    if seconds is not None:
        loop.call_later(seconds, ended.set)
    await probe.run(ended, asker)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m standfast.lab.probe", description=__doc__)
    kinds = parser.add_subparsers(dest="what", required=True)
    vip = kinds.add_parser("vip", help="a TCP service behind an address")
    vip.add_argument("address")
    vip.add_argument("--port", type=int, default=80)
    vip.add_argument("--interface", default="", help="also ask by ARP who claims it, here")
    sql = kinds.add_parser("sql", help="a PostgreSQL service")
    sql.add_argument("dsn")
    sql.add_argument("--statement", default=STATEMENT, help="its first column says who answered")
    for kind, every_ms, timeout_ms in ((vip, 20, 200), (sql, 50, 500)):
        kind.add_argument("--every-ms", type=int, default=every_ms)
        kind.add_argument("--timeout-ms", type=int, default=timeout_ms)
        kind.add_argument("--for", type=float, dest="seconds", help="seconds; else until stopped")
    return parser


def _body(text: bytes) -> bytes:
    return text.partition(b"\r\n\r\n")[2]


def _name(text: bytes) -> str:
    line = text.decode(errors="replace").strip().partition("\n")[0].strip()
    return line[:NAME_CHARACTERS_MAX] or "an empty answer"


def _print(line: object) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


if __name__ == "__main__":
    sys.exit(main())
