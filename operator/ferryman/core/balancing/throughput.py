"""How many instances each step gets: the most requests a second, or the fewest that serve a demand.

A rate theta needs of each step

    n_i(theta) = max(least, ceil(theta·v_i·tau_i(b_i) / b_i))

instances that run full batches. Every n_i only grows with theta, so that the largest rate whose
instances fit is found by bisection over the rates at which some n_i grows, and no assignment
with fewer instances of any step carries it. Memory is a sum over instances; processors are a
ceiling on the rate, K / sum(v_i·p_i), which no instance lifts.

Rates are requests of the pipeline per second and pod.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, inf
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.balancing.profile import Resources, StepProfile, ceiling_per_s
from ferryman.core.balancing.words import rounded

#: Two rates that differ by less than this share are the same one.
SAME: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Allocation:
    """Instances of all steps, and what they carry."""

    instances: Mapping[str, int]
    rate_per_s: float
    """The largest rate that they carry."""
    reason: Reason
    """Why it is no larger."""
    fits: bool = True
    """Whether they fit into the memory; False where even the fewest do not."""


@dataclass(frozen=True, slots=True)
class OneMore:
    """One more instance of a step: what it would bring, and why it is not there."""

    gain_per_s: float
    reason: Reason
    message: str


def largest(steps: Sequence[StepProfile], resources: Resources) -> Allocation:
    """Return the fewest instances that carry the largest rate that any assignment does.

    Raises ValueError without steps.
    """
    return least(steps, resources, inf)


def least(steps: Sequence[StepProfile], resources: Resources, demand_per_s: float) -> Allocation:
    """Return the fewest instances that carry a demand, or else the largest rate.

    A step whose memory is unknown keeps its least instances where memory is limited. Raises
    ValueError without steps.
    """
    if not steps:
        raise ValueError("a pipeline has at least one step")
    ceiling = ceiling_per_s(steps, resources)
    most = min(step.most_instances(resources) * step.rate_per_instance for step in steps)
    wanted = min(demand_per_s, most, inf if ceiling is None else ceiling)
    rate = wanted if _fits(steps, _needed(steps, wanted), resources) else 0.0
    if not rate:
        rates = sorted({wanted, *_breakpoints(steps, resources, wanted)})
        rate = _last_that_fits(steps, rates, resources)
    instances = _needed(steps, rate)
    carried = capacity_per_s(steps, instances, resources)
    reason = _Case(steps, instances, resources, demand_per_s).why_no_more()
    return Allocation(instances, carried, reason, fits=_fits(steps, instances, resources))


def capacity_per_s(
    steps: Sequence[StepProfile], instances: Mapping[str, int], resources: Resources
) -> float:
    """Return the largest rate that these instances carry."""
    ceiling = ceiling_per_s(steps, resources)
    own = min(instances[step.name] * step.rate_per_instance for step in steps)
    return own if ceiling is None else min(own, ceiling)


def limiting_step(
    steps: Sequence[StepProfile],
    instances: Mapping[str, int],
    resources: Resources,
    *,
    alike: float = SAME,
) -> str | None:
    """Return the step that carries least; None where processors end the rate before any step.

    Of those that carry the same but for a share it is the first, so that what is measured does
    not name now this one, now that one.
    """
    carries = {step.name: instances[step.name] * step.rate_per_instance for step in steps}
    own = min(carries.values())
    if own > capacity_per_s(steps, instances, resources) * (1 + SAME):
        return None
    return next(name for name, rate in carries.items() if rate <= own * (1 + alike))


def one_more(
    steps: Sequence[StepProfile],
    instances: Mapping[str, int],
    resources: Resources,
    demand_per_s: float,
) -> dict[str, OneMore]:
    """Return for each step what one more instance would bring, and why it was not added."""
    case = _Case(steps, instances, resources, demand_per_s)
    return {step.name: case.one_more(step) for step in steps}


@dataclass(frozen=True)
class _Case:
    """An assignment that is asked why it is no larger."""

    steps: Sequence[StepProfile]
    instances: Mapping[str, int]
    resources: Resources
    demand_per_s: float

    @cached_property
    def carried(self) -> float:
        return capacity_per_s(self.steps, self.instances, self.resources)

    def own(self, step: StepProfile) -> float:
        """Return what a step's instances carry."""
        return self.instances[step.name] * step.rate_per_instance

    def one_more(self, step: StepProfile) -> OneMore:
        more = {**self.instances, step.name: self.instances[step.name] + 1}
        gain = capacity_per_s(self.steps, more, self.resources) - self.carried
        reason = self.why_not(step)
        told = f"carries {rounded(self.own(step))} requests/s, one more would add {rounded(gain)}"
        message = f"{told} to the pipeline's {rounded(self.carried)}: {_words(reason, step)}"
        return OneMore(gain, reason, message)

    def why_not(self, step: StepProfile) -> Reason:
        """Return why a step has no more instances."""
        if self.carried >= self.demand_per_s * (1 - SAME):
            return Reason.DEMAND_SERVED
        if ceiling_per_s(self.steps, self.resources) == self.carried:
            return Reason.PROCESSORS_FULL
        if self.own(step) > self.carried * (1 + SAME):
            return Reason.NOT_LIMITING
        return self._hindrance(step)

    def why_no_more(self) -> Reason:
        """Return why no more is carried: of the limiting steps the one that cannot grow."""
        reasons = [self.why_not(step) for step in self.steps]
        open_ended = (Reason.NOT_LIMITING, Reason.LIMITING_STEP)
        # Where each fits alone, all that limit do not fit together.
        return next((each for each in reasons if each not in open_ended), Reason.MEMORY_FULL)

    def _hindrance(self, step: StepProfile) -> Reason:
        """Return what keeps a limiting step from one more; that it limits, if nothing does."""
        if self.instances[step.name] >= step.limits.max:
            return Reason.INSTANCE_LIMIT
        if self.resources.memory_bytes is not None and step.memory_bytes is None:
            return Reason.MEMORY_UNKNOWN
        more = {**self.instances, step.name: self.instances[step.name] + 1}
        fits = _fits(self.steps, more, self.resources)
        return Reason.LIMITING_STEP if fits else Reason.MEMORY_FULL


