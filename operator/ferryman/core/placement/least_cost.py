"""Policies ``BestFit`` and ``Cheapest``: the node type that meets the objectives at least cost.

Node types on which an objective is predicted to be missed come after all others; where nothing
else is left, the fastest of them is the fallback.
"""

from collections.abc import Sequence

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import CandidateStatus
from ferryman.core.fleet.sizing import Size, TooSlow
from ferryman.core.placement import costs
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.costs import Cost
from ferryman.core.placement.filters import FilterContext

_DECIMALS = 4


def best_fit(question: FilterContext, found: Sequence[Candidate]) -> list[CandidateStatus]:
    """Return the candidates that could serve, those first that take the least of a node."""
    return _compare(question, found, Reason.BEST_FIT)


def cheapest(question: FilterContext, found: Sequence[Candidate]) -> list[CandidateStatus]:
    """Return the candidates that could serve, the cheapest first, those without a price last."""
    return _compare(question, found, Reason.CHEAPEST)


def _compare(
    question: FilterContext, found: Sequence[Candidate], policy: Reason
) -> list[CandidateStatus]:
    priced = policy == Reason.CHEAPEST
    able = [candidate for candidate in found if candidate.places]
    unpriced = [candidate for candidate in able if priced and not costs.has_price(candidate)]
    offers = [
        costs.cost(question.model, candidate, found, priced=priced)
        for candidate in able
        if candidate not in unpriced
    ]
    offers.sort(key=_key)
    full = sorted(c.node_type for c in found if _is_full(c))
    scored = [_status(place, offers, policy, full) for place in range(len(offers))]
    return [*scored, *map(_unpriced, unpriced)]


def _key(offer: Cost) -> tuple[bool, float, float, str, str]:
    """Order those that meet by cost, and those that do not by speed; then by name."""
    contender = offer.candidate.contender
    seconds = contender.seconds_per_image if contender else float("inf")
    first, second = (seconds, offer.total) if offer.misses else (round(offer.total, 9), seconds)
    return offer.misses, first, second, offer.candidate.node_type, offer.candidate.processor


def _status(
    place: int, offers: Sequence[Cost], policy: Reason, full: Sequence[str]
) -> CandidateStatus:
    offer, best = offers[place], offers[0]
    chosen = place == 0
    words = f"{_price(offer, policy)}, {_forecast(offer.predicted)}"
    return CandidateStatus(
        node_type=offer.candidate.node_type,
        processor=offer.candidate.processor,
        chosen=chosen,
        node=offer.place.node.name,
        cost=round(offer.total, _DECIMALS),
        reason=_reason(offer, policy, chosen=chosen),
        message=f"{words}; {_least_of(offers, full) if chosen else _lost_to(best, offer)}",
    )


def _reason(offer: Cost, policy: Reason, *, chosen: bool) -> Reason:
    if chosen:
        return Reason.FALLBACK if offer.misses else policy
    return offer.predicted.reason if isinstance(offer.predicted, TooSlow) else Reason.MORE_COST


def _price(offer: Cost, policy: Reason) -> str:
    if policy == Reason.BEST_FIT:
        return f"takes {offer.total:.3g} nodes"
    return f"costs {offer.total:.3g} per hour"


def _forecast(predicted: Size | TooSlow | None) -> str:
    if predicted is None:
        return "its service time there is not known"
    if isinstance(predicted, TooSlow):
        return f"predicted to miss: {predicted.message}"
    return f"predicted to meet with batches up to {predicted.batch_size}"


def _least_of(offers: Sequence[Cost], full: Sequence[str]) -> str:
    if offers[0].misses:
        words = "no node type is predicted to meet the objectives, this one is the fastest"
    elif len(offers) == 1:
        words = "the only candidate that can serve"
    else:
        second = offers[1]
        words = f"the least of {len(offers)}, next is {second.candidate.node_type}"
    return f"{words} ({', '.join(full)} is full)" if full else words


def _lost_to(best: Cost, offer: Cost) -> str:
    name = best.candidate.node_type
    if offer.misses and not best.misses:
        return f"{name} is predicted to meet"
    if offer.misses:
        return f"{name} is faster"
    if round(offer.total - best.total, _DECIMALS) > 0:
        return f"{offer.total - best.total:.3g} more than {name}"
    return f"equal to {name}, which is faster or comes first by name"


def _is_full(candidate: Candidate) -> bool:
    refusal = candidate.refusal
    return refusal is not None and refusal.reason == Reason.INSUFFICIENT_RESOURCES


def _unpriced(candidate: Candidate) -> CandidateStatus:
    return CandidateStatus(
        node_type=candidate.node_type,
        processor=candidate.processor,
        reason=Reason.PRICE_UNKNOWN,
        message="no price is known: label its nodes with serving.ferryman.dev/price-per-hour, "
        "or state one in the chart's values",
    )
