"""A Prometheus on loopback: started with a configuration, asked over its HTTP API, and ended."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.generate.monitoring import FOLDER
from hack.manifests import ROOT

READY_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20
RULES = ROOT / FOLDER / "rules.yaml"


class Prometheus:
    """What is asked of a server that runs."""

    def __init__(self, url: str) -> None:
        """Take the address, for example http://127.0.0.1:9090."""
        self.url = url

    def get(self, path: str, **parameters: object) -> Any:  # noqa: ANN401  any part of the API
        """Return the data of an answer; raises RuntimeError with Prometheus' words."""
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(  # noqa: S310  on loopback
                f"{self.url}/api/v1/{path}?{query}", timeout=10
            ) as page:
                answer = json.load(page)
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode(errors="replace")) from error
        return answer["data"]

    def series(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression has now: labels and value of each series."""
        found: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return found

    def history(self, expression: str, since_s: float, until_s: float) -> list[dict[str, Any]]:
        """Return what an expression had in each second between two Unix times."""
        window = {"start": since_s, "end": until_s, "step": 1}
        found: list[dict[str, Any]] = self.get("query_range", query=expression, **window)["result"]
        return found

    def is_ready(self) -> bool:
        """Whether it answers queries."""
        try:
            address = f"{self.url}/-/ready"
            with urllib.request.urlopen(address, timeout=2) as page:  # noqa: S310  likewise
                return bool(page.status == 200)  # noqa: PLR2004
        except OSError:
            return False


@contextmanager
def running(folder: Path, port: int, targets: Mapping[str, Any]) -> Iterator[Prometheus]:
    """Run Prometheus with the chart's rules while the block does.

    ``targets`` are scrape configurations by the name of their job; everything is looked at every
    second. Raises RuntimeError, with its log, when it does not start.
    """
    jobs = [{"job_name": name, **settings} for name, settings in targets.items()]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": every, "rule_files": [str(RULES)], "scrape_configs": jobs}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    command = [
        str(binaries.ensure("prometheus")["prometheus"]),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as to:
        process = subprocess.Popen(command, stdout=to, stderr=to, stdin=subprocess.DEVNULL)
    try:
        server = Prometheus(f"http://127.0.0.1:{port}")
        _await(server, process, log)
        yield server
    finally:
        process.terminate()
        process.wait(STOP_TIMEOUT_S)


def _await(server: Prometheus, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not server.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Prometheus is not ready: {log.read_text()[-1500:]}")
        time.sleep(0.1)
