"""A placement that stays: with its account, and written anew only where something is different."""

from collections.abc import Sequence

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import CandidateStatus, PlacementStatus
from ferryman.core.placement import candidates, policies
from ferryman.core.placement.filters import FilterContext
from ferryman.core.placement.fresh import could_serve, further, where
from ferryman.core.snapshot import NodeView


def unless_same(found: PlacementStatus, previous: PlacementStatus | None) -> PlacementStatus:
    """Keep the words of before, which say how it came to this, while it is nowhere as before."""
    if previous is None or found.node_type is not None:
        return found
    alike = _signature(found.candidates) == _signature(previous.candidates)
    same = alike and found.reason == previous.reason
    return previous.with_(unschedulable=found.unschedulable) if same else found


def retained(
    question: FilterContext, nodes: Sequence[NodeView], previous: PlacementStatus
) -> PlacementStatus:
    """Keep the placement with its account: its words, its time, its node.

    The preferred node above all: another one would change the Deployment and roll its pods. The
    candidates are kept while the same ones are feasible or refused alike. Scores follow
    utilisation, which never rests: listing today's scores would write status without end, and
    would hide those that explain the decision. ``score`` computes today's.
    """
    found = candidates.find(question, nodes)
    listed = tuple(
        _while_retained(candidate, previous)
        for candidate in policies.listed(question, nodes, found)
    )
    same = _still_shown(listed, previous.candidates)
    return previous.with_(
        candidates=previous.candidates if same else policies.shown(listed),
        further_node_types=_kept_further(question, previous, listed),
        unschedulable=question.unschedulable,
    )


def _kept_further(
    question: FilterContext, previous: PlacementStatus, listed: Sequence[CandidateStatus]
) -> tuple[str, ...]:
    """Keep the further node types while the specification asks for some, and there are any.

    Who could serve follows the load, and each change of them rolls the model's pods.
    """
    spreads = question.model.spec.placement.spread == "NodeTypes"
    if spreads and previous.further_node_types:
        return previous.further_node_types
    return further(question, where(previous), listed)


def _still_shown(listed: Sequence[CandidateStatus], before: Sequence[CandidateStatus]) -> bool:
    """Whether what status has is as feasible or refused as then, and nobody is missing.

    Of more than status may hold, those that were the best once stay: who is among the best
    follows utilisation.
    """
    if len(before) == policies.MAX_CANDIDATES:
        kinds = {where(candidate) for candidate in before}
        listed = [candidate for candidate in listed if where(candidate) in kinds]
    return _signature(listed) == _signature(before)


def _while_retained(candidate: CandidateStatus, previous: PlacementStatus) -> CandidateStatus:
    chosen = where(candidate) == where(previous)
    if not could_serve(candidate):
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
            Reason.FEASIBLE if could_serve(candidate) else candidate.reason,
        )
        for candidate in listed
    }
