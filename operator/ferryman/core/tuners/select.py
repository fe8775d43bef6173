"""The tuner: what to do about a model's batching after one window."""

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import MIN_REQUESTS
from ferryman.core.observation.window import Window
from ferryman.core.tuners import trend as trend_tuner
from ferryman.core.tuners.guarded import decision as guarded
from ferryman.core.tuners.protocol import InEffect
from ferryman.core.tuners.state import TuneDecision, TunerState

__all__ = ["MIN_REQUESTS", "TuneDecision", "TunerState", "tune"]


def tune(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
    *,
    in_effect: InEffect = Batching.canonical,
) -> TuneDecision:
    """Decide by the algorithm that the specification names.

    ``in_effect`` tells what the model's own configuration makes of a batching, so that nothing is
    hoped for that would not come into force.
    """
    if spec.algorithm == "Trend":
        return trend_tuner.decide(spec, objectives, applied, window, state)
    return guarded.decide(spec, objectives, applied, window, state, in_effect=in_effect)
