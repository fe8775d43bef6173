"""The tuner: what to do about a model's batching after one window."""

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.objectives import Objectives
from ferryman.core.observation.window import Window
from ferryman.core.tuners import trend as trend_tuner
from ferryman.core.tuners.guarded import decision as guarded
from ferryman.core.tuners.state import MIN_REQUESTS, TuneDecision, TunerState

__all__ = ["MIN_REQUESTS", "TuneDecision", "TunerState", "tune"]


def tune(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
) -> TuneDecision:
    """Decide by the algorithm that the specification names."""
    decide = trend_tuner.decide if spec.algorithm == "Trend" else guarded.decide
    return decide(spec, objectives, applied, window, state)
