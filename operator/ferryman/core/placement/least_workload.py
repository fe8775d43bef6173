"""Policy ``LeastWorkload``: benchmark term, memory and utilisation, added up; the least wins."""

from collections.abc import Sequence

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.inference_model_status import CandidateStatus
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.filters import FilterContext
from ferryman.core.placement.workload import Workload, rank

_DECIMALS = 3


def compare(question: FilterContext, found: Sequence[Candidate]) -> list[CandidateStatus]:
    """Return the candidates that could serve with their workloads, the least one first."""
    weights = question.model.spec.placement.weights
    ranked = rank((candidate.contender for candidate in found if candidate.contender), weights)
    return [_scored(place, ranked, weights) for place in range(len(ranked))]


def _scored(place: int, ranked: Sequence[Workload], weights: WorkloadWeights) -> CandidateStatus:
    workload, best = ranked[place], ranked[0]
    chosen = place == 0
    comparison = _least_of(ranked) if chosen else _lost_to(best, workload)
    return CandidateStatus(
        node_type=workload.node_type,
        processor=workload.processor,
        chosen=chosen,
        node=workload.node,
        benchmark=round(workload.benchmark, _DECIMALS),
        memory=_rounded(workload.memory),
        utilisation=_rounded(workload.utilisation),
        workload=round(workload.total, _DECIMALS),
        reason=Reason.LEAST_WORKLOAD if chosen else Reason.MORE_WORKLOAD,
        message=f"{_sum(workload, weights)}; {comparison}",
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, _DECIMALS)


def _sum(workload: Workload, weights: WorkloadWeights) -> str:
    """Return the sum in words; a term that is left out for all is named after it."""
    counted = workload.counted
    terms = (
        (weights.benchmark, "benchmark", workload.benchmark, workload.benchmark),
        (weights.memory, "memory", workload.memory, counted.memory),
        (weights.utilisation, "utilisation", workload.utilisation, counted.utilisation),
    )
    parts = [
        f"{'' if weight == 1 else f'{weight} x '}{_term(name, seen, value)}"
        for weight, name, seen, value in terms
        if value is not None
    ]
    missing = [name for _, name, _, value in terms if value is None]
    without = f" (without {' and '.join(missing)}, unknown for a whole class)" if missing else ""
    return f"workload {workload.total:.2f} = {' + '.join(parts)}{without}"


def _term(name: str, seen: float | None, value: float) -> str:
    """Return a term; where it is unknown, what stands for it."""
    return f"{name} {value:.2f}" if seen is not None else f"unknown {name} as {value:.2f}"


def _least_of(ranked: Sequence[Workload]) -> str:
    if len(ranked) == 1:
        return "the only candidate that can serve"
    runner_up = ranked[1]
    return f"the least of {len(ranked)}, next is {runner_up.node_type} with {runner_up.total:.2f}"


def _lost_to(best: Workload, workload: Workload) -> str:
    if workload.total > best.total:
        return f"{workload.total - best.total:.2f} more than {best.node_type}"
    why = "is faster" if best.benchmark < workload.benchmark else "comes first by name"
    return f"equal to {best.node_type}, which {why}"
