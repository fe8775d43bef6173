"""How an explanation looks: tables for people, JSON for programs."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import CandidateStatus, ObservedStatus, PlacementStatus
from ferryman.api.scaling import ScalingStatus
from ferryman.cli.tables import Column, Listing
from ferryman.core.wording import describe_more

NOTHING = "-"
UNKNOWN = "unknown"
SHOWN_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Explanation:
    """A model, where it is placed as its status says it, and what a fresh decision would say."""

    model: InferenceModel
    placement: PlacementStatus | None
    """As the operator reports it; None of a model that goes before it was placed."""
    today: tuple[CandidateStatus, ...]
    """Every candidate as a fresh decision would list it now."""
    scaling: ScalingStatus | None = None
    """How many replicas there are to be, and why; None where Ferryman does not scale it."""

    @property
    def candidates(self) -> tuple[CandidateStatus, ...]:
        """Every candidate as the decision that stands listed it."""
        return () if self.placement is None else self.placement.candidates

    @property
    def fresh_choice(self) -> CandidateStatus | None:
        """What would be chosen now, if that differs from where the model is."""
        best = next((candidate for candidate in self.today if candidate.chosen), None)
        if best is None or self.is_place(best):
            return None
        return best

    @property
    def is_kept(self) -> bool:
        """Whether the model was placed there before."""
        before = self.model.status.placement
        return (
            before is not None
            and self.placement is not None
            and before.since is not None
            and (before.since == self.placement.since)
        )

    def is_place(self, candidate: CandidateStatus) -> bool:
        """Whether the model is placed there."""
        return self.placement is not None and (candidate.node_type, candidate.processor) == (
            self.placement.node_type,
            self.placement.processor,
        )


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Return the explanation as JSON values, with the API's field names."""
    model = explanation.model
    _, namespace, name = model.key
    observed = model.status.observed
    return {
        "namespace": namespace,
        "name": name,
        "placement": explanation.placement.as_dict() if explanation.placement else None,
        "candidates": [candidate.as_dict() for candidate in explanation.candidates],
        "today": [candidate.as_dict() for candidate in explanation.today],
        "objectives": model.spec.objectives.as_dict(),
        "observed": observed.as_dict() if observed else None,
        "batching": model.status.batching.as_dict(),
        "scaling": explanation.scaling.as_dict() if explanation.scaling else None,
        "conditions": [condition.as_dict() for condition in model.status.conditions],
    }


def show(explanation: Explanation, console: Console) -> None:
    """Print the explanation as tables."""
    for part in _parts(explanation):
        console.print(part, soft_wrap=isinstance(part, Text))


def _parts(explanation: Explanation) -> Iterator[RenderableType]:
    yield Text(explanation.model.key.qualified_name, style="bold")
    yield from place(explanation)
    yield facts((*_tuning_facts(explanation.model), *_replica_facts(explanation)))
    if explanation.model.status.batching.changes:
        yield _changes(explanation.model)
    if explanation.model.status.conditions:
        yield conditions(explanation.model.status.conditions)


def place(explanation: Explanation) -> Iterator[RenderableType]:
    """Yield where it is placed and why, and every candidate."""
    yield facts(_placement_facts(explanation))
    if explanation.candidates:
        yield _candidates(explanation, explanation.candidates, "Candidates")
    if explanation.today and explanation.today != explanation.candidates:
        yield _candidates(explanation, explanation.today, "Candidates as of now")


