# ruff: noqa: INP001 a program by itself, in no package
"""A small file service: `POST /NAME` adds a line to a file, `GET /NAME` reads it.

A line is on the disk (fsync) before it is acknowledged, as an NFS or database server does it.
Put it at /usr/local/bin/files.py in both VMs. Standard library only.
"""

import http.server
import os
import sys
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    root = Path()

    def do_POST(self) -> None:
        """Add the body as one line."""
        line = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self._file().open("ab") as file:
            file.write(line.strip() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self._answer(200, b"")

    def do_GET(self) -> None:
        """The whole file."""
        file = self._file()
        if file.exists():
            self._answer(200, file.read_bytes())
        else:
            self._answer(404, b"")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """The journal need not have every request."""

    def _file(self) -> Path:
        return self.root / Path(self.path).name

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    Handler.root = Path(sys.argv[1])
    http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
