"""What the benchmarks share: a client of the server they start, and where their figures go.

Every benchmark writes its raw figures to benchmarks/results and owns one section of
docs/benchmarks.md, between two HTML comments that bear the section's name.
"""

import json
import os
import platform
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ferryman.clients import triton
from ferryman.clients.triton import Ports
from tests.integration.tritonserver import TritonServer

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
_TITLE: Final = "# Benchmarks\n"


@asynccontextmanager
async def connected(server: TritonServer, model: str) -> AsyncIterator[triton.TritonServer]:
    """Give the operator's own client of a model on a server, on the monotonic clock."""
    urls = (server.grpc_url, server.metrics_url)
    ports = Ports(*(int(url.rpartition(":")[2].split("/")[0]) for url in urls))
    client = triton.connect("127.0.0.1", model, "", clock=time.monotonic, ports=ports)
    try:
        yield client
    finally:
        await client.close()


def machine() -> dict[str, Any]:
    """Describe the machine as far as it bears on the figures."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def today() -> str:
    """Return the date in UTC, as YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


def write_results(name: str, report: dict[str, Any]) -> None:
    """Write every figure of a run to benchmarks/results/NAME-DATE.json."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}-{report['date']}.json").write_text(json.dumps(report, indent=1) + "\n")


def write_section(name: str, text: str) -> None:
    """Replace one section of docs/benchmarks.md; raises ValueError as with_section does."""
    document = DOCUMENT.read_text() if DOCUMENT.exists() else _TITLE
    DOCUMENT.write_text(with_section(document, name, text))


def with_section(document: str, name: str, text: str) -> str:
    """Return the document with one section replaced, or added at the end where it is not yet.

    Raises ValueError when the section begins and does not end.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    section = f"{begin}\n{text.strip()}\n\n{end}"
    before, found, rest = document.partition(begin)
    if not found:
        return f"{document.rstrip()}\n\n{section}"
    _, ended, after = rest.partition(end)
    if not ended:
        raise ValueError(f"the section {name} has no end, {end.strip()}")
    return f"{before}{section}{after}"
