"""The policies, and all candidates as status lists them: those that could serve, then the refused.

A policy is a value of one table: nothing else asks for the name of one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, Policy
from ferryman.api.inference_model_status import CandidateStatus
from ferryman.core.placement import least_cost, least_workload
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.filters import FilterContext
from ferryman.core.placement.least_cost import CostMeasure
from ferryman.core.placement.refusal import Refusal
from ferryman.core.snapshot import NodeView

#: What status may hold (PlacementStatus.candidates).
MAX_CANDIDATES: Final = 64
#: Stands for the node type of nodes on which no agent has reported.
UNKNOWN: Final = "unknown"

#: Compares the candidates that could serve: the best one first, and chosen.
Compare = Callable[[FilterContext, Sequence[Candidate]], list[CandidateStatus]]


@dataclass(frozen=True, slots=True)
class PlacementPolicy:
    """By what the node type of a model is chosen."""

    name: Policy
    compare: Compare
    measure: CostMeasure | None = None
    """None where candidates have no cost that could be added up over models."""

    @property
    def needs_prices(self) -> bool:
        """Whether a node type without a price cannot be chosen."""
        return self.measure is not None and self.measure.priced

    @property
    def may_rebalance(self) -> bool:
        """Whether it can tell that a model would be better off elsewhere.

        Utilisation alone would move models back and forth.
        """
        return self.measure is not None


def _by_cost(name: Policy, measure: CostMeasure) -> PlacementPolicy:
    return PlacementPolicy(name, partial(least_cost.compare, measure=measure), measure)


POLICIES: Final[Mapping[Policy, PlacementPolicy]] = {
    policy.name: policy
    for policy in (
        PlacementPolicy("LeastWorkload", least_workload.compare),
        _by_cost("BestFit", least_cost.SHARE),
        _by_cost("Cheapest", least_cost.PRICE),
    )
}
#: Those by which many models can be placed together.
MEASURES: Final[Mapping[Policy, CostMeasure]] = {
    name: policy.measure for name, policy in POLICIES.items() if policy.measure is not None
}


def of(placement: PlacementSpec) -> PlacementPolicy:
    """Return the policy that a specification names."""
    return POLICIES[placement.policy]


def may_move(placement: PlacementSpec) -> bool:
    """Whether rebalancing may move a model with this specification."""
    asked = placement.rebalance.mode == "Auto" and placement.spread == "Nodes"
    return asked and of(placement).may_rebalance


def listed(
    question: FilterContext, nodes: Sequence[NodeView], found: Sequence[Candidate]
) -> tuple[CandidateStatus, ...]:
    """Return all candidates, the best one first, and chosen; ``shown`` is what status has of it."""
    compare = of(question.model.spec.placement).compare
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
