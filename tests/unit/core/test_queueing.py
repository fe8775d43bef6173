from math import exp, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core import arrivals, queueing
from ferryman.core.queueing import Batcher, simulate


def batching(bound=1, delay_us=0, instances=1):
    return Batching(
        max_batch_size=bound, max_queue_delay_microseconds=delay_us, instances=instances
    )


def batcher(*service_s, delay_us=0, instances=1, preferred=()):
    return Batcher(batching(len(service_s), delay_us, instances), service_s, preferred)


def naive(moments, service, *, bound, delay, instances, preferred):
    """Serve in whole ticks, tick by tick; return (start, end, requests) of each batch."""
    waiting, busy_until, batches, tick = [], [0] * instances, [], 0
    coming = list(enumerate(moments))
    while coming or waiting:
        while coming and coming[0][1] <= tick:
            waiting.append(coming.pop(0))
        for instance in range(instances):
            size = naive_size(waiting, tick, bound, delay, preferred)
            if busy_until[instance] <= tick and size:
                taken, waiting = waiting[:size], waiting[size:]
                busy_until[instance] = tick + service[size - 1]
                batches.append((tick, busy_until[instance], [number for number, _ in taken]))
        tick += 1
    return batches


def naive_size(waiting, tick, bound, delay, preferred):
    """Return what Triton would run of those that wait, were an instance idle; 0 for nothing."""
    if not waiting:
        return 0
    most = min(len(waiting), bound)
    overdue = delay > 0 and tick - waiting[0][1] >= delay
    if overdue:
        return most
    wanted = [size for size in (preferred or [bound]) if size <= most]
    if wanted:
        return max(wanted)
    return most if delay == 0 else 0


@st.composite
def situations(draw):
    bound = draw(st.integers(1, 5))
    gaps = draw(st.lists(st.integers(0, 6), min_size=1, max_size=30))
    return {
        "moments": np.cumsum(gaps).tolist(),
        "service": draw(st.lists(st.integers(1, 9), min_size=bound, max_size=bound)),
        "bound": bound,
        "delay": draw(st.integers(0, 10)),
        "instances": draw(st.integers(1, 3)),
        "preferred": tuple(draw(st.sets(st.integers(1, bound), max_size=2))),
    }


def twin(situation):
    """Return the twin of a situation; a tick is a second, so that floating point is exact."""
    configured = batching(
        situation["bound"], situation["delay"] * 1_000_000, situation["instances"]
    )
    return Batcher(configured, tuple(map(float, situation["service"])), situation["preferred"])


@settings(max_examples=400, deadline=None)
@given(situations())
def test_batches_are_those_of_a_naive_simulation(situation):
    expected = naive(**situation)
    outcome = simulate(situation["moments"], twin(situation))
    assert list(zip(outcome.batches.starts_s, outcome.batches.sizes, strict=True)) == [
        (start, len(requests)) for start, _, requests in expected
    ]
    ends = {number: end for _, end, requests in expected for number in requests}
    assert outcome.latencies_s.tolist() == [
        ends[number] - moment for number, moment in enumerate(situation["moments"])
    ]


@settings(max_examples=100, deadline=None)
@given(situations())
def test_every_request_is_served_once_in_order_and_within_the_bound(situation):
    batcher = twin(situation)
    outcome = simulate(situation["moments"], batcher)
    starts = np.repeat(outcome.batches.starts_s, outcome.batches.sizes)
    assert outcome.batches.sizes.sum() == len(situation["moments"])
    assert outcome.batches.sizes.max() <= situation["bound"]
    assert np.all(np.diff(starts) >= 0), "first in, first out"
    assert np.all(starts >= situation["moments"]), "nothing is served before it arrives"
    begun, ended = outcome.batches.starts_s, outcome.batches.ends_s
    overlapping = [int(((begun <= at) & (ended > at)).sum()) for at in begun]
    assert max(overlapping) <= situation["instances"]


@settings(max_examples=100, deadline=None)
@given(situations(), st.lists(st.integers(0, 60), max_size=6))
def test_going_moment_by_moment_gives_the_same_batches(situation, moments):
    batcher, arrivals_s = twin(situation), [float(each) for each in situation["moments"]]
    state, parts = queueing.idle(situation["instances"]), []
    for moment in (*sorted(moments), np.inf):
        state, part = queueing.advance(batcher, arrivals_s, state, until_s=moment)
        assert np.all(part.starts_s < moment)
        parts.append(part)
    whole = simulate(arrivals_s, batcher).batches
    assert np.concatenate([part.starts_s for part in parts]).tolist() == whole.starts_s.tolist()
    assert np.concatenate([part.sizes for part in parts]).tolist() == whole.sizes.tolist()
    assert state.head == len(arrivals_s)


