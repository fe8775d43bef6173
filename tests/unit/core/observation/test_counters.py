from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.observation.counters import Totals, continues, increase
from tests.factories import statistics

BEFORE = statistics(0, 10)


def test_what_was_added_between_two_readings():
    after = statistics(1, 14, batches={1: (10, 30_000_000), 4: (1, 9_000_000)})
    assert increase(BEFORE, after) == Totals(
        requests=4,
        inferences=4,
        failures=0,
        executions=4,
        duration_ns=20_000_000,
        queue_ns=8_000_000,
        batches={4: (1, 9_000_000)},
    )


@pytest.mark.parametrize(
    "fallen",
    [
        pytest.param({"inference_count": 9}, id="inferences"),
        pytest.param({"success_count": 9}, id="requests"),
        pytest.param({"success_ns": 1}, id="duration"),
        pytest.param({"queue_ns": 1}, id="queue"),
        pytest.param({"execution_count": 9}, id="executions"),
        pytest.param({"batches": {}}, id="a batch size that vanished, as at a reload"),
        pytest.param({"batches": {1: (10, 5)}}, id="the compute time of a batch size"),
    ],
)
def test_a_counter_that_fell_begins_the_pod_afresh(fallen):
    after = replace(statistics(1, 20), **fallen)
    assert increase(BEFORE, after) == Totals()


def test_failures_that_fell_begin_the_pod_afresh():
    assert increase(statistics(0, 1, failure_count=3), statistics(1, 2)) == Totals()


def test_totals_add_up_per_batch_size():
    one = Totals(requests=1, batches={1: (1, 5), 8: (2, 50)})
    two = Totals(requests=2, failures=1, batches={8: (1, 30), 2: (1, 9)})
    both = one.plus(two)
    assert (both.requests, both.failures) == (3, 1)
    assert both.batches == {1: (1, 5), 2: (1, 9), 8: (3, 80)}
    assert (both.batch_count, both.compute_ns) == (5, 94)


COUNTS = st.integers(min_value=0, max_value=10**12)
BATCHES = st.dictionaries(st.integers(1, 64), st.tuples(COUNTS, COUNTS), max_size=4)
READINGS = st.builds(
    statistics,
    now_s=st.just(0.0),
    requests=st.integers(0, 10**6),
    inference_count=COUNTS,
    success_ns=COUNTS,
    failure_count=COUNTS,
    queue_ns=COUNTS,
    execution_count=COUNTS,
    batches=BATCHES,
)


@given(READINGS, READINGS)
def test_no_increase_is_ever_negative(before, after):
    added = increase(before, after)
    assert (
        min(
            added.requests,
            added.inferences,
            added.failures,
            added.executions,
            added.duration_ns,
            added.queue_ns,
        )
        >= 0
    )
    assert all(count > 0 and total_ns >= 0 for count, total_ns in added.batches.values())


@given(READINGS)
def test_nothing_is_added_between_equal_readings(reading):
    assert increase(reading, reading) == Totals()


def test_rejected_requests_are_counted_apart():
    added = increase(
        statistics(0, 1, failure_count=2, rejected_count=5),
        statistics(1, 4, failure_count=3, rejected_count=9),
    )
    assert (added.requests, added.failures, added.rejected, added.ended) == (3, 1, 4, 8)


@pytest.mark.parametrize(
    ("failures", "rejected"),
    [
        pytest.param(3, None, id="failures may be rejections: how many is unknown"),
        pytest.param(0, 0, id="without failures there were no rejections either"),
    ],
)
def test_rejections_that_are_not_told_apart_are_unknown_and_never_0(failures, rejected):
    added = increase(
        statistics(0, 1, rejected_count=None),
        statistics(1, 4, failure_count=failures, rejected_count=None),
    )
    assert (added.failures, added.rejected) == (failures, rejected)
    known = Totals(rejected=4)
    assert known.plus(added).rejected == added.plus(known).rejected
    assert known.plus(added).rejected == (None if rejected is None else 4)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(None, 5, id="told apart in the later reading only"),
        pytest.param(5, None, id="told apart in the earlier reading only"),
        pytest.param(5, 4, id="fewer than before"),
    ],
)
def test_rejections_that_cannot_be_compared_begin_the_pod_afresh(before, after):
    one, other = statistics(0, 1, rejected_count=before), statistics(1, 4, rejected_count=after)
    assert not continues(one, other)
    assert increase(one, other) == Totals()
