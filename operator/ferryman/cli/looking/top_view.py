"""What serves as rows: the worst first."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ferryman.api.conditions import ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli.tables import Cell, Column, Listing
from ferryman.core.scaling import desired

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


_Shown = tuple[Column, Callable[[Row], Cell]]


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
    applied = status.batching.applied
    return _row(
        "model",
        model,
        per_second=observed.inferences_per_second if observed else None,
        bound=applied.max_batch_size if applied else None,
        replicas=model.replicas,
        needed=desired.shown(status.batching, model.replicas),
    )


def _of_pipeline(pipeline: InferencePipeline) -> Row:
    status, observed = pipeline.status, pipeline.status.observed
    return _row(
        "pipeline",
        pipeline,
        per_second=observed.requests_per_second if observed else None,
        bound=None,  # each step has its own
        replicas=pipeline.spec.replicas,
        needed=desired.shown(status.balancing, pipeline.replicas),
    )


def _row(
    kind: str,
    subject: InferenceModel | InferencePipeline,
    *,
    per_second: float | None,
    bound: int | None,
    replicas: int,
    needed: int | None,
) -> Row:
    """Return the row of what models and pipelines have alike, and of what differs."""
    status, latency = subject.status, subject.spec.objectives.latency
    ready = find(status.conditions, ConditionType.READY)
    met = find(status.conditions, ConditionType.OBJECTIVES_MET)
    return Row(
        subject.key.namespace,
        subject.key.name,
        kind,
        ready.status if ready else "Unknown",
        ready.reason if ready else "",
        met.status if met else "Unknown",
        status.observed.latency_milliseconds if status.observed else None,
        float(latency.target_milliseconds) if latency else None,
        per_second,
        bound,
        status.ready_replicas,
        replicas,
        needed,
        status.placement.node_type if status.placement else None,
    )


def table(found: Sequence[Row], *, wide: bool) -> Listing:
    """Return the rows as a table."""
    columns = [*_COLUMNS, *(_WIDE if wide else ())]
    listing = Listing((column for column, _ in columns), lines=False)
    for row in found:
        listing.add(*(cell(row) for _, cell in columns))
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


def _word(value: str) -> Text:
    return Text(value, _STYLES[value])


def _right(title: str, value: Callable[[Row], float | None]) -> _Shown:
    return Column(title, right=True), lambda row: _figure(value(row))


#: What is shown, and of which part of a row.
_COLUMNS: Final[tuple[_Shown, ...]] = (
    (Column("NAMESPACE"), lambda row: row.namespace),
    (Column("NAME"), lambda row: row.name),
    (Column("KIND"), lambda row: row.kind),
    (Column("READY"), lambda row: _word(row.ready)),
    (Column("MET"), lambda row: _word(row.objectives_met)),
    _right("LATENCY ms", lambda row: row.latency_milliseconds),
    _right("TARGET ms", lambda row: row.target_milliseconds),
    _right("PER SECOND", lambda row: row.per_second),
    _right("BATCH", lambda row: row.max_batch_size),
    (Column("REPLICAS", right=True), lambda row: f"{row.ready_replicas}/{row.replicas}"),
    _right("NEEDED", lambda row: row.desired_replicas),
)
_WIDE: Final[tuple[_Shown, ...]] = (
    (Column("NODE TYPE"), lambda row: row.node_type or _UNKNOWN),
    (Column("REASON"), lambda row: row.reason),
)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))
