import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core.queue_model.graph import QueueingStep, ends_of, latencies_s
from ferryman.core.queue_model.queueing import Batcher


def step(name, seconds, *after, bound=1, instances=1, **fields):
    batching = Batching(max_batch_size=bound, instances=instances, **fields)
    return QueueingStep(name, Batcher(batching, (seconds,) * bound), after)


def test_a_join_waits_for_the_last_of_those_that_it_reads():
    steps = (step("a", 1.0), step("b", 3.0), step("join", 0.5, "a", "b"))
    ends = ends_of(steps, np.array([0.0, 10.0]))
    assert ends["join"].tolist() == [3.5, 13.5]
    assert latencies_s(steps, np.array([0.0, 10.0])).tolist() == [3.5, 3.5]


def test_who_overtakes_in_one_step_is_served_first_in_the_next():
    steps = (
        step("head", 1.0, instances=2),
        step("long", 5.0, "head"),
        step("join", 1.0, "long", "head"),
    )
    assert ends_of(steps, np.array([0.0, 0.5]))["join"].tolist() == [7.0, 12.0]


@given(
    st.lists(st.floats(0, 20), min_size=1, max_size=12),
    st.lists(st.floats(0.01, 5.0), min_size=1, max_size=4),
)
@settings(deadline=None, max_examples=60)
def test_a_chain_of_single_workers_is_a_tandem_queue(moments, seconds):
    """Departure of request n from step k: max of its own arrival and n - 1's departure, and tau."""
    arrivals = sorted(moments)
    before = arrivals
    for tau in seconds:
        departures, last = [], 0.0
        for at in before:
            last = max(at, last) + tau
            departures.append(last)
        before = departures
    names = [f"s{i}" for i in range(len(seconds))]
    readings = [(), *((name,) for name in names[:-1])]
    steps = [step(n, t, *after) for n, t, after in zip(names, seconds, readings, strict=True)]
    assert ends_of(steps, np.array(arrivals))[names[-1]] == pytest.approx(before)


def test_a_queue_policy_is_refused():
    steps = (step("a", 1.0, max_queue_size=3),)
    with pytest.raises(ValueError, match="a may reject requests"):
        ends_of(steps, np.array([0.0]))


def test_a_pipeline_without_steps_is_refused():
    with pytest.raises(ValueError, match="at least one step"):
        latencies_s((), np.array([0.0]))
