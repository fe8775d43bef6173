"""Where a model is placed: the node type with the least workload, and it stays there.

A placement is decided once. It is decided again only when the node type has no node any more,
or when the model's specification or its runtime rule the processor class out; what serves keeps
serving, whatever the utilisation of the day.
"""

from collections.abc import Sequence
from datetime import datetime

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import WorkloadWeights
from ferryman.api.inference_model_status import CandidateStatus, PlacementStatus
from ferryman.core import candidates, times
from ferryman.core.candidates import Candidate
from ferryman.core.filters import Question, Refusal, permits
from ferryman.core.snapshot import NodeView, Snapshot
from ferryman.core.workload import Workload, rank

#: What status may hold (PlacementStatus.candidates).
MAX_CANDIDATES = 64
#: Stands for the node type of nodes on which no agent has reported.
UNKNOWN = "unknown"

_DECIMALS = 3
_FEASIBLE = {Reason.LEAST_WORKLOAD, Reason.MORE_WORKLOAD, Reason.RETAINED, Reason.FEASIBLE}


def choose(snapshot: Snapshot, now: datetime) -> PlacementStatus:
    """Decide where the model of a snapshot is placed; list every candidate with its score.

    Without an acceptable node type, ``node_type`` is None and ``message`` says what is missing.
    """
    previous = snapshot.model.status.placement
    if snapshot.runtime is None:
        return _without_runtime(snapshot, previous)
    question = Question(model=snapshot.model, runtime=snapshot.runtime, now=now)
    if previous is None or previous.node_type is None:
        return _decided(question, snapshot.nodes)
    over = _why_over(question, snapshot.nodes, previous)
    if over is not None:
        return _decided(question, snapshot.nodes, f"placed anew because {over}: ")
    return _retained(question, snapshot.nodes, previous)


def score(snapshot: Snapshot, now: datetime) -> tuple[CandidateStatus, ...]:
    """Return what a fresh decision would say of every candidate now, the best one first."""
    if snapshot.runtime is None:
        return ()
    question = Question(model=snapshot.model, runtime=snapshot.runtime, now=now)
    return _decided(question, snapshot.nodes).candidates


def _without_runtime(snapshot: Snapshot, previous: PlacementStatus | None) -> PlacementStatus:
    name = snapshot.model.spec.runtime_ref.name
    reason, message = Reason.RUNTIME_NOT_FOUND, f"there is no InferenceRuntime {name}: create it"
    kept = previous or PlacementStatus(reason=reason, message=message)
    return kept.with_(reason=reason, message=message)


def _why_over(
    question: Question, nodes: Sequence[NodeView], previous: PlacementStatus
) -> str | None:
    """Return why the previous placement cannot stay, or None when it can."""
    refusal = permits(question.model, question.runtime, previous.processor or "")
    if refusal is not None:
        return refusal.message
    if any(_has_type(node, previous.node_type) for node in nodes):
        return None
    return f"no node of type {previous.node_type} is left"


def _has_type(node: NodeView, node_type: str | None) -> bool:
    return node.profile is not None and node.profile.node_type == node_type


def _retained(
    question: Question, nodes: Sequence[NodeView], previous: PlacementStatus
) -> PlacementStatus:
    """Keep the placement, and its candidates while the same ones are feasible or refused alike.

    Scores follow utilisation, which never rests: listing today's scores would write status
    without end, and would hide those that explain the decision. ``score`` computes today's.
    """
    listed = tuple(
        _while_retained(candidate, previous) for candidate in _decided(question, nodes).candidates
    )
    same = _signature(listed) == _signature(previous.candidates)
    since = f" since {previous.since}" if previous.since else ""
    return previous.with_(
        reason=Reason.RETAINED,
        message=f"on {previous.node_type} ({previous.processor}){since}; a placement is kept",
        candidates=previous.candidates if same else listed,
    )


def _while_retained(candidate: CandidateStatus, previous: PlacementStatus) -> CandidateStatus:
    chosen = (candidate.node_type, candidate.processor) == (previous.node_type, previous.processor)
    if candidate.workload is None:
        return candidate.with_(chosen=chosen)
    reason = Reason.RETAINED if chosen else Reason.FEASIBLE
    message = f"{_before_comparison(candidate.message)}; " + (
        "the placement is kept" if chosen else f"the placement on {previous.node_type} is kept"
    )
    return candidate.with_(chosen=chosen, reason=reason, message=message)


