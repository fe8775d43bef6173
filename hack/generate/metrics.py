"""``docs/reference/metrics.md``: every metric of the operator, from the one table of them."""

from collections.abc import Iterable, Mapping
from typing import Final

from ferryman.core.vocabulary.metrics import METRICS, MetricFamily, Subject

_INTRODUCTION: Final = """\
<!-- Generated from core/vocabulary/metrics.py by `python -m hack.generate`; do not edit. -->

# Metrics

The operator serves these at `/metrics` on port 8080 (Service `ferryman-operator`), beside
`/healthz` (fails where a restart helps) and `/readyz` (fails also while the API server is silent,
and says so). Durations are in seconds, shares from 0 to 1. What is unknown is absent, never 0.
Figures of traffic are those of the last window with traffic.

Serving pods have Triton's own metrics on port 8002: [monitoring.md](../monitoring.md).
"""
_TITLES: Final[Mapping[Subject, str]] = {
    "model": "Models",
    "pipeline": "Pipelines",
    "step": "Steps of pipelines",
    "node": "Nodes",
    "operator": "The operator",
    "process": "Its process",
}
_FORMER: Final = """\
## Former names

These are exposed beside the present names in this version, and go with the next.

| former name | present name | |
|---|---|---|
"""


def metrics_reference() -> str:
    """Return the whole document."""
    sections = "\n".join(_section(subject) for subject in _TITLES)
    return f"{_INTRODUCTION}\n{sections}\n{_FORMER}" + "".join(f"{row}\n" for row in _former())


def _section(subject: Subject) -> str:
    head = f"## {_TITLES[subject]}\n\n| metric | kind | labels | |\n|---|---|---|---|\n"
    chosen = (metric for metric in METRICS.values() if metric.subject == subject)
    return head + "".join(f"{row}\n" for row in _rows(chosen))


def _rows(metrics: Iterable[MetricFamily]) -> Iterable[str]:
    for metric in metrics:
        labels = ", ".join(metric.labels)
        more = "; **goes with the next version**" if metric.going else ""
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning}{more} |"


def _former() -> Iterable[str]:
    for metric in METRICS.values():
        if metric.former is not None:
            times = f"times {metric.former.factor:g}" if metric.former.factor != 1 else "the same"
            yield f"| `{metric.former.name}` | `{metric.name}` | {times} |"