def facts(told: Iterable[tuple[str, str]]) -> Table:
    """Return facts under each other, each with its title."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for title, text in told:
        table.add_row(Text(title), Text(text))
    return table


def _placement_facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    placement, best = explanation.placement, explanation.fresh_choice
    if placement is None:
        yield "Placed on", "nothing: the model is being deleted"
        return
    if placement.node_type:
        product = f", {placement.product}" if placement.product else ""
        further = f", and {', '.join(f)}" if (f := placement.further_node_types) else ""
        yield "Placed on", f"{placement.node_type} ({placement.processor}{product}){further}"
    else:
        yield "Placed on", "nothing"
    yield "Why", f"{placement.reason}: {placement.message}"
    if placement.since and explanation.is_kept:
        yield "Since", f"{placement.since}; a placement is kept"
    if placement.node_type and best is not None:
        yield "Today", f"a fresh decision would choose {best.node_type} ({best.processor})"


def _candidates(explanation: Explanation, listed: Iterable[CandidateStatus], title: str) -> Listing:
    terms = ("BENCHMARK", "MEMORY", "UTILISATION", "WORKLOAD")
    columns = (
        *map(Column, ("", "NODE TYPE", "PROCESSOR", "NODE")),
        *(Column(name, right=True) for name in terms),
        Column("REASON", below=True),
        Column("WHY", fold=24, below=True),
    )
    table = Listing(columns, title=title)
    for candidate in listed:
        here = explanation.is_place(candidate)
        table.add(*_cells(candidate, here=here), style="green" if here else "")
    return table


def _cells(candidate: CandidateStatus, *, here: bool) -> Iterator[Text]:
    yield Text("→" if here else "")
    yield Text(candidate.node_type)
    yield Text(candidate.processor)
    yield Text(candidate.node or NOTHING)
    # A term that a scored candidate lacks is unknown; one without a score was never looked at.
    missing = NOTHING if candidate.workload is None else UNKNOWN
    terms = (candidate.benchmark, candidate.memory, candidate.utilisation, candidate.workload)
    for term in terms:
        yield Text(missing if term is None else f"{term:.2f}")
    yield Text(candidate.reason)
    yield Text(_why(candidate))


def _why(candidate: CandidateStatus) -> str:
    """Return the message without the sum, which stands in the columns."""
    _, separator, comparison = candidate.message.partition("; ")
    return comparison if candidate.workload is not None and separator else candidate.message


def _tuning_facts(model: InferenceModel) -> Iterator[tuple[str, str]]:
    batching = model.status.batching
    yield "Objectives", "; ".join(_objectives(model))
    yield "Observed", _observed(model.status.observed)
    yield "Batching", describe(batching.applied)
    if batching.recommended:
        yield "Recommended", describe(batching.recommended)
    if batching.reason:
        yield "Why", f"{batching.reason}: {batching.message}"
    warm = batching.warm_start
    if warm is not None:
        yield "Warm start", f"{warm.outcome} ({warm.reason}) at {warm.time}: {warm.message}"


def _replica_facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    """Yield how many replicas there are to be, and why not more and not fewer."""
    spec, scaling = explanation.model.spec.scaling, explanation.scaling
    if spec is None or scaling is None:
        return
    yield "Replicas", f"{scaling.replicas}, of {spec.min_replicas} to {spec.max_replicas}"
    yield "Why", f"{scaling.reason}: {scaling.message}"


def _objectives(model: InferenceModel) -> Iterator[str]:
    objectives = model.spec.objectives
    if objectives.latency:
        latency = objectives.latency
        yield f"p{latency.percentile} at most {latency.target_milliseconds} ms"
    if objectives.throughput:
        yield f"at least {objectives.throughput.min_per_second} inferences/s"


def _observed(observed: ObservedStatus | None) -> str:
    if observed is None:
        return "nothing yet"
    latency = NOTHING
    if observed.latency_milliseconds is not None:
        estimated = " (estimated)" if observed.latency_estimated else ""
        latency = f"{observed.latency_milliseconds:g} ms{estimated}"
    rejected = f", {observed.rejected_requests} rejected" if observed.rejected_requests else ""
    if observed.rejected_requests is None and observed.failed_requests:
        rejected = ", or rejected ones"
    batch = NOTHING if observed.mean_batch_size is None else f"{observed.mean_batch_size:g}"
    return (
        f"latency {latency}, {observed.inferences_per_second:g} inferences/s, "
        f"mean batch {batch}, {observed.failed_requests} failed requests{rejected}"
    )


def describe(batching: Batching | None) -> str:
    """Return a batching in words."""
    if batching is None:
        return "not decided yet"
    parts = (
        f"max_batch_size {batching.max_batch_size}",
        f"queue delay {batching.max_queue_delay_microseconds} µs",
        f"instances {batching.instances}",
        *describe_more(batching),
    )
    return ", ".join(parts)


def _changes(model: InferenceModel) -> Listing:
    columns = map(Column, ("TIME", "FROM", "TO", "BY", "OUTCOME", "REASON"))
    table = Listing((*columns, Column("WHY", fold=24, below=True)), title="Last changes")
    for change in model.status.batching.changes[:SHOWN_CHANGES]:
        before, after = _short(change.before), _short(change.after)
        words = (change.time, before, after, change.actuator, change.outcome, change.reason)
        table.add(*words, change.message)
    return table


def _short(batching: Batching) -> str:
    delay_us = batching.max_queue_delay_microseconds
    parts = (f"{batching.max_batch_size} / {delay_us} µs / {batching.instances}",)
    return ", ".join((*parts, *describe_more(batching)))


def conditions(told: Iterable[Condition]) -> Listing:
    """Return conditions as a table."""
    columns = map(Column, ("TYPE", "STATUS", "REASON"))
    table = Listing((*columns, Column("MESSAGE", fold=24, below=True)), title="Conditions")
    for condition in told:
        table.add(condition.type, condition.status, condition.reason, condition.message)
    return table
