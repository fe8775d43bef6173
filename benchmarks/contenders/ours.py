"""Ferryman's own algorithms, as the operator runs them."""

from collections.abc import Callable
from typing import Final

from benchmarks.contenders.base import Contender
from ferryman.api.batching import BatchingSpec
from ferryman.core.tuners.select import TunerState, tune


def _algorithm(name: str) -> Callable[[BatchingSpec], BatchingSpec]:
    def changed(spec: BatchingSpec) -> BatchingSpec:
        return spec.with_(algorithm=name)

    return changed


TREND: Final = Contender(
    "trend", "Trend", tune, TunerState(), spec=_algorithm("Trend"), guarded=True
)
GUARDED: Final = Contender(
    "guarded", "Guarded", tune, TunerState(), spec=_algorithm("Guarded"), guarded=True
)
