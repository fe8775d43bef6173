"""How long requests may wait for each step, so that what is accepted is answered in time.

A step rejects what has waited for longer (``default_timeout_microseconds`` with REJECT). Each gets
its part of the latency budget, less what it takes itself, and all parts together are as long as the
target lets the longest way through the pipeline be.
"""

from collections.abc import Mapping
from typing import Final

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.core.pipelines.graph import Graph

#: The rest of the target is for what lies between clients and steps.
DEALT_OUT: Final = 0.95
#: Triton takes 0 for no limit, and a wait below this is none.
LEAST_US: Final = 1_000
#: A limit that is so many times, or one so-manieth, of what it should be is changed.
WORTH: Final = 1.5
_US_PER_MS: Final = 1_000


def waits_us(pipeline: InferencePipeline) -> dict[str, int]:
    """Return how long a request may wait for each step; none while the budget was never split.

    Budgets and service times are those of the status, which noise does not move.
    """
    latency, status = pipeline.spec.objectives.latency, pipeline.status
    if latency is None or pipeline.spec.balancing.on_overload == "Queue":
        return {}
    budgets_ms = {
        entry.step: entry.budget_milliseconds
        for entry in status.balancing.applied
        if entry.budget_milliseconds is not None
    }
    service_ms = {
        step.name: step.service_time_milliseconds
        for step in status.steps
        if step.service_time_milliseconds is not None
    }
    graph = Graph.of(pipeline.spec)
    if not set(graph.names) <= budgets_ms.keys() & service_ms.keys():
        return {}
    whole_ms = _longest(graph, budgets_ms)
    scale = DEALT_OUT * latency.target_milliseconds / whole_ms if whole_ms else 1.0
    return {
        name: max(LEAST_US, round((scale * budgets_ms[name] - service_ms[name]) * _US_PER_MS))
        for name in graph.names
    }


def differs(loaded_us: int, wanted_us: int) -> bool:
    """Say whether a limit is so far from what it should be that it is worth a reload."""
    return not wanted_us / WORTH <= loaded_us <= wanted_us * WORTH


def _longest(graph: Graph, amounts: Mapping[str, float]) -> float:
    """Return the largest sum of amounts along a way through the pipeline."""
    sums: dict[str, float] = {}
    for name in graph.order:
        sums[name] = amounts[name] + max((sums[each] for each in graph.after[name]), default=0.0)
    return max(sums.values())
