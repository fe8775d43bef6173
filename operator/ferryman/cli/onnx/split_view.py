"""What ``ferryman split`` shows: each step with its time and what it takes from others."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console

COLUMNS = (
    Column("STEP"),
    Column("NODES", right=True),
    Column("MS", right=True),
    Column("KB TAKEN", right=True),
    Column("TENSORS TAKEN", fold=20, below=True),
)


@dataclass(frozen=True)
class PartFigures:
    """One step."""

    name: str
    nodes: int
    time_ms: float
    received_bytes: Mapping[str, int]
    """What it takes from steps before it, by tensor."""


@dataclass(frozen=True)
class SplitReport:
    """A model that was split."""

    model: Path
    folder: Path
    cuts: int
    """So many places were found."""
    difference: float
    """The largest one of the parts' answers from the model's."""
    compared: str
    """What they were run on."""
    whole_ms: float
    parts: tuple[PartFigures, ...]

    @property
    def slowest_ms(self) -> float:
        """The time of the slowest step, which bounds the throughput."""
        return max(part.time_ms for part in self.parts)


def show(report: SplitReport, *, as_json: bool) -> None:
    """Print the table, or JSON."""
    if as_json:
        print(json.dumps(as_values(report), indent=2))
        return
    table = Listing(COLUMNS)
    for part in report.parts:
        taken = sum(part.received_bytes.values())
        names = ", ".join(part.received_bytes)
        table.add(part.name, str(part.nodes), f"{part.time_ms:.3g}", f"{taken / 1e3:,.1f}", names)
    screen = console()
    screen.print(table)
    screen.print(_in_words(report), markup=False, soft_wrap=True)


def as_values(report: SplitReport) -> dict[str, Any]:
    """Return the report as JSON values; units are in the names."""
    return {
        "model": str(report.model),
        "folder": str(report.folder),
        "places": report.cuts,
        "largestDifference": report.difference,
        "comparedOn": report.compared,
        "wholeMs": report.whole_ms,
        "slowestMs": report.slowest_ms,
        "steps": [
            {
                "name": part.name,
                "nodes": part.nodes,
                "timeMs": part.time_ms,
                "receivedBytes": dict(part.received_bytes),
            }
            for part in report.parts
        ],
    }


def _in_words(report: SplitReport) -> str:
    total_ms = sum(part.time_ms for part in report.parts)
    return (
        f"{report.cuts} places to cut were found. The model takes {report.whole_ms:.3g} ms, its "
        f"steps {total_ms:.3g} ms one after the other, the slowest {report.slowest_ms:.3g} ms\n"
        f"answers compared on {report.compared}: the largest difference is "
        f"{report.difference:.2g}\n"
        f"written to {report.folder}"
    )
