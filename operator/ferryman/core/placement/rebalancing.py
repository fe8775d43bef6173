"""Which models would be better off on another node type: all of them placed anew together.

Only models that asked for it take part (``placement.rebalance.mode: Auto``), and only few are
moved at a time: each move starts new pods, whose utilisation and service times are to be seen
before the next. What the others use stays used.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Final

from ferryman.api.conditions import ConditionType, find
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.core import timestamps
from ferryman.core.fleet.problem import ModelDemand, NodePool, Option, PlacementProblem
from ferryman.core.placement import candidates, costs, fit, unschedulable
from ferryman.core.placement.costs import Cost
from ferryman.core.snapshot import Advice, NodeView

#: No more than this share of the models that take part is moved at once, but always one.
MOST_MOVED: Final = 0.05
#: A model that was placed so recently is not moved.
SETTLED: Final = timedelta(minutes=10)
TIME_LIMIT_S: Final = 2.0

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Participant:
    """A model that may be moved, and the runtime that serves it."""

    model: InferenceModel
    runtime: InferenceRuntime


def takes_part(model: InferenceModel, now: datetime) -> bool:
    """Whether a model may be moved now: it asked for it, serves, and was not moved lately."""
    spec, placement = model.spec.placement, model.status.placement
    if spec.policy == "LeastWorkload" or spec.rebalance.mode != "Auto" or placement is None:
        return False
    if placement.node_type is None or placement.since is None:
        return False
    ready = find(model.status.conditions, ConditionType.READY)
    serves = ready is not None and ready.status == "True"
    return serves and now - timestamps.parse(placement.since) >= SETTLED


def advise(
    participants: Sequence[Participant], nodes: Sequence[NodeView], now: datetime
) -> Mapping[Key, Advice]:
    """Return the moves that save enough; ``nodes`` without what the participants reserve."""
    # SciPy takes some fifty MiB, which an operator that moves nothing need not have.
    from ferryman.core.fleet.solve import solve  # noqa: PLC0415

    offers = {one.model.key: _offers(one, nodes, now) for one in participants}
    now_by_policy = _costs_now(participants, offers)
    demands = tuple(
        _demand(one.model, offers[one.model.key], now_by_policy[one.model.spec.placement.policy])
        for one in participants
    )
    most = max(1, floor(MOST_MOVED * len(participants)))
    solution = solve(PlacementProblem(_node_types(nodes), demands, most), TIME_LIMIT_S)
    advice: dict[Key, Advice] = {}
    for one, demand in zip(participants, demands, strict=True):
        placed = solution.placed.get(demand.model)
        if placed is not None and demand.moves(placed.option):
            advice[one.model.key] = _advice(demand, placed.option)
    return advice


def _offers(one: Participant, nodes: Sequence[NodeView], now: datetime) -> list[Cost]:
    """Return what the model would cost where it would meet its objectives, or is now."""
    found = candidates.find(unschedulable.question(one.model, one.runtime, now), nodes)
    priced = one.model.spec.placement.policy == "Cheapest"
    able = [c for c in found if c.places and (not priced or costs.has_price(c))]
    all_of_them = [costs.cost(one.model, c, found, priced=priced) for c in able]
    here = _present(one.model)
    return [offer for offer in all_of_them if not offer.misses or offer.candidate.kind == here]


def _costs_now(
    participants: Sequence[Participant], offers: Mapping[Key, Sequence[Cost]]
) -> Mapping[str, float]:
    """Return by policy what its models cost where they are, or at least elsewhere; never 0.

    One policy counts nodes and the other money: only shares of these can be added up.
    """
    totals: defaultdict[str, float] = defaultdict(float)
    for one in participants:
        own, here = offers[one.model.key], _present(one.model)
        staying = [offer.total for offer in own if offer.candidate.kind == here]
        least = min((offer.total for offer in own), default=0.0)
        totals[one.model.spec.placement.policy] += staying[0] if staying else least
    return {policy: total or 1.0 for policy, total in totals.items()}


def _demand(model: InferenceModel, offers: Sequence[Cost], unit: float) -> ModelDemand:
    """Return where the model may go; costs are in multiples of ``unit``."""
    least = model.spec.placement.rebalance.min_improvement_percent / 100
    return ModelDemand(
        model="/".join(model.key),
        options=tuple(_option(model, offer, unit) for offer in offers),
        present=_present(model),
        # Elsewhere for less than (1 - least) of what it costs here, or not at all.
        move_factor=1 / max(1e-9, 1 - least),
    )


def _option(model: InferenceModel, offer: Cost, unit: float) -> Option:
    requests = fit.requested(model.spec.resources, offer.place.entry)
    uses = {resource: float(fit.count(resource, wanted)) for resource, wanted in requests.items()}
    node_type, processor = offer.candidate.kind
    return Option(node_type, processor, model.spec.replicas, uses, offer.total / unit)


def _node_types(nodes: Sequence[NodeView]) -> tuple[NodePool, ...]:
    kinds: dict[str, list[dict[str, float]]] = {}
    for node in nodes:
        if node.node_type and node.ready:
            room = {resource: float(fit.free(node, resource)) for resource in node.allocatable}
            kinds.setdefault(node.node_type, []).append(room)
    return tuple(NodePool(name, tuple(free)) for name, free in sorted(kinds.items()))


def _advice(demand: ModelDemand, option: Option) -> Advice:
    here = next((o.cost for o in demand.options if not demand.moves(o)), None)
    saved = "it no longer fits where it is" if not here else f"{1 - option.cost / here:.0%} less"
    message = f"rebalanced with all others: {saved} on {option.node_type}"
    return Advice(node_type=option.node_type, processor=option.processor, message=message)


def _present(model: InferenceModel) -> tuple[str, str] | None:
    placement = model.status.placement
    return None if placement is None else (placement.node_type or "", placement.processor or "")
