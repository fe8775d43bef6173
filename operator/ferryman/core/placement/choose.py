"""Where a model is placed: the best node type by its policy, and it stays there.

A placement is decided once. It is decided again only when the node type has no node any more,
when the nodes that served the model died and another place fits, when the model's specification
or its runtime rule the processor class out, when nothing of it serves there because
kube-scheduler finds no node of the type, or when the model asked to be rebalanced and would be
better off elsewhere; what serves keeps serving, whatever the utilisation of the day.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import CandidateStatus, PlacementStatus
from ferryman.core import timestamps
from ferryman.core.placement import candidates, lost_nodes, policies, taints, unschedulable
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.filters import FilterContext, why_forbidden
from ferryman.core.snapshot import Advice, NodeView, Snapshot


def choose(snapshot: Snapshot, now: datetime) -> PlacementStatus:
    """Decide where the model of a snapshot is placed; list every candidate with its score.

    Without an acceptable node type, ``node_type`` is None and ``message`` says what is missing.
    """
    previous = snapshot.model.status.placement
    if snapshot.placement_is_valid and previous is not None:
        return previous
    if snapshot.runtime is None:
        return _without_runtime(snapshot, previous)
    question = unschedulable.question(snapshot.model, snapshot.runtime, now)
    if previous is None or previous.node_type is None:
        return _unless_same(_decided(question, snapshot.nodes), previous)
    over = _why_over(question, snapshot.nodes, previous)
    if over is not None:
        return _anew(question, snapshot.nodes, over)
    rescued = _rescued(question, snapshot, previous)
    if rescued is not None:
        return rescued
    moved = _elsewhere(question, snapshot, previous) or _advised(question, snapshot, previous)
    return moved or _retained(question, snapshot.nodes, previous)


def _unless_same(found: PlacementStatus, previous: PlacementStatus | None) -> PlacementStatus:
    """Keep the words of before, which say how it came to this, while it is nowhere as before."""
    if previous is None or found.node_type is not None:
        return found
    alike = _signature(found.candidates) == _signature(previous.candidates)
    same = alike and found.reason == previous.reason
    return previous.with_(unschedulable=found.unschedulable) if same else found


def score(snapshot: Snapshot, now: datetime) -> tuple[CandidateStatus, ...]:
    """Return what a fresh decision would say of every candidate now, the best one first."""
    if snapshot.runtime is None:
        return ()
    question = unschedulable.question(snapshot.model, snapshot.runtime, now)
    return _decided(question, snapshot.nodes).candidates


def _without_runtime(snapshot: Snapshot, previous: PlacementStatus | None) -> PlacementStatus:
    name = snapshot.model.spec.runtime_ref.name
    reason, message = Reason.RUNTIME_NOT_FOUND, f"there is no InferenceRuntime {name}: create it"
    if previous is not None and previous.node_type is not None:
        return previous
    return (previous or PlacementStatus(reason=reason, message=message)).with_(
        reason=reason, message=message
    )


def _why_over(
    question: FilterContext, nodes: Sequence[NodeView], previous: PlacementStatus
) -> str | None:
    """Return why the previous placement cannot stay, or None when it can."""
    refusal = why_forbidden(question.model, question.runtime, previous.processor or "")
    if refusal is not None:
        return refusal.message
    peers = [node for node in nodes if node.node_type == previous.node_type]
    if not peers:
        return f"no node of type {previous.node_type} is left"
    if all(taints.unmet(question.model.spec.placement, node.labels) for node in peers):
        return f"spec.placement selects no node of type {previous.node_type} any more"
    return None


def _anew(question: FilterContext, nodes: Sequence[NodeView], over: str) -> PlacementStatus:
    """Decide again; where the scheduler found no node lately is better than nowhere."""
    because = f"placed anew because {over}: "
    found = _decided(question, nodes, because)
    if found.node_type is not None or not question.unschedulable:
        return found
    anywhere = _decided(replace(question, unschedulable=()), nodes, because)
    return found if anywhere.node_type is None else anywhere


def _rescued(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return where the model serves again whose nodes died; None where it stays, or must wait.

    Without another place it waits for its nodes: it is nowhere worse off.
    """
    if not any(node.lost for node in snapshot.nodes):
        return None
    over = lost_nodes.why_lost(
        snapshot.nodes,
        snapshot.serving,
        lambda: candidates.find(question, snapshot.nodes),
        previous,
    )
    if over is None:
        return None
    found = _anew(question, snapshot.nodes, over)
    return None if found.node_type is None else found


