"""What serves as rows: the worst first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ferryman.api.conditions import Condition, ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.objectives import Objectives
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli.tables import Column, Listing
from ferryman.core.batching import desired

_UNKNOWN: Final = "-"
_STYLES: Final = {"True": "green", "False": "red", "Unknown": ""}


@dataclass(frozen=True, slots=True)
class Row:
    """One model or pipeline; what is unknown is None."""

    namespace: str
    name: str
    kind: str
    ready: str
    reason: str
    objectives_met: str
    latency_milliseconds: float | None
    target_milliseconds: float | None
    per_second: float | None
    max_batch_size: int | None
    ready_replicas: int
    replicas: int
    desired_replicas: int | None
    node_type: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs, with names as the API has them."""
        return {_camel(name): value for name, value in asdict(self).items()}

    @property
    def badness(self) -> tuple[bool, bool, float]:
        """What rows are ordered by: not ready, objectives missed, latency as a share of target."""
        share = (self.latency_milliseconds or 0.0) / (self.target_milliseconds or float("inf"))
        return self.ready == "False", self.objectives_met == "False", share


def rows(models: Iterable[InferenceModel], pipelines: Iterable[InferencePipeline]) -> list[Row]:
    """Return a row for each, the worst first."""
    found = [*map(_of_model, models), *map(_of_pipeline, pipelines)]
    return sorted(
        sorted(found, key=lambda row: (row.namespace, row.name, row.kind)),
        key=lambda row: row.badness,
        reverse=True,
    )


def _of_model(model: InferenceModel) -> Row:
    status, observed = model.status, model.status.observed
    applied, placement = status.batching.applied, status.placement
    return Row(
        model.key.namespace,
        model.key.name,
        "model",
        *_conditions(status.conditions),
        observed.latency_milliseconds if observed else None,
        _target(model.spec.objectives),
        observed.inferences_per_second if observed else None,
        applied.max_batch_size if applied else None,
        status.ready_replicas,
        model.replicas,
        desired.shown(status.batching, model.replicas),
        placement.node_type if placement else None,
    )


def _of_pipeline(pipeline: InferencePipeline) -> Row:
    status, observed = pipeline.status, pipeline.status.observed
    placement = status.placement
    return Row(
        pipeline.key.namespace,
        pipeline.key.name,
        "pipeline",
        *_conditions(status.conditions),
        observed.latency_milliseconds if observed else None,
        _target(pipeline.spec.objectives),
        observed.requests_per_second if observed else None,
        None,
        status.ready_replicas,
        pipeline.spec.replicas,
        status.balancing.desired_replicas,
        placement.node_type if placement else None,
    )


def _conditions(conditions: Iterable[Condition]) -> tuple[str, str, str]:
    known = tuple(conditions)
    ready, met = find(known, ConditionType.READY), find(known, ConditionType.OBJECTIVES_MET)
    return (
        ready.status if ready else "Unknown",
        ready.reason if ready else "",
        met.status if met else "Unknown",
    )


def _target(objectives: Objectives) -> float | None:
    return float(objectives.latency.target_milliseconds) if objectives.latency else None


def table(found: Sequence[Row], *, wide: bool) -> Listing:
    """Return the rows as a table."""
    figures = ("LATENCY ms", "TARGET ms", "PER SECOND", "BATCH", "REPLICAS", "NEEDED")
    columns = [
        *map(Column, ("NAMESPACE", "NAME", "KIND", "READY", "MET")),
        *(Column(title, right=True) for title in figures),
        *(map(Column, ("NODE TYPE", "REASON")) if wide else ()),
    ]
    listing = Listing(columns, lines=False)
    for row in found:
        listing.add(
            row.namespace,
            row.name,
            row.kind,
            Text(row.ready, _STYLES[row.ready]),
            Text(row.objectives_met, _STYLES[row.objectives_met]),
            _figure(row.latency_milliseconds),
            _figure(row.target_milliseconds),
            _figure(row.per_second),
            _figure(row.max_batch_size),
            f"{row.ready_replicas}/{row.replicas}",
            _figure(row.desired_replicas),
            *((row.node_type or _UNKNOWN, row.reason) if wide else ()),
        )
    return listing


@contextmanager
def live(
    console: Console, first: Sequence[Row], *, wide: bool
) -> Iterator[Callable[[Sequence[Row]], None]]:
    """Yield what shows rows in place of those before, on a screen of its own."""
    with Live(table(first, wide=wide), console=console, screen=True, auto_refresh=False) as shown:
        yield lambda found: shown.update(table(found, wide=wide), refresh=True)


def _figure(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"  # noqa: PLR2004


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