def _before_comparison(message: str) -> str:
    return message.partition(";")[0]


def _signature(listed: Sequence[CandidateStatus]) -> set[tuple[str, str, str]]:
    return {
        (
            candidate.node_type,
            candidate.processor,
            Reason.FEASIBLE if candidate.reason in _FEASIBLE else candidate.reason,
        )
        for candidate in listed
    }


def _decided(question: Question, nodes: Sequence[NodeView], because: str = "") -> PlacementStatus:
    found = candidates.find(question, nodes)
    weights = question.model.spec.placement.weights
    ranked = rank((c.contender for c in found if c.contender), weights)
    scored = [_scored(place, ranked, weights) for place in range(len(ranked))]
    refused = [_refused(candidate, candidate.refusal) for candidate in found if candidate.refusal]
    listed = (*scored, *refused, *_without_profile(nodes))[:MAX_CANDIDATES]
    if not ranked:
        return _nowhere(listed, because)
    best = ranked[0]
    return PlacementStatus(
        node_type=best.node_type,
        processor=best.processor,
        product=next(c.product for c in found if _is(c, best)),
        preferred_node=best.node,
        since=times.text(question.now),
        reason=Reason.LEAST_WORKLOAD,
        message=f"{because}{best.node_type} ({best.processor}): {scored[0].message}",
        candidates=listed,
    )


def _is(candidate: Candidate, workload: Workload) -> bool:
    return (candidate.node_type, candidate.processor) == (workload.node_type, workload.processor)


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
        memory=round(workload.memory, _DECIMALS),
        utilisation=round(workload.utilisation, _DECIMALS),
        workload=round(workload.total, _DECIMALS),
        reason=Reason.LEAST_WORKLOAD if chosen else Reason.MORE_WORKLOAD,
        message=f"{_sum(workload, weights)}; {comparison}",
    )


def _sum(workload: Workload, weights: WorkloadWeights) -> str:
    terms = (
        (weights.benchmark, "benchmark", workload.benchmark),
        (weights.memory, "memory", workload.memory),
        (weights.utilisation, "utilisation", workload.utilisation),
    )
    parts = (
        f"{name} {value:.2f}" if weight == 1 else f"{weight} x {name} {value:.2f}"
        for weight, name, value in terms
    )
    return f"workload {workload.total:.2f} = {' + '.join(parts)}"


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


def _refused(candidate: Candidate, refusal: Refusal) -> CandidateStatus:
    return CandidateStatus(
        node_type=candidate.node_type,
        processor=candidate.processor,
        node=candidate.node,
        reason=refusal.reason,
        message=refusal.message,
    )


def _without_profile(nodes: Sequence[NodeView]) -> list[CandidateStatus]:
    """Tell of nodes without a profile: those that keep agents away, and those that should not."""
    silent = [node for node in nodes if not (node.profile and node.profile.node_type)]
    kept_away = [f"{n.name} ({', '.join(n.untolerated_taints)})" for n in silent if _is_tainted(n)]
    missing = [node.name for node in silent if not _is_tainted(node)]
    found = []
    if missing:
        names = ", ".join(sorted(missing))
        message = f"no agent has reported from {names} yet: see whether it runs there"
        found.append(_unknown(Reason.NO_NODE_PROFILE, message))
    if kept_away:
        names = ", ".join(sorted(kept_away))
        message = f"no agent reports from nodes whose taints keep pods away: {names}"
        found.append(_unknown(Reason.NODE_NOT_READY, message))
    return found


def _is_tainted(node: NodeView) -> bool:
    return bool(node.untolerated_taints)


def _unknown(reason: Reason, message: str) -> CandidateStatus:
    return CandidateStatus(node_type=UNKNOWN, processor=UNKNOWN, reason=reason, message=message)


def _nowhere(listed: tuple[CandidateStatus, ...], because: str) -> PlacementStatus:
    known = any(status.node_type != UNKNOWN for status in listed)
    refusals = "; ".join(
        f"{status.node_type} ({status.processor}): {status.message}" for status in listed
    )
    return PlacementStatus(
        reason=Reason.NO_CANDIDATE if known else Reason.NO_NODE_PROFILE,
        message=f"{because}no node type can serve the model: {refusals or 'there are no nodes'}",
        candidates=listed,
    )
