"""All candidates as status lists them: those that could serve by the policy, then the refused."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import Policy
from ferryman.api.inference_model_status import CandidateStatus
from ferryman.core.placement import least_cost, least_workload
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.filters import FilterContext, Refusal
from ferryman.core.snapshot import NodeView

#: What status may hold (PlacementStatus.candidates).
MAX_CANDIDATES: Final = 64
#: Stands for the node type of nodes on which no agent has reported.
UNKNOWN: Final = "unknown"

#: How the candidates that could serve are compared: the best one first, and chosen.
POLICIES: Mapping[Policy, Callable[[FilterContext, Sequence[Candidate]], list[CandidateStatus]]] = {
    "LeastWorkload": least_workload.compare,
    "BestFit": least_cost.best_fit,
    "Cheapest": least_cost.cheapest,
}


def listed(
    question: FilterContext, nodes: Sequence[NodeView], found: Sequence[Candidate]
) -> tuple[CandidateStatus, ...]:
    """Return all candidates, the best one first, and chosen; ``shown`` is what status has of it."""
    compare = POLICIES[question.model.spec.placement.policy]
    refused = [_refused(candidate, candidate.refusal) for candidate in found if candidate.refusal]
    return (*compare(question, found), *refused, *_without_profile(nodes))


def shown(candidates: Sequence[CandidateStatus]) -> tuple[CandidateStatus, ...]:
    """Return as many candidates as status may hold, in their order; the chosen one is kept."""
    chosen = [candidate for candidate in candidates[MAX_CANDIDATES:] if candidate.chosen]
    return (*candidates[: MAX_CANDIDATES - len(chosen)], *chosen)


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
    silent = [node for node in nodes if not node.node_type]
    kept_away = [f"{node.name} ({', '.join(node.taints)})" for node in silent if node.taints]
    missing = [node.name for node in silent if not node.taints]
    found = []
    if missing:
        names = ", ".join(sorted(missing))
        message = f"no agent has reported from {names} yet: see whether it runs there"
        found.append(_unknown(Reason.NO_NODE_PROFILE, message))
    if kept_away:
        names = ", ".join(sorted(kept_away))
        message = f"no agent reports from nodes whose taints keep it away: {names}"
        found.append(_unknown(Reason.TAINT_NOT_TOLERATED, message))
    return found


def _unknown(reason: Reason, message: str) -> CandidateStatus:
    return CandidateStatus(node_type=UNKNOWN, processor=UNKNOWN, reason=reason, message=message)
