"""What it costs to serve a model on a node type, and whether its objectives would be met there.

The cost is what all replicas take of a node, by the resource of which they request most, times
the node's price. Service times are those that serving pods showed on the node type; else those
of another type, scaled by the reference benchmarks of both. Where neither is known, nothing is
predicted: the reference benchmark of another model says which node type is faster, not whether
this model is fast enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ferryman.api.inference_model import InferenceModel
from ferryman.core.fleet.guide import guide, scaled
from ferryman.core.fleet.sizing import Size, TooSlow, size
from ferryman.core.placement import fit
from ferryman.core.placement.candidates import Candidate, replicas
from ferryman.core.placement.filters import Place
from ferryman.core.placement.workload import seconds_per_image
from ferryman.core.queue_model.service_curve import curve_ms


@dataclass(frozen=True, slots=True)
class Cost:
    """A model on a node type."""

    candidate: Candidate
    place: Place
    """The node that has the least room left of those it fits on."""
    share: float
    """Of a node, by one replica."""
    total: float
    """Of all replicas, of one while there are none; in nodes, or in currency per hour."""
    predicted: Size | TooSlow | None
    """None where its service time there is not known."""

    @property
    def misses(self) -> bool:
        """Whether an objective is predicted to be missed."""
        return isinstance(self.predicted, TooSlow)


def cost(
    model: InferenceModel, candidate: Candidate, found: Sequence[Candidate], *, priced: bool
) -> Cost:
    """Return what a candidate that fits costs; ``found`` holds all of them.

    Raises ValueError when a price is wanted and not known, or the candidate fits nowhere.
    """
    if not candidate.places:
        raise ValueError(f"no node of type {candidate.node_type} fits")
    spec = model.spec
    requests = fit.requested(spec.resources, candidate.places[0].entry, spec.devices)
    share = max(_share(requests, place) for place in candidate.places)
    return Cost(
        candidate=candidate,
        place=min(candidate.places, key=lambda place: (_room(requests, place), place.node.name)),
        share=share,
        total=replicas(model) * share * (_price(candidate) if priced else 1.0),
        predicted=_predicted(model, candidate, found),
    )


def has_price(candidate: Candidate) -> bool:
    """Whether a price is known of one of the nodes that it fits on."""
    return any(place.node.price_per_hour is not None for place in candidate.places)


def rate_per_s(model: InferenceModel) -> float:
    """Return what the model must serve: what it was seen to, or what its objective asks for."""
    throughput, observed = model.spec.objectives.throughput, model.status.observed
    return max(
        0.0 if throughput is None else float(throughput.min_per_second),
        0.0 if observed is None else observed.inferences_per_second,
    )


def _predicted(
    model: InferenceModel, candidate: Candidate, found: Sequence[Candidate]
) -> Size | TooSlow | None:
    curve = _curve_ms(model, candidate, found)
    if curve is None:
        return None
    return size(model.spec.objectives, rate_per_s(model), replicas(model), curve)


def _curve_ms(
    model: InferenceModel, candidate: Candidate, found: Sequence[Candidate]
) -> tuple[float, ...] | None:
    times = [each for each in model.status.service_times if each.points]
    shown = {(each.node_type, each.processor): each.points for each in times}
    # In the order of the candidates: of equals the first by name guides.
    measured = [other for other in found if other.kind in shown]
    speeds = {
        each.kind: 1 / seconds_per_image(each.table.points)
        for each in (candidate, *measured)
        if each.table is not None and each.table.points
    }
    chosen = guide(candidate.kind, (other.kind for other in measured), speeds)
    if chosen is None:
        return None
    points, factor = shown[chosen[0]], chosen[1]
    bound = min(model.spec.batching.limits.max_batch_size.max, points[-1].batch_size)
    return tuple(scaled(ms, factor) for ms in curve_ms(points, None, bound))


def _share(requests: Mapping[str, str | int], place: Place) -> float:
    """Return the share of an empty node that a replica takes."""
    shares = [
        fit.count(resource, wanted) / max(1, fit.allocatable(place.node, resource))
        for resource, wanted in requests.items()
    ]
    return max(shares, default=0.0)


def _room(requests: Mapping[str, str | int], place: Place) -> float:
    """Return what is free of the node, as a share, of the resource of which most is wanted."""
    rooms = [
        fit.free(place.node, resource) / max(1, fit.allocatable(place.node, resource))
        for resource in requests
    ]
    return min(rooms, default=0.0)


def _price(candidate: Candidate) -> float:
    prices = [place.node.price_per_hour for place in candidate.places]
    known = [price for price in prices if price is not None]
    if not known:
        raise ValueError(f"the price of node type {candidate.node_type} is not known")
    return min(known)
