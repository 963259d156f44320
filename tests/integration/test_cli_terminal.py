"""`kubectl standfast status -w`, the real program, on a terminal of a given size and in a pipe.

What reaches the terminal goes through a terminal emulator (pyte), which keeps what scrolled away:
a screen that is redrawn in place is there once. The API server is a stand-in that says something
new with every look.
"""

import asyncio
import fcntl
import json
import os
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyte
import pytest
import yaml
from aiohttp import web

from tests.integration.member_bed import ROOT
from tests.unit.api import statuses
from tests.unit.cli import screens

pytestmark = pytest.mark.timeout(60)

COLUMNS = 80
COLOUR = re.compile(rb"\x1b\[(?:[0-9;]*;)?[349][0-7]m")
ESCAPE = b"\x1b"


class Server:
    """An API server with the cluster `web`, whose term grows with every look."""

    def __init__(self) -> None:
        self.changes = 0
        self.is_steady = False
        self._looks = asyncio.Semaphore(0)

    def app(self) -> web.Application:
        app = web.Application()
        objects = "/apis/standfast.dev/v1alpha1/namespaces/default"
        app.router.add_get(f"{objects}/haclusters/web", self._cluster)
        app.router.add_get(f"{objects}/haresources", self._resources)
        return app

    async def asked(self, times: int) -> None:
        """Wait until somebody has looked so often since it became steady."""
        for _ in range(times):
            await self._looks.acquire()

    async def _cluster(self, _: web.Request) -> web.Response:
        self.changes += 0 if self.is_steady else 1
        status = statuses.TROUBLED.model_copy(update={"term": 1000 + self.changes})
        if self.is_steady:
            self._looks.release()
        return web.json_response(_document("HACluster", screens.cluster(status)))

    async def _resources(self, _: web.Request) -> web.Response:
        items = [_document("HAResource", each) for each in screens.resources()]
        return web.json_response({"items": items})


def _document(kind: str, made: Any) -> dict[str, Any]:
    document = json.loads(json.dumps(made.to_object(), default=str))
    return {"apiVersion": "standfast.dev/v1alpha1", "kind": kind, **document}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server()
    runner = web.AppRunner(made.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    context = {"cluster": "stand-in", "user": "nobody", "namespace": "default"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "stand-in", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "it", "context": context}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))
    yield made
    await runner.cleanup()


class Run:
    """The program, what it wrote, and what somebody sees of that."""

    def __init__(self, directory: Path, rows: int = 40, **environment: str) -> None:
        self.written = b""
        self.rows = rows
        self._screen = pyte.HistoryScreen(COLUMNS, rows, history=1000)
        self._stream = pyte.ByteStream(self._screen)
        self._environment = {
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(directory / "kubeconfig"),
            **environment,
        }
        self._process: asyncio.subprocess.Process | None = None
        self._mine = -1
        self._news = asyncio.Event()

    async def start(self, *, piped: bool = False) -> None:
        program = "from standfast.cli.main import main; main()"
        self._mine, theirs = os.pipe() if piped else os.openpty()
        if not piped:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self.rows, COLUMNS, 0, 0))
        # Whoever runs the tests in the background has Ctrl-C ignored, and that is inherited.
        self._process = await asyncio.create_subprocess_exec(
            "env", "--default-signal=INT", sys.executable, "-c", program, "status", "web", "-w",
            stdin=asyncio.subprocess.DEVNULL, stdout=theirs, stderr=theirs,
            env=self._environment,
        )  # fmt: skip
        os.close(theirs)
        os.set_blocking(self._mine, False)
        asyncio.get_running_loop().add_reader(self._mine, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._mine, 65536)
        except OSError:  # the other end of a terminal is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._mine)
        self.written += data
        self._stream.feed(data)
        self._news.set()

    async def until(self, text: str) -> None:
        """Wait until it has written this."""
        while text.encode() not in self.written:
            self._news.clear()
            await self._news.wait()

    async def end(self) -> int:
        """Ctrl-C; what it answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        code = await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._mine)
        os.close(self._mine)
        return code

    @property
    def gone(self) -> list[str]:
        """What scrolled away."""
        lines = self._screen.history.top
        return ["".join(line[at].data for at in range(COLUMNS)).rstrip() for line in lines]

    @property
    def shown(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self._screen.display]


@pytest.mark.parametrize(("rows", "environment"), [(40, {}), (12, {"NO_COLOR": "1"})])
async def test_on_a_terminal_it_is_redrawn_in_place(
    server: Server, tmp_path: Path, rows: int, environment: dict[str, str]
) -> None:
    """Also on one that is too small for all of it, and without colour."""
    run = Run(tmp_path, rows, **environment)
    await run.start()
    await run.until("term 1003")
    assert run.gone == [], "nothing was pushed out of sight"
    assert [line for line in run.shown if "term 10" in line] == [run.shown[0]]
    assert "term 1003" in run.shown[0]
    assert (COLOUR.search(run.written) is None) == ("NO_COLOR" in environment)
    server.is_steady = True
    assert await run.end() == 130
    assert run.written.rstrip().endswith(b"\x1b[?25h"), "the cursor is shown again"


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"FORCE_COLOR": "1"}, {}])
async def test_where_nothing_can_be_redrawn_each_change_is_written_once(
    server: Server, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A terminal that is dumb, and a pipe, whatever is wished for terminals."""
    run = Run(tmp_path, **environment)
    await run.start(piped="TERM" not in environment)
    await run.until("term 1002")
    server.is_steady = True
    await server.asked(2)
    changes = server.changes
    await run.until(f"term {1000 + changes}")
    assert await run.end() == 130
    written = run.written.replace(b"\r\n", b"\n")
    assert ESCAPE not in written
    parts = written.decode().split("---\n")
    assert [f"term {1001 + at}" in part for at, part in enumerate(parts)] == [True] * changes
    assert all(part.endswith("\n") for part in parts)
    assert max(len(line) for line in written.decode().splitlines()) <= COLUMNS
