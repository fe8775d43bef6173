"""Policies ``BestFit`` and ``Cheapest``: the node type that meets the objectives at least cost.

Node types on which an objective is predicted to be missed come after all others; where nothing
else is left, the fastest of them is the fallback.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import CandidateStatus
from ferryman.core.fleet.sizing import Size, TooSlow
from ferryman.core.placement import costs
from ferryman.core.placement.candidates import Candidate
from ferryman.core.placement.costs import Cost
from ferryman.core.placement.filters import FilterContext

_DECIMALS = 4


@dataclass(frozen=True, slots=True)
class CostMeasure:
    """What a cost counts: costs of several models by one measure can be added up."""

    reason: Reason
    """Why the candidate that costs least is chosen."""
    priced: bool
    """Whether it takes the prices of nodes."""
    verb: str
    unit: str

    def words(self, total: float) -> str:
        """Return what a candidate costs, for people."""
        return f"{self.verb} {total:.3g} {self.unit}"


SHARE: Final = CostMeasure(Reason.BEST_FIT, priced=False, verb="takes", unit="nodes")
PRICE: Final = CostMeasure(Reason.CHEAPEST, priced=True, verb="costs", unit="per hour")


def compare(
    question: FilterContext, found: Sequence[Candidate], *, measure: CostMeasure
) -> list[CandidateStatus]:
    """Return the candidates that could serve, that of least cost first, those without one last."""
    priced = measure.priced
    able = [candidate for candidate in found if candidate.places]
    unpriced = [candidate for candidate in able if priced and not costs.has_price(candidate)]
    offers = [
        costs.cost(question.model, candidate, found, priced=priced)
        for candidate in able
        if candidate not in unpriced
    ]
    offers.sort(key=_key)
    full = sorted(c.node_type for c in found if _is_full(c))
    scored = [_status(place, offers, measure, full) for place in range(len(offers))]
    return [*scored, *map(_unpriced, unpriced)]


def _key(offer: Cost) -> tuple[bool, float, float, str, str]:
    """Order those that meet by cost, and those that do not by speed; then by name."""
    contender = offer.candidate.contender
    seconds = contender.seconds_per_image if contender else float("inf")
    first, second = (seconds, offer.total) if offer.misses else (round(offer.total, 9), seconds)
    return offer.misses, first, second, offer.candidate.node_type, offer.candidate.processor


def _status(
    place: int, offers: Sequence[Cost], measure: CostMeasure, full: Sequence[str]
) -> CandidateStatus:
    offer, best = offers[place], offers[0]
    chosen = place == 0
    words = f"{measure.words(offer.total)}, {_forecast(offer.predicted)}"
    return CandidateStatus(
        node_type=offer.candidate.node_type,
        processor=offer.candidate.processor,
        chosen=chosen,
        node=offer.place.node.name,
        cost=round(offer.total, _DECIMALS),
        reason=_reason(offer, measure, chosen=chosen),
        message=f"{words}; {_least_of(offers, full) if chosen else _lost_to(best, offer)}",
    )


def _reason(offer: Cost, measure: CostMeasure, *, chosen: bool) -> Reason:
    if chosen:
        return Reason.FALLBACK if offer.misses else measure.reason
    return offer.predicted.reason if isinstance(offer.predicted, TooSlow) else Reason.MORE_COST


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
