"""Trend with the sizes that were applied for x: the literal reading of the rule.

Source: the algorithm that ``Trend`` implements (core/observation/mann_kendall.py: Mann,
Econometrica 13, 1945; Kendall, Rank Correlation Methods, 1975), with x1..xn the last n *applied*
bounds. Until there are n of them, or with Z = 0, the bound moves one step by latency: below the
target up, above down. From then on it moves by the sign of Z. A run of increases thus confirms
itself, whatever latency does; ``Trend`` is the reading that does not.
"""

from typing import Final

from benchmarks.contenders.base import Contender, said, within
from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.mann_kendall import mann_kendall, sign
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import Window
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.trend import direction_of

Sizes = tuple[int, ...]


def follow(
    spec: BatchingSpec, objectives: Objectives, applied: Batching, window: Window, state: Sizes
) -> Decision:
    """Move one step by the trend of the applied sizes while an objective is missed."""
    sizes = (*state, applied.max_batch_size)[-spec.trend.samples :]
    verdict = judge(objectives, window, queue_delay_ms=applied.max_queue_delay_microseconds / 1000)
    if verdict.met is not False:
        return said(applied, "Holding", sizes)
    trend = sign(mann_kendall(sizes).z) if len(sizes) == spec.trend.samples else 0
    direction = trend or direction_of(verdict)
    after = within(spec, applied.max_batch_size + direction * spec.step)
    return said(applied.with_(max_batch_size=after), "Moving", sizes)


LITERAL_TREND: Final = Contender("literal-trend", "Trend, literal", follow, ())
