"""A real server on loopback that speaks Google Cloud Storage's protocol, over TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path

from hack.cluster import binaries
from tests.integration.fetching import HOST, Authority
from tests.integration.ports import PortLease
from tests.integration.s3_server import await_port


class GoogleServer:
    """fake-gcs-server with objects in memory: it believes whoever asks."""

    def __init__(self, folder: Path, authority: Authority, objects: dict[str, bytes]) -> None:
        """Start it with these objects, each by its bucket and name."""
        self._lease = PortLease()
        port = self._lease.ports[0]
        for name, content in objects.items():
            path = folder / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [
                *(binaries.ensure("fake-gcs-server")["fake-gcs-server"], "-backend", "memory"),
                *("-data", folder / "data", "-host", "127.0.0.1", "-port", str(port)),
                *("-scheme", "https", "-public-host", f"{HOST}:{port}"),
                *("-cert-location", authority.chain, "-private-key-location", authority.key),
            ],
            stdout=self._log,
            stderr=self._log,
        )
        self.url = f"https://{HOST}:{port}"
        await_port(port, self._process, folder / "log")

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)
        self._log.close()
        self._lease.release()