def _words(reason: Reason, step: StepProfile) -> str:
    words = {
        Reason.DEMAND_SERVED: "what is asked is served",
        Reason.PROCESSORS_FULL: "the processors carry no more, whatever the instances",
        Reason.NOT_LIMITING: "another step carries less",
        Reason.INSTANCE_LIMIT: f"limits.instances.max is {step.limits.max}",
        Reason.MEMORY_UNKNOWN: "what an instance holds is unknown, and memory is limited",
        Reason.MEMORY_FULL: "the memory has no room for it",
        Reason.LIMITING_STEP: "nothing carries less",
    }
    return words[reason]


def _needed(steps: Sequence[StepProfile], rate: float) -> dict[str, int]:
    return {
        step.name: max(step.limits.min, ceil(rate / step.rate_per_instance * (1 - SAME)))
        for step in steps
    }


def _breakpoints(
    steps: Sequence[StepProfile], resources: Resources, below_per_s: float
) -> list[float]:
    """Return the rates, up to one, that instances of some step carry exactly."""
    return [
        rate
        for step in steps
        for count in range(step.limits.min, step.most_instances(resources) + 1)
        if (rate := count * step.rate_per_instance) < below_per_s
    ]


def _last_that_fits(
    steps: Sequence[StepProfile], rates: Sequence[float], resources: Resources
) -> float:
    """Return by bisection the last of ascending rates whose instances fit; the first, if none."""
    fits, beyond = 0, len(rates)
    while beyond - fits > 1:
        middle = (fits + beyond) // 2
        if _fits(steps, _needed(steps, rates[middle]), resources):
            fits = middle
        else:
            beyond = middle
    return rates[fits]


def _fits(steps: Sequence[StepProfile], instances: Mapping[str, int], resources: Resources) -> bool:
    """Whether the memory holds them; what an instance of unknown size holds is not counted."""
    if resources.memory_bytes is None:
        return True
    held = sum(instances[step.name] * (step.memory_bytes or 0) for step in steps)
    return held <= resources.memory_bytes
