"""Where a model is placed: the best node type by its policy, and it stays there.

A placement is decided once. It is decided again only when the node type has no node any more,
when the nodes that served the model died or are drained and another place fits, when the
model's specification or its runtime rule the processor class out, when nothing of it serves there
because kube-scheduler finds no node of the type, or when the model asked to be rebalanced and
would be better off elsewhere; what serves keeps serving, whatever the utilisation of the day.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import CandidateStatus, PlacementStatus
from ferryman.core.placement import candidates, policies
from ferryman.core.placement.departures import drained, lost_nodes, unschedulable
from ferryman.core.placement.filters import FilterContext, why_forbidden
from ferryman.core.placement.fresh import could_serve, decided, placed, where
from ferryman.core.placement.nodes import taints
from ferryman.core.placement.retained import retained, unless_same
from ferryman.core.snapshot import NodeView, Snapshot


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
        return unless_same(decided(question, snapshot.nodes), previous)
    over = _why_over(question, snapshot.nodes, previous)
    if over is not None:
        return _anew(question, snapshot.nodes, over)
    rescued = _rescued(question, snapshot, previous)
    if rescued is not None:
        return rescued
    moved = _elsewhere(question, snapshot, previous) or _advised(question, snapshot, previous)
    return moved or retained(question, snapshot.nodes, previous)


def score(snapshot: Snapshot, now: datetime) -> tuple[CandidateStatus, ...]:
    """Return what a fresh decision would say of every candidate now, the best one first."""
    if snapshot.runtime is None:
        return ()
    question = unschedulable.question(snapshot.model, snapshot.runtime, now)
    return decided(question, snapshot.nodes).candidates


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
    found = decided(question, nodes, because)
    if found.node_type is not None or not question.unschedulable:
        return found
    anywhere = decided(replace(question, unschedulable=()), nodes, because)
    return found if anywhere.node_type is None else anywhere


def _rescued(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return where the model serves whose nodes died or are drained; None where it stays or waits.

    Without another place it waits for its nodes: it is nowhere worse off.
    """
    over = _why_lost(question, snapshot, previous) or drained.why_drained(
        snapshot.nodes, snapshot.serving, previous
    )
    if over is None:
        return None
    found = _anew(question, snapshot.nodes, over)
    return None if found.node_type is None else found


def _why_lost(question: FilterContext, snapshot: Snapshot, previous: PlacementStatus) -> str | None:
    return lost_nodes.why_lost(
        snapshot.nodes,
        snapshot.serving,
        lambda: candidates.find(question, snapshot.nodes),
        previous,
    )


def _elsewhere(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return the next best placement where the scheduler finds no node, if there is another."""
    serving, node_type = snapshot.serving, previous.node_type or ""
    if not unschedulable.has_waited(question.model, serving, question.now):
        return None
    if unschedulable.serves_there(snapshot.nodes, serving, previous.node_types):
        return None
    places = unschedulable.noted(
        question.unschedulable, previous, serving.problem_message, question.now
    )
    because = f"placed anew because kube-scheduler has no {node_type} node for its pods: "
    found = decided(replace(question, unschedulable=places), snapshot.nodes, because)
    return None if found.node_type is None else found


def _advised(
    question: FilterContext, snapshot: Snapshot, previous: PlacementStatus
) -> PlacementStatus | None:
    """Return the placement that rebalancing advises, if the model would fit there now."""
    advice = snapshot.advice
    if advice is None or where(advice) == where(previous):
        return None
    if not policies.may_move(snapshot.model.spec.placement):
        return None  # the advice is older than the specification
    found = candidates.find(question, snapshot.nodes)
    listed = tuple(
        candidate.with_(chosen=where(candidate) == where(advice) and could_serve(candidate))
        for candidate in policies.listed(question, snapshot.nodes, found)
    )
    if not any(candidate.chosen for candidate in listed):
        return None
    return placed(question, found, listed, Reason.REBALANCED, advice.message)
