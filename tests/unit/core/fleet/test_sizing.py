"""The rule for replicas, and what the digital twin makes of what it promises."""

import numpy as np
import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.core.fleet.sizing import MARGIN, USABLE, Size, TooSlow, size
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator import arrivals

CURVE = tuple(5.0 + b for b in range(1, 33))
CASES = 200
REQUESTS = 20_000
WARM_UP = 500


def latency(target, percentile=99):
    return Objectives(latency=LatencyObjective(target_milliseconds=target, percentile=percentile))


def throughput(least):
    return Objectives(throughput=ThroughputObjective(min_per_second=least))


def test_without_a_latency_objective_a_share_of_the_capacity_is_used():
    capacity_per_s = 32 / 37 * 1000
    found = size(throughput(1), USABLE * capacity_per_s, None, CURVE)
    assert (found.replicas, found.batch_size) == (1, 32)
    assert (found.time, found.capacity_per_s) == (pytest.approx(1.0), pytest.approx(capacity_per_s))
    assert size(throughput(1), USABLE * capacity_per_s + 1, None, CURVE).replicas == 2


def test_a_throughput_objective_asks_for_its_capacity():
    assert size(throughput(864), 1.0, None, CURVE).replicas == 1
    assert size(throughput(866), 1.0, None, CURVE).replicas == 2


def test_two_of_the_largest_batches_fit_into_the_target():
    found = size(latency(40), 10.0, None, CURVE)
    assert 2 * CURVE[found.batch_size - 1] <= MARGIN * 40
    assert found.replicas == 1


def test_a_replica_must_be_idle_where_no_other_request_fits_into_the_target():
    found = size(latency(7, 90), 100.0, None, CURVE)
    assert found == Size(6, 1, pytest.approx(1.0), pytest.approx(1000 / 6))


def test_what_a_single_request_misses_cannot_be_reached():
    found = size(latency(6), 1.0, None, CURVE)
    message = "a batch of one takes 6 ms, the latency objective leaves 5.4 ms"
    assert found == TooSlow(Reason.LATENCY_UNREACHABLE, message)


def test_a_number_of_replicas_must_do():
    found = size(throughput(1), 2000.0, 3, CURVE)
    assert found == TooSlow(Reason.NEEDS_CAPACITY, "4 replicas needed, spec.replicas is 3")
    more = size(throughput(1), 2000.0, 8, CURVE)
    assert (more.replicas, more.time) == (8, pytest.approx(2000 / 8 / (USABLE * 32 / 37 * 1000)))


def test_a_curve_that_falls_is_taken_at_its_longest():
    falling = (4.0, 9.0, 4.0, 4.0)
    assert size(latency(10), 1.0, None, falling).batch_size == 1


def drawn(rng):
    """Return a curve, objectives and the rate of one replica that was accepted, or None."""
    bound = int(rng.choice([1, 4, 8, 32, 128]))
    fixed_ms, each_ms = np.exp(rng.normal([1.0, -0.5], 1.0))
    curving_ms = np.exp(rng.normal(-5, 1)) * (rng.random() < 0.3)
    curve_ms = tuple(fixed_ms + each_ms * b + curving_ms * b * b for b in range(1, bound + 1))
    target = max(1, round(curve_ms[0] * np.exp(rng.uniform(np.log(1.05), np.log(60)))))
    objectives = latency(target, int(rng.choice([50, 90, 95, 99])))
    rate_per_s = float(np.exp(rng.uniform(np.log(1), np.log(5000))))
    found = size(objectives, rate_per_s, None, curve_ms)
    return None if isinstance(found, TooSlow) else (curve_ms, objectives, found, rate_per_s)


def meets(case, rng):
    """Whether the twin, sent its part of Poisson arrivals, keeps the percentile in the target."""
    curve_ms, objectives, found, rate_per_s = case
    each_per_s = rate_per_s / found.replicas
    moments_s = arrivals.poisson(each_per_s, REQUESTS / each_per_s, rng)
    batcher = Batcher(
        Batching(max_batch_size=found.batch_size), tuple(ms / 1000 for ms in curve_ms)
    )
    latencies_s = queueing.simulate(moments_s, batcher).latencies_s[WARM_UP:]
    seen_ms = np.percentile(latencies_s, objectives.percentile) * 1000
    return seen_ms <= objectives.latency.target_milliseconds


def test_the_twin_meets_what_the_rule_accepts():
    """Of random curves, targets and rates 99 % at least; each is seen for 20,000 requests."""
    rng = np.random.default_rng(7)
    cases = [case for case in (drawn(rng) for _ in range(CASES)) if case is not None]
    met = [meets(case, rng) for case in cases]
    assert len(cases) > CASES / 2
    assert np.mean(met) >= 0.99
