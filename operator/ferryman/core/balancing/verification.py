"""Whether a change of instances brought what was predicted, and what is done if it did not.

A pipeline on full processors gains nothing by another instance: all batches take longer, and what
was added is taken back. Nothing is added again before load or steps change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from ferryman.core.balancing.demand import Asked
from ferryman.core.balancing.state import Assignment, BalancingTrial, Ceiling

#: A change that brings this share of what it was to bring has done so.
BROUGHT: Final = 0.9
#: Batches that take longer by more than this (log ratio) since instances were added are slowed
#: down by them.
SLOWED: Final = 0.1
#: A rate within this share of the ceiling reaches it.
REACHED: Final = 0.85
#: A rate that is measured is off by so much.
NOISE: Final = 0.03
#: A demand that is so many times, or one so-manieth, of what it was is another load.
OTHER_LOAD: Final = 1.5


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """That a change did not bring what was predicted."""

    ceiling: Ceiling
    """What the pod was seen not to exceed."""
    slowed: tuple[str, ...]
    """Steps whose batches take longer since."""


def settled(trial: BalancingTrial | None, applied: Assignment) -> BalancingTrial | None:
    """Return the trial if it is of what is applied: else it was refused, or undone by others."""
    return trial if trial is not None and trial.after == applied else None


def judged(
    trial: BalancingTrial, seen: Asked, errors: Mapping[str, float], alone_s: float
) -> Withdrawal | None:
    """Return why a change is to be taken back, as far as it is; None where it may stay.

    It may where no step is slowed down, for then the clients ask for no more than they get, or
    what else limits is seen in the same window; and where more is served, or in less time, by
    nearly as much as was predicted. Of clients that wait for answers no more than in-flight /
    ``alone_s`` can be served, which is what a request takes where nothing waits or is slowed.
    """
    slowed = tuple(name for name, error in errors.items() if error > SLOWED)
    promised = min(trial.predicted_per_s, seen.in_flight / alone_s) / trial.served_per_s
    if not slowed or _gain(trial, seen) >= BROUGHT * promised:
        return None
    reached = max(trial.served_per_s, seen.served_per_s)
    return Withdrawal(Ceiling(reached, seen.offered_per_s, seen.in_flight), slowed)


def brought_something(trial: BalancingTrial, seen: Asked) -> bool:
    """Say whether a change brought more than what is measured is off by."""
    return _gain(trial, seen) > 1 + NOISE


def _gain(trial: BalancingTrial, seen: Asked) -> float:
    """Return how many times as much is served, or as quickly."""
    before_s = trial.in_flight / trial.served_per_s
    now_s = seen.in_flight / seen.served_per_s
    return max(seen.served_per_s / trial.served_per_s, before_s / now_s)


def standing(ceiling: Ceiling | None, seen: Asked, *, drifted: bool) -> Ceiling | None:
    """Return what is left of a ceiling: raised where more is served, gone with what it was of.

    That is its load, which has changed where both rate and what is under way have (clients that
    wait for answers keep the one, clients that do not the other); or the steps, where some
    ``drifted`` and it is no longer reached: on full processors batches take now longer, now less
    long, and no more is served for it.
    """
    if ceiling is None or (drifted and not is_reached(ceiling, seen)):
        return None
    rates = _differ(seen.offered_per_s, ceiling.offered_per_s)
    if rates and _differ(seen.in_flight, ceiling.in_flight):
        return None
    # Half way up: what ended of the change before counts in the first window after it.
    more = max(0.0, seen.served_per_s - ceiling.rate_per_s) / 2
    return replace(ceiling, rate_per_s=ceiling.rate_per_s + more)


def _differ(one: float, other: float) -> bool:
    return not one / OTHER_LOAD <= other <= one * OTHER_LOAD


def is_reached(ceiling: Ceiling, seen: Asked) -> bool:
    """Say whether more instances would bring nothing, as was seen before."""
    return seen.served_per_s >= REACHED * ceiling.rate_per_s