@pytest.mark.parametrize(
    ("delay_us", "preferred", "starts_s", "sizes"),
    [
        pytest.param(0, (), [0.0, 1.0], [1, 4], id="delay 0: an idle instance waits for nobody"),
        pytest.param(
            200_000, (), [0.2, 1.2], [3, 2], id="the delay of the oldest request runs out"
        ),
        pytest.param(900_000, (), [0.3, 1.8], [4, 1], id="the bound is reached before the delay"),
        pytest.param(
            950_000, (2,), [0.1, 1.1], [2, 2], id="a preferred size is reached before the delay"
        ),
    ],
)
def test_when_the_batcher_wakes(delay_us, preferred, starts_s, sizes):
    found = simulate(
        [0.0, 0.1, 0.2, 0.3, 0.9], batcher(1, 1, 1, 1, delay_us=delay_us, preferred=preferred)
    ).batches
    assert found.starts_s[:2].tolist() == pytest.approx(starts_s)
    assert found.sizes[:2].tolist() == sizes


def test_what_waits_for_an_instance_fills_the_batch_up_to_the_bound():
    found = simulate([0.0, 0.1, 0.2, 0.3, 0.4], batcher(1, 1, 1)).batches
    assert found.sizes.tolist() == [1, 3, 1]
    assert found.ends_s.tolist() == [1, 2, 3]


def test_requests_from_the_stop_on_do_not_fill_a_batch():
    state, part = queueing.advance(
        batcher(1, 1, 1, delay_us=500_000), [0.0, 0.1, 0.2], queueing.idle(1), stop=2
    )
    assert (part.starts_s.tolist(), part.sizes.tolist()) == ([0.5], [2])
    assert state == queueing.State(2, (1.5,))


@pytest.mark.parametrize(
    ("instances", "free_s"),
    [
        pytest.param(1, (9.0,), id="fewer: what finishes last is still under way"),
        pytest.param(2, (4.0, 9.0), id="as many: nothing changes"),
        pytest.param(3, (4.0, 6.0, 9.0), id="more: the new one is idle from now on"),
    ],
)
def test_instances_can_be_added_and_removed(instances, free_s):
    state = queueing.State(7, (4.0, 9.0)).with_instances(instances, 6.0)
    assert state == queueing.State(7, free_s)


def test_no_requests_are_no_batches():
    outcome = simulate([], batcher(1))
    assert (outcome.latencies_s.size, outcome.batches.sizes.size) == (0, 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(
            lambda: Batcher(batching(3), (1.0, 1.0)), "do not reach bound 3", id="too few times"
        ),
        pytest.param(lambda: batcher(0.0), "greater than 0", id="a batch that takes no time"),
        pytest.param(lambda: batcher(1, preferred=(2,)), "from 1 to the bound, 1", id="preferred"),
        pytest.param(lambda: simulate([1, 0], batcher(1)), "must ascend", id="back in time"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def mean_wait_s(rate_per_s, batcher, *, seed):
    """Return the mean wait in a long run and its standard error, from the means of 40 parts."""
    moments_s = arrivals.poisson(rate_per_s, 200_000 / rate_per_s, np.random.default_rng(seed))
    outcome = simulate(moments_s, batcher)
    began_s = np.repeat(outcome.batches.starts_s, outcome.batches.sizes)
    means = [part.mean() for part in np.array_split(began_s - moments_s, 40)]
    return np.mean(means), np.std(means, ddof=1) / sqrt(len(means))


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_by_one_the_wait_is_that_of_an_m_d_1_queue(load):
    """Pollaczek-Khinchine with constant service D: load · D / (2 (1 - load))."""
    wait_s, error_s = mean_wait_s(load / 0.01, batcher(0.01), seed=7)
    assert wait_s == pytest.approx(load * 0.01 / (2 * (1 - load)), abs=4 * error_s)


@pytest.mark.parametrize("load", [0.5, 1.5, 4.0])
def test_unlimited_batches_wait_for_half_of_the_one_before(load):
    """The batcher without bound, D for each batch, served as soon as an instance is idle.

    After each batch wait those who came meanwhile, Poisson with mean load = rate · D; if none,
    the next arrival is served at once. A batch is max(1, that) on average: load + exp(-load).
    Of them exp(-load) waited for nothing, the others for D / 2.
    """
    wait_s, error_s = mean_wait_s(load / 0.01, batcher(*[0.01] * 64), seed=8)
    expected_s = 0.005 * load / (load + exp(-load))
    assert wait_s == pytest.approx(expected_s, abs=4 * error_s)


def test_with_two_instances_the_wait_is_that_of_an_m_d_2_queue():
    """Cosmetatos' approximation: half the wait of M/M/2, corrected; within 1 % of the truth.

    (Cosmetatos, Some approximate equilibrium results for the multi-server queue M/G/r,
    Operational Research Quarterly 27, 1976.)
    """
    load, service_s = 0.8, 0.01
    wait_s, error_s = mean_wait_s(2 * load / service_s, batcher(service_s, instances=2), seed=9)
    mm2_s = service_s * load**2 / (1 - load**2)
    correction = 1 + (1 - load) * (sqrt(4 + 5 * 2) - 2) / (16 * load * 2)
    assert wait_s == pytest.approx(mm2_s / 2 * correction, rel=0.01, abs=4 * error_s)