def _elsewhere(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return the next best placement where the scheduler finds no node, if there is another."""
    serving, node_type = snapshot.serving, previous.node_type or ""
    if not unschedulable.has_waited(question.model, serving, question.now):
        return None
    if unschedulable.serves_there(snapshot.nodes, serving, node_type):
        return None
    places = unschedulable.noted(
        question.unschedulable, previous, serving.problem_message, question.now
    )
    because = f"placed anew because kube-scheduler has no {node_type} node for its pods: "
    found = _decided(replace(question, unschedulable=places), snapshot.nodes, because)
    return None if found.node_type is None else found


def _advised(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return the placement that rebalancing advises, if the model would fit there now."""
    advice = snapshot.advice
    if advice is None or _where(advice) == _where(previous):
        return None
    if not policies.may_move(snapshot.model.spec.placement):
        return None  # the advice is older than the specification
    found = candidates.find(question, snapshot.nodes)
    listed = tuple(
        candidate.with_(chosen=_where(candidate) == _where(advice) and _could_serve(candidate))
        for candidate in policies.listed(question, snapshot.nodes, found)
    )
    if not any(candidate.chosen for candidate in listed):
        return None
    return _placed(question, found, listed, Reason.REBALANCED, advice.message)


def _where(one: PlacementStatus | CandidateStatus | Candidate | Advice) -> tuple[object, object]:
    return one.node_type, one.processor


def _retained(
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
        unschedulable=question.unschedulable,
    )


def _still_shown(listed: Sequence[CandidateStatus], before: Sequence[CandidateStatus]) -> bool:
    """Whether what status has is as feasible or refused as then, and nobody is missing.

    Of more than status may hold, those that were the best once stay: who is among the best
    follows utilisation.
    """
    if len(before) == policies.MAX_CANDIDATES:
        kinds = {_where(candidate) for candidate in before}
        listed = [candidate for candidate in listed if _where(candidate) in kinds]
    return _signature(listed) == _signature(before)


def _while_retained(candidate: CandidateStatus, previous: PlacementStatus) -> CandidateStatus:
    chosen = _where(candidate) == _where(previous)
    if not _could_serve(candidate):
        return candidate.with_(chosen=chosen)
    reason = Reason.RETAINED if chosen else Reason.FEASIBLE
    message = f"{_before_comparison(candidate.message)}; " + (
        "the placement is kept" if chosen else f"the placement on {previous.node_type} is kept"
    )
    return candidate.with_(chosen=chosen, reason=reason, message=message)


def _could_serve(candidate: CandidateStatus) -> bool:
    return candidate.workload is not None or candidate.cost is not None


def _before_comparison(message: str) -> str:
    return message.partition(";")[0]


def _signature(listed: Sequence[CandidateStatus]) -> set[tuple[str, str, str]]:
    return {
        (
            candidate.node_type,
            candidate.processor,
            Reason.FEASIBLE if _could_serve(candidate) else candidate.reason,
        )
        for candidate in listed
    }


def _decided(
    question: FilterContext, nodes: Sequence[NodeView], because: str = ""
) -> PlacementStatus:
    found = candidates.find(question, nodes)
    listed = policies.listed(question, nodes, found)
    best = next((candidate for candidate in listed if candidate.chosen), None)
    if best is None:
        return _nowhere(question, listed, because)
    message = f"{because}{best.node_type} ({best.processor}): {best.message}"
    return _placed(question, found, listed, Reason(best.reason), message)


def _placed(
    question: FilterContext,
    found: Sequence[Candidate],
    listed: tuple[CandidateStatus, ...],
    reason: Reason,
    message: str,
) -> PlacementStatus:
    chosen = next(candidate for candidate in listed if candidate.chosen)
    return PlacementStatus(
        node_type=chosen.node_type,
        processor=chosen.processor,
        product=next(c.product for c in found if _where(c) == _where(chosen)),
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
        reason=Reason.NO_CANDIDATE if known else Reason.NO_NODE_PROFILE,
        message=f"{because}no node type can serve the model: {refusals or 'there are no nodes'}",
        candidates=policies.shown(listed),
        unschedulable=question.unschedulable,
    )
