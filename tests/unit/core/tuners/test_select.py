import pytest

from ferryman.api.batching import Batching, BatchingSpec, TrendSettings
from ferryman.api.conditions import Reason
from ferryman.core.tuners import select as tuner
from ferryman.core.tuners import trend as trend_tuner
from ferryman.core.tuners.guarded import decision as guarded
from ferryman.core.tuners.select import MIN_REQUESTS, TuneDecision, TunerState, tune
from tests.factories import objectives, window

APPLIED = Batching(max_batch_size=4)
#: Under-batched: full batches, a queue, and latencies far above the target.
SATURATED = window(
    latency_ms=900.0,
    mean_latency_ms=610.0,
    mean_batch_size=4.0,
    queue_ms=600.0,
    compute_ms=9.0,
    offered_inferences_per_s=600.0,
    service_times={1: (10, 6.0), 2: (10, 7.0), 4: (250, 9.0)},
    arrived=((1.0, 600),) * 10,
)


def after(algorithm, state=None):
    spec = BatchingSpec(algorithm=algorithm, trend=TrendSettings(samples=3))
    return tune(spec, objectives(50), APPLIED, SATURATED, state or TunerState())


@pytest.mark.parametrize(
    ("algorithm", "decide"), [("Trend", trend_tuner.decide), ("Guarded", guarded.decide)]
)
def test_the_algorithm_that_the_specification_names_decides(algorithm, decide):
    spec = BatchingSpec(algorithm=algorithm, trend=TrendSettings(samples=3))
    expected = decide(spec, objectives(50), APPLIED, SATURATED, TunerState())
    assert after(algorithm) == expected


def test_of_an_under_batched_model_trend_makes_it_worse_and_guarded_better():
    once = after("Trend")
    twice = after("Trend", once.state)
    assert (once.reason, twice.reason) == (Reason.COLLECTING, Reason.TREND_DECREASE)
    assert twice.batching.max_batch_size == 2
    assert after("Guarded").batching.max_batch_size > 8


def test_the_state_of_one_algorithm_can_be_handed_to_the_other():
    learned = after("Guarded").state
    trend = after("Trend", learned)
    assert trend.state.learned == learned.learned
    assert trend.state.trajectory == (4, 2)
    assert after("Guarded", trend.state).batching.max_batch_size > 8


def test_whoever_runs_the_tuner_needs_this_module_alone():
    assert set(tuner.__all__) == {"MIN_REQUESTS", "TuneDecision", "TunerState", "tune"}
    assert MIN_REQUESTS > 0
    assert isinstance(after("Trend"), TuneDecision)
