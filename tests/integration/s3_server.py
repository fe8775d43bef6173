"""A real S3 server on loopback, over TLS or not: every request to it must be signed."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

import obstore
from obstore.store import S3Store

from hack.cluster import binaries
from tests.integration.fetching import HOST, Authority
from tests.integration.ports import PortLease

READY_TIMEOUT_S = 60
KEY, SECRET = "test-access-key", "test-secret-key-0123456789"


class S3Server:
    """versitygw with a folder as its storage."""

    def __init__(self, folder: Path, authority: Authority | None = None) -> None:
        self._lease = PortLease()
        port = self._lease.ports[0]
        self._data = folder / "data"
        for place in (self._data, folder / "meta"):
            place.mkdir(parents=True)
        tls = ["--cert", authority.chain, "--key", authority.key] if authority else []
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *(binaries.ensure("versitygw")["versitygw"], "--port", f"127.0.0.1:{port}"),
                *("--access", KEY, "--secret", SECRET, *tls),
                *("posix", "--sidecar", folder / "meta", self._data),
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self.endpoint = f"{'https' if authority else 'http'}://{HOST}:{port}"
        self._client = {"allow_http": True}
        if authority:
            self._client["root_certificate"] = authority.certificate.read_text()
        await_port(port, self._process, folder / "log")

    def put(self, bucket: str, files: dict[str, bytes]) -> None:
        """Store objects."""
        (self._data / bucket).mkdir(exist_ok=True)
        store = S3Store(
            bucket,
            endpoint=self.endpoint,
            access_key_id=KEY,
            secret_access_key=SECRET,
            region="us-east-1",
            client_options=self._client,
        )
        for name, content in files.items():
            obstore.put(store, name, content)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
        self._lease.release()


def await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server takes connections. Raises RuntimeError with its words."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server is not ready: {log.read_text()}") from None
            time.sleep(0.1)
        else:
            return
