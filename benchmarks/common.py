"""What the benchmarks share: where their figures go, and the machine they were taken on.

Every benchmark writes its raw figures to benchmarks/results and owns one section of
docs/benchmarks.md, between two HTML comments that bear the section's name.
"""

import json
import os
import platform
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"
DOCUMENT: Final = ROOT / "docs" / "benchmarks.md"
_TITLE: Final = "# Benchmarks\n"


def machine() -> dict[str, Any]:
    """Describe the machine as far as it bears on the figures."""
    model = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def end_on_signals() -> None:
    """Raise KeyboardInterrupt on SIGINT and SIGTERM, so that servers that were started end.

    A shell's background job would ignore the first, and the second would end this process alone.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def today() -> str:
    """Return the date in UTC, as YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


def results_path(name: str, date: str) -> Path:
    """Return where the figures of a run on a day are: benchmarks/results/NAME-DATE.json."""
    return RESULTS / f"{name}-{date}.json"


def write_results(name: str, report: dict[str, Any]) -> None:
    """Write every figure of a run, with the day that it is of."""
    write_whole(results_path(name, report["date"]), json.dumps(report, indent=1) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a file in a folder that may not be there yet; whoever reads it finds all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


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
