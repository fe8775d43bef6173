"""The pictures of docs/concepts, from committed results: ``python -m benchmarks.concepts``."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import twin_report
from benchmarks.arena import svg
from benchmarks.common import RESULTS, ROOT

PLOTS: Final = ROOT / "docs" / "concepts"
_FIRST_SEED: Final = 0
_SLACK: Final = {"bound 128, delay 0": "bound-128", "oracle": "oracle", "Guarded": "guarded"}
_PREDICTED: Final = {"p99": "p99_ms", "p50": "p50_ms", "mean batch size": "mean_batch"}
_FIFTHS: Final = range(0, 101, 20)


def plots() -> dict[str, str]:
    """Return each picture by its name."""
    return {
        "economy": _economy(),
        "changes": _changes(),
        "twin": _twin(),
        "reference": _reference(),
    }


def _economy() -> str:
    lines = {
        title: _result(f"real/slack/{name}-{_FIRST_SEED}")["busySeries"]
        for title, name in _SLACK.items()
    }
    unit = "device seconds in windows of 10 s, first seed"
    return svg.chart("slack, on a real Triton: what the same answers cost", lines, unit)


def _changes() -> str:
    runs = _latest("live-changes")["runs"]
    lines = {run["actuator"]: sorted(each["took_s"] for each in run["changes"]) for run in runs}
    title = "how long a change of batching takes to be carried out"
    over = "percent of the changes"
    return svg.chart(title, lines, "seconds at most", over=over, at=_FIFTHS)


def _twin() -> str:
    cases = [case for case in _latest("twin-validation")["cases"] if not twin_report.rejects(case)]
    lines = {
        title: sorted(100 * abs(case["error"][figure]) for case in cases)
        for title, figure in _PREDICTED.items()
    }
    over = f"percent of {len(cases)} configurations"
    title = "how far predictions are from what a real Triton does"
    return svg.chart(title, lines, "percent off at most", over=over, at=_FIFTHS)


def _reference() -> str:
    tables = _latest("reference")["tables"]
    lines = {node: _images_per_s(runs) for node, runs in tables.items()}
    sizes = [point["batchSize"] for point in next(iter(tables.values()))[0]["points"]]
    title = "the load performance tables of two node types: ResNet50 on CPUs"
    return svg.chart(
        title, lines, "images per second, median of the runs", over="batch size", at=sizes
    )


def _images_per_s(runs: list[Mapping[str, Any]]) -> list[float]:
    each = [[point["imagesPerSecond"] for point in run["points"]] for run in runs]
    return [median(values) for values in zip(*each, strict=True)]


def _latest(name: str) -> dict[str, Any]:
    return _read(max(RESULTS.glob(f"{name}-[0-9]*.json")))


def _result(name: str) -> dict[str, Any]:
    return _read(RESULTS / f"{name}.json")


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Write the pictures."""
    for name, picture in plots().items():
        (PLOTS / f"{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
