"""A fresh decision about a place: the best candidate among all, or why there is none."""

from collections.abc import Iterable, Sequence

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    MAX_FURTHER_NODE_TYPES,
    CandidateStatus,
    PlacementStatus,
)
from ferryman.core import timestamps
from ferryman.core.placement import candidates, policies
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.filters import FilterContext
from ferryman.core.snapshot import Advice, NodeView


def decided(
    question: FilterContext, nodes: Sequence[NodeView], because: str = ""
) -> PlacementStatus:
    """Return the best place, or nowhere; ``because`` comes before the reason."""
    found = candidates.find(question, nodes)
    listed = policies.listed(question, nodes, found)
    best = next((candidate for candidate in listed if candidate.chosen), None)
    if best is None:
        return _nowhere(question, listed, because)
    message = f"{because}{best.node_type} ({best.processor}): {best.message}"
    return placed(question, found, listed, Reason(best.reason), message)


def placed(
    question: FilterContext,
    found: Sequence[Candidate],
    listed: tuple[CandidateStatus, ...],
    reason: Reason,
    message: str,
) -> PlacementStatus:
    """Return the placement on the candidate that was chosen of those listed."""
    chosen = next(candidate for candidate in listed if candidate.chosen)
    return PlacementStatus(
        node_type=chosen.node_type,
        further_node_types=further(question, where(chosen), listed),
        processor=chosen.processor,
        product=next(c.product for c in found if where(c) == where(chosen)),
        preferred_node=chosen.node,
        since=timestamps.text(question.now),
        reason=reason,
        message=message,
        candidates=policies.shown(listed),
        unschedulable=question.unschedulable,
    )


def _nowhere(
    question: FilterContext, listed: tuple[CandidateStatus, ...], because: str
) -> PlacementStatus:
    known = any(status.node_type != policies.UNKNOWN for status in listed)
    refusals = "; ".join(
        f"{status.node_type} ({status.processor}): {status.message}" for status in listed
    )
    return PlacementStatus(
        reason=_why_nowhere(listed) if known else Reason.NO_NODE_PROFILE,
        message=f"{because}no node type can serve the model: {refusals or 'there are no nodes'}",
        candidates=policies.shown(listed),
        unschedulable=question.unschedulable,
    )


def further(
    question: FilterContext, place: tuple[object, object], listed: Iterable[CandidateStatus]
) -> tuple[str, ...]:
    """Return the other node types of a place's processor class that could serve, the best first."""
    if question.model.spec.placement.spread == "Nodes":
        return ()
    node_type, processor = place
    able = (
        each.node_type
        for each in listed
        if could_serve(each) and each.processor == processor and each.node_type != node_type
    )
    return tuple(able)[:MAX_FURTHER_NODE_TYPES]


def where(one: PlacementStatus | CandidateStatus | Candidate | Advice) -> tuple[object, object]:
    """Return the place that something is about."""
    return one.node_type, one.processor


def could_serve(candidate: CandidateStatus) -> bool:
    """Say whether a candidate was not refused."""
    return candidate.workload is not None or candidate.cost is not None


def _why_nowhere(listed: Sequence[CandidateStatus]) -> Reason:
    """Say that no node is large enough where that is what keeps the model from being placed.

    Not where others have room for it and are only full.
    """
    reasons = {candidate.reason for candidate in listed}
    alone = Reason.SEVERAL_NODES_NEEDED in reasons and Reason.INSUFFICIENT_RESOURCES not in reasons
    return Reason.SEVERAL_NODES_NEEDED if alone else Reason.NO_CANDIDATE
