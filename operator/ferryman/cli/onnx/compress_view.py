"""What ``ferryman compress`` shows: a variant beside its original, and its entry in a pipeline."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.core.compression import speed
from ferryman.core.compression.accuracy import Metric, written
from ferryman.core.compression.speed import CONFIDENCE, Speed, SpeedVerdict

COLUMNS = (
    Column("MODEL"),
    Column("MB", right=True),
    Column("MS", right=True),
    Column("ACCURACY", right=True),
)
_VERDICTS: Final = {
    SpeedVerdict.FASTER: "{ratio:.2f} times as fast",
    SpeedVerdict.SLOWER: "slower, {ratio:.2f} times as fast",
    SpeedVerdict.SAME: "no faster and no slower that could be measured, {ratio:.2f} times as fast",
}


@dataclass(frozen=True)
class CompressReport:
    """A variant, and what it is worth."""

    model: Path
    variant: Path
    kind: str
    metric: Metric
    rows: str
    """What was compared, in words."""
    compared: tuple[str, ...]
    """The outputs that were."""
    original_accuracy: float
    accuracy: float
    floor: float | None
    original_bytes: int
    variant_bytes: int
    speed: Speed
    batch_size: int
    threads: int
    instruction_sets: tuple[str, ...]

    @property
    def entry(self) -> dict[str, Any]:
        """What the step of a pipeline says of it: it was run on a CPU."""
        return {
            "name": self.kind,
            "storageUri": f"pvc://models/{self.variant.stem}",
            "accuracy": written(self.accuracy),
            "speeds": [{"processor": "cpu", "speedup": speed.written(self.speed)}],
        }


def show(report: CompressReport, *, as_json: bool) -> None:
    """Print the table and the entry, or JSON."""
    if as_json:
        print(json.dumps(as_values(report), indent=2))
        return
    table = Listing(COLUMNS)
    rows = (
        ("original", report.original_bytes, report.speed.original_ms, report.original_accuracy),
        (report.kind, report.variant_bytes, report.speed.variant_ms, report.accuracy),
    )
    for name, size_bytes, time_ms, share in rows:
        table.add(name, f"{size_bytes / 1e6:,.2f}", f"{time_ms:.3g}", written(share))
    screen = console()
    screen.print(table)
    screen.print(_in_words(report), markup=False, soft_wrap=True)
    screen.print("\n# its folder on the claim holds the file as 1/model.onnx", markup=False)
    text = yaml.safe_dump({"variants": [report.entry]}, sort_keys=False)
    screen.print(text.rstrip(), markup=False, soft_wrap=True, highlight=False)


def as_values(report: CompressReport) -> dict[str, Any]:
    """Return the report as JSON values; units are in the names."""
    found = report.speed
    return {
        "model": str(report.model),
        "variant": str(report.variant),
        "metric": report.metric,
        "comparedOn": report.rows,
        "outputs": list(report.compared),
        "originalAccuracy": report.original_accuracy,
        "accuracy": report.accuracy,
        "floor": report.floor,
        "originalBytes": report.original_bytes,
        "variantBytes": report.variant_bytes,
        "speed": {
            "verdict": found.verdict,
            "originalMs": found.original_ms,
            "variantMs": found.variant_ms,
            "ratio": found.ratio,
            "least": found.least,
            "most": found.most,
        },
        "batchSize": report.batch_size,
        "threads": report.threads,
        "instructionSets": list(report.instruction_sets),
        "variants": [report.entry],
    }


def _in_words(report: CompressReport) -> str:
    seen = report.speed
    sets = ", ".join(report.instruction_sets) or "instruction sets unknown"
    found = (
        f"on this CPU ({sets}; threads: {report.threads}, rows: {report.batch_size}) it is "
        f"{_VERDICTS[seen.verdict].format(ratio=seen.ratio)} "
        f"({CONFIDENCE:.0%} interval {seen.least:.2f} to {seen.most:.2f})"
    )
    lines = [
        found,
        f"accuracy: {report.metric}, of {', '.join(report.compared)}, on {report.rows}",
    ]
    if report.floor is not None and report.accuracy < report.floor:
        lines.append(f"the accuracy is below the floor of {report.floor:g}")
    return "\n".join([*lines, f"written to {report.variant}"])
