"""What the fetching container meets, on loopback, and the program itself as a process.

An authority of the test's own, and an https server that does as it is told.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ferryman.core.fetching.report import FetchReport, read_report
from ferryman.core.fetching.task import TASKS_ENV, FetchTask, encode
from ferryman.fetch.run import TERMINATION_LOG_ENV

HOST = "localhost"
_EXTENSIONS = "subjectAltName={names}\nbasicConstraints=critical,CA:FALSE\n"


class Authority:
    """A certificate authority that nobody knows but who is given its certificate."""

    def __init__(self, folder: Path, *names: str) -> None:
        """Make it, and the certificate of a server of these names; of loopback without any."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "ca.crt"
        self._openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=test"),
        )
        self.key, self.chain = folder / "server.key", folder / "server.crt"
        stated = ",".join(f"DNS:{name}" for name in names) or f"DNS:{HOST},IP:127.0.0.1"
        (folder / "extensions").write_text(_EXTENSIONS.format(names=stated))
        self._openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={HOST}"),
        )
        self._openssl(
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", "server.crt", "-days", "1", "-extfile", "extensions"),
        )

    def _openssl(self, *arguments: str) -> None:
        command = ["openssl", *arguments]
        subprocess.run(command, cwd=self._folder, check=True, capture_output=True, timeout=30)


class Request(BaseHTTPRequestHandler):
    """One request; the server's ``answer`` says what comes back."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer, and remember what was asked with which authorization."""
        server: Server = self.server.owner
        server.asked.append((self.path, self.headers.get("Authorization")))
        server.answer(self)

    do_POST = do_GET  # noqa: N815  what http.server calls it

    def give(self, body: bytes, status: int = 200, **headers: str) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Server:
    """An https server on loopback, or an http one without an authority."""

    def __init__(
        self, authority: Authority | None, answer: Callable[[Request], None] | None = None
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.answer = answer or self._file
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self._http.daemon_threads = True
        self._http.owner = self
        self._scheme = "http"
        if authority is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(authority.chain, authority.key)
            self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self._scheme}://{HOST}:{self._http.server_address[1]}"

    def close(self) -> None:
        """End it."""
        self._http.shutdown()
        self._http.server_close()

    def _file(self, request: Request) -> None:
        found = self.files.get(request.path)
        request.give(found or b"no such file", 200 if found is not None else 404)


class Silence:
    """A server that takes connections and never says a word."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://{HOST}:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        """End it."""
        self._socket.close()


class Programs:
    """Starts the program as a process whenever it is asked, within a second."""

    def __init__(self) -> None:
        paths = os.pathsep.join(path for path in sys.path if path)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fetcher.py"))],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._close)

    def ask(self, order: str) -> int:
        """Run it once; return its exit status."""
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def _close(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(10)


@cache
def _programs() -> Programs:
    return Programs()


class Pod:
    """The folders of a pod's fetching container, and what ran in it."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self.model, self.secret = folder / "model", folder / "secret"
        self._log, self._authority = folder / "termination-log", authority
        self.model.mkdir()
        self.output = ""

    def give(self, **entries: str) -> None:
        """Mount a Secret."""
        self.secret.mkdir(exist_ok=True)
        for name, value in entries.items():
            (self.secret / name.replace("__", ".")).write_text(f"{value}\n")

    def task(self, uri: str, **fields: object) -> FetchTask:
        """Return the task of a model."""
        found = FetchTask(uri, str(self.model), max_bytes=50 << 20, deadline_s=100)
        if self.secret.exists():
            found = replace(found, secret=str(self.secret))
        if self._authority is not None:
            found = replace(found, ca=str(self._authority.certificate))
        return replace(found, **fields)

    def run(self, uri: str, *, environ: dict[str, str] | None = None, **fields: object):
        """Fetch, as the container does; return the report that it leaves."""
        return self.run_all(self.task(uri, **fields), environ=environ)

    def run_all(self, *tasks: FetchTask, environ: dict[str, str] | None = None) -> FetchReport:
        """Fetch several models; nothing of this process' environment but its paths is there."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        paths = os.pathsep.join(path for path in sys.path if path)
        own = {TASKS_ENV: encode(tasks), TERMINATION_LOG_ENV: str(self._log)}
        self._log.unlink(missing_ok=True)
        output = self._log.with_name("output")
        environ = {**kept, "PYTHONPATH": paths, **(environ or {}), **own}
        status = _programs().ask(json.dumps({"output": str(output), "environ": environ}))
        self.output = output.read_text()
        message = self._log.read_text()
        report = read_report(message)
        assert report is not None, message
        assert (status == 0) == (report.problem is None), self.output
        return report

    def files(self) -> dict[str, bytes]:
        """Return everything that is in the model's folder."""
        assert not any(path.is_symlink() for path in self.model.rglob("*"))
        found = (path for path in self.model.rglob("*") if path.is_file())
        return {str(path.relative_to(self.model)): path.read_bytes() for path in found}
