"""How much is asked for, from what this machine was just seen to need: no two are as fast.

Times are those of executions on the server, in milliseconds.
"""

import math
from dataclasses import dataclass
from typing import Final

#: So much more than the small batches can serve is asked for, ...
DROWNING: Final = 1.25
#: ... but no more than this share of what the large ones can.
RESCUED: Final = 0.45
#: A batch waits for the one before it, and its requests for both; the rest is for noise.
BATCHES_IN_TARGET: Final = 8
LEAST_TARGET_MS: Final = 250
#: The device's share that single requests would take.
SLACK: Final = 0.45
SLACK_TARGET_MS: Final = 1_000
#: One worker of the slow step is asked for so much more than it can do.
SLOW_STEP: Final = 1.35
_ROUND_MS: Final = 10


@dataclass(frozen=True, slots=True)
class Pace:
    """A load, and the latency that is asked for."""

    rate_per_s: float
    target_ms: int


def drowning(few: tuple[int, float], many: tuple[int, float]) -> Pace:
    """Return a load that batches of few cannot serve and batches of many can.

    Each is a batch size and how long it takes.
    """
    (few_rows, few_ms), (many_rows, many_ms) = few, many
    rate = min(DROWNING * 1e3 * few_rows / few_ms, RESCUED * 1e3 * many_rows / many_ms)
    target_ms = math.ceil(BATCHES_IN_TARGET * many_ms / _ROUND_MS) * _ROUND_MS
    return Pace(_rounded(rate), max(LEAST_TARGET_MS, target_ms))


def slack(single_ms: float) -> Pace:
    """Return a load that single requests serve with room to spare, and a target that is loose."""
    target_ms = max(SLACK_TARGET_MS, math.ceil(40 * single_ms / _ROUND_MS) * _ROUND_MS)
    return Pace(_rounded(SLACK * 1e3 / single_ms), target_ms)


def slow_step(slowest_ms: float) -> float:
    """Return pages per second: more than one worker of the slowest step reads."""
    return _rounded(SLOW_STEP * 1e3 / slowest_ms)


def _rounded(rate_per_s: float) -> float:
    return max(0.5, round(rate_per_s, 1))
