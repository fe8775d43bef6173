from dataclasses import replace
from itertools import accumulate
from math import exp, inf, sqrt

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher, Batches, simulate
from ferryman.core.simulator import arrivals
from ferryman.core.simulator.graph.steps import PipelineLoad, SimulatedPipeline, SimulatedStep
from ferryman.core.simulator.graph.twin import PipelineTwin
from tests.unit.core.queue_model.literal_batcher import LiteralBatcher

TICK_US = 15_625  # 1/64 s: exact in floating point


def batching(bound=1, delay_us=0, instances=1, preferred=(), timeout_us=0, room=0):
    return Batching(
        max_batch_size=bound,
        max_queue_delay_microseconds=delay_us,
        instances=instances,
        preferred_batch_size=preferred,
        default_timeout_microseconds=timeout_us,
        max_queue_size=room,
    )


def batcher(*service_s, **configured):
    return Batcher(batching(len(service_s), **configured), service_s)


@st.composite
def situations(draw, *, delay=None, gap=6, policy=False, preferred=False, variable=False):
    """Situations in ticks, in which arrivals, timers and ends of batches never coincide.

    Arrivals are multiples of 120, delays and timeouts are 40 and 80 more than one, and a batch
    takes 1 more: so 39 batches may follow upon each other.
    """
    bound, units = draw(st.integers(1, 5)), 0 if delay is None else draw(delay)
    gaps = draw(st.lists(st.integers(1, gap), min_size=1, max_size=39))
    service = draw(st.lists(st.integers(0, 30), min_size=bound, max_size=bound))
    patience = draw(st.none() | st.integers(units + 1, units + 12)) if policy else None
    room = draw(st.integers(0 if patience else 1, 8)) if policy else 0
    sizes = st.sets(st.integers(1, bound), max_size=3) if preferred else st.just(())
    return {
        "arrivals": [120 * moment for moment in accumulate(gaps)],
        "service": [120 * ticks + 1 for ticks in service],
        "bound": bound,
        "delay": units and 120 * units + 40,
        "instances": draw(st.integers(1, 3)),
        "preferred": tuple(draw(sizes)),
        "timeout": 120 * patience + 80 if patience else inf,
        "room": room or inf,
        "variable": variable,
    }


DELAYS = st.integers(1, 5)
SHORT = st.integers(1, 2)
EVERY_SITUATION = st.one_of(
    situations(),
    situations(delay=DELAYS),
    situations(delay=SHORT, gap=2),
    situations(preferred=True),
    situations(preferred=True, delay=DELAYS),
    situations(preferred=True, delay=SHORT, gap=2),
    situations(policy=True, preferred=True),
    situations(policy=True, preferred=True, delay=DELAYS),
    situations(variable=True, delay=SHORT, gap=2),
    situations(variable=True, preferred=True, delay=DELAYS),
)


def seconds(ticks):
    return [each * TICK_US / 1e6 for each in ticks]


def twin(situation, parallelism=inf):
    timeout, room = (0 if situation[key] == inf else situation[key] for key in ("timeout", "room"))
    configured = batching(
        situation["bound"],
        situation["delay"] * TICK_US,
        situation["instances"],
        situation["preferred"],
        timeout * TICK_US,
        room,
    )
    service_s = tuple(seconds(situation["service"]))
    return Batcher(configured, service_s, parallelism, situation["variable"])


def in_batches(batches):
    """Return when each batch began and ended, and the requests in it."""
    requests = np.split(batches.requests, np.cumsum(batches.sizes))
    rows = zip(batches.starts_s, batches.ends_s, requests, strict=False)
    return [(start_s, end_s, each.tolist()) for start_s, end_s, each in rows]


def in_order(rejected, rejected_s):
    return sorted(zip(rejected, rejected_s, strict=True))


#: A batch is taken while two more wait, the first of them beyond its delay.
THREE_FORMED = {
    "arrivals": [360, 600, 960, 1320, 1440, 1680, 1800],
    "service": [2401, 1201],
    "bound": 2,
    "delay": 160,
    "instances": 2,
    "preferred": (1,),
    "timeout": inf,
    "room": inf,
    "variable": False,
}


@example(THREE_FORMED)
@settings(max_examples=1500, deadline=None, derandomize=True)  # to reach every branch
@given(EVERY_SITUATION)
def test_batches_and_rejections_are_those_of_triton_acted_out(situation):
    literal = LiteralBatcher(**situation)
    expected = [(*seconds((start, end)), requests) for start, end, requests in literal.run()]
    arrivals_s = seconds(situation["arrivals"])
    outcome = simulate(arrivals_s, twin(situation))
    batches = outcome.batches
    assert in_batches(batches) == expected
    assert in_order(batches.rejected, batches.rejected_s) == in_order(
        [number for number, _ in literal.rejected],
        seconds(moment for _, moment in literal.rejected),
    )
    answered = sorted((number, end_s) for _, end_s, numbers in expected for number in numbers)
    assert outcome.latencies_s.tolist() == [
        end_s - arrivals_s[number] for number, end_s in answered
    ]


@settings(max_examples=200, deadline=None)
@given(EVERY_SITUATION)
def test_everybody_is_served_once_in_order_and_within_the_bound_or_rejected(situation):
    arrivals_s = seconds(situation["arrivals"])
    batches = simulate(arrivals_s, twin(situation)).batches
    assert batches.requests.size == batches.sizes.sum()
    decided = sorted([*batches.requests, *batches.rejected])
    assert decided == list(range(len(arrivals_s))), "served or rejected, nobody twice or lost"
    assert batches.sizes.max(initial=0) <= situation["bound"]
    assert np.all(np.diff(batches.requests) > 0), "first in, first out"
    assert np.all(np.diff(batches.starts_s) >= 0)
    waits_s = np.repeat(batches.starts_s, batches.sizes) - np.array(arrivals_s)[batches.requests]
    assert np.all(waits_s >= 0), "nothing is served before it arrives"
    assert waits_s.max(initial=0) < twin(situation).timeout_s
    begun, ended = batches.starts_s, batches.ends_s
    overlapping = [int(((begun <= at) & (ended > at)).sum()) for at in begun]
    assert max(overlapping, default=0) <= situation["instances"]


def by_start(batches):
    return sorted(in_batches(batches), key=lambda batch: (batch[0], batch[2]))


@settings(max_examples=150, deadline=None)
@given(EVERY_SITUATION)
def test_a_processor_that_is_enough_for_all_instances_slows_nobody_down(situation):
    arrivals_s = seconds(situation["arrivals"])
    shared = simulate(arrivals_s, twin(situation, parallelism=situation["instances"]))
    apart = simulate(arrivals_s, twin(situation))
    assert by_start(shared.batches) == by_start(apart.batches)
    assert shared.latencies_s.tolist() == apart.latencies_s.tolist()


@settings(max_examples=100, deadline=None)
@given(EVERY_SITUATION, st.lists(st.integers(0, 20_000), max_size=4))
def test_who_shares_a_processor_may_also_be_watched(situation, moments):
    """However often one looks, everybody is served once, and the work takes the time it takes."""
    batcher, arrivals_s = twin(situation, parallelism=1), seconds(situation["arrivals"])
    state, parts = queueing.idle(situation["instances"]), []
    for moment_s in (*seconds(sorted(moments)), inf):
        state, part = queueing.advance(batcher, arrivals_s, state, until_s=moment_s)
        assert np.all(part.ends_s <= moment_s)
        parts.append(part)
    batches = Batches.concatenated(parts)
    assert sorted([*batches.requests, *batches.rejected]) == list(range(len(arrivals_s)))
    work_s = np.array((0.0, *batcher.service_s))[batches.sizes]
    busy_s, last_s = 0.0, 0.0
    for start_s, end_s in sorted(zip(batches.starts_s, batches.ends_s, strict=True)):
        busy_s += max(0.0, end_s - max(last_s, start_s))
        last_s = max(last_s, end_s)
    assert work_s.sum() == pytest.approx(busy_s)


@pytest.mark.parametrize("parallelism", [1.0, 1.5, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_instances_share_a_processor_as_the_steps_of_a_pipeline_do(parallelism, seed):
    """Another model that has nothing in common with this one: events, one after the other."""
    generator = np.random.default_rng(seed)
    arrivals_s = np.cumsum(generator.exponential(0.5, 60))
    service_s = tuple(np.cumsum(generator.uniform(0.2, 1.0, 3)).tolist())
    configured = batching(bound=3, instances=4)
    step = SimulatedStep("only", service_s, processors=1.0)
    acted = PipelineTwin(
        SimulatedPipeline((step,), processors=parallelism),
        PipelineLoad(tuple(arrivals_s.tolist())),
        {"only": configured},
    )
    acted.run(inf)
    answered = acted.answered()
    latencies_s = (answered.ends_s - answered.arrivals_s)[np.argsort(answered.arrivals_s)]
    found = simulate(arrivals_s, Batcher(configured, service_s, parallelism))
    assert found.latencies_s == pytest.approx(latencies_s)


def test_a_batch_is_as_noisy_as_its_first_request():
    found = simulate([0.0, 0.1, 0.2], batcher(1, 2), noise=[2.0, 0.5, 9.0])
    assert found.latencies_s.tolist() == pytest.approx([2.0, 2.9, 2.8])


@settings(max_examples=200, deadline=None)
@given(EVERY_SITUATION, st.lists(st.integers(0, 20_000), max_size=6))
def test_going_moment_by_moment_gives_the_same(situation, moments):
    batcher, arrivals_s = twin(situation), seconds(situation["arrivals"])
    state, parts = queueing.idle(situation["instances"]), []
    for moment_s in (*seconds(sorted(moments)), inf):
        state, part = queueing.advance(batcher, arrivals_s, state, until_s=moment_s)
        assert np.all(part.starts_s < moment_s)
        assert np.all(part.rejected_s < moment_s)
        parts.append(part)
    whole, pieces = simulate(arrivals_s, batcher).batches, Batches.concatenated(parts)
    assert in_batches(pieces) == in_batches(whole)
    assert in_order(pieces.rejected, pieces.rejected_s) == in_order(
        whole.rejected, whole.rejected_s
    )
    assert (state.head, state.held) == (len(arrivals_s), ())


@pytest.mark.parametrize(
    ("configured", "starts_s", "rejected"),
    [
        pytest.param({"timeout_us": 145_000}, [0, 0.5], [1, 4], id="a timeout, without delay"),
        pytest.param(
            {"timeout_us": 260_000, "delay_us": 100_000},
            [0.1, 0.6],
            [3, 4],
            id="a timeout, with a delay",
        ),
        pytest.param({"room": 3}, [0, 0.5, 1.0], [4], id="a bounded queue, without delay"),
        pytest.param(
            {"room": 3, "delay_us": 100_000}, [0.1, 0.6, 1.1], [4], id="a bounded queue, with one"
        ),
    ],
)
def test_all_who_have_not_begun_count_for_the_queue_and_can_time_out(
    configured, starts_s, rejected
):
    """With a queue policy nobody waits in a batch that is formed ahead of its time."""
    found = simulate([0.0, 0.35, 0.36, 0.37, 0.38], batcher(0.5, 0.5, **configured)).batches
    assert found.starts_s.tolist() == pytest.approx(starts_s)
    assert found.rejected.tolist() == rejected


def test_who_finds_the_queue_full_is_rejected_on_arrival():
    found = simulate([0.0, 0.1, 0.2, 0.3], batcher(1.0, room=1)).batches
    assert (found.rejected.tolist(), found.rejected_s.tolist()) == ([2, 3], [0.2, 0.3])


def test_who_timed_out_counts_until_the_batcher_looks():
    found = simulate([0.0, 0.1, 0.9, 1.1], batcher(1.0, timeout_us=500_000, room=1)).batches
    assert (found.rejected.tolist(), found.rejected_s.tolist()) == ([2, 1], [0.9, 1.0])


@pytest.mark.parametrize(
    ("arrivals_s", "starts_s", "sizes"),
    [
        pytest.param(
            [0.0, 1.0, 1.6, 1.7, 1.8], [0.5, 2.5, 4.5], [1, 1, 3], id="formed alone, it stays alone"
        ),
        pytest.param(
            [0.0, 1.0, 1.6, 1.7, 1.8, 1.9], [0.5, 2.5, 4.5], [1, 4, 1], id="woken by a full bound"
        ),
    ],
)
def test_a_batch_that_is_formed_while_all_are_busy_hardly_grows(arrivals_s, starts_s, sizes):
    """The delay of the second request is over at 1.5, while the first one is served until 2.5."""
    found = simulate(arrivals_s, batcher(2, 2, 2, 2, delay_us=500_000)).batches
    assert found.starts_s.tolist() == pytest.approx(starts_s)
    assert found.sizes.tolist() == sizes


@pytest.mark.parametrize(
    ("delay_us", "preferred", "starts_s", "sizes"),
    [
        pytest.param(0, (), [0.0, 1.0], [1, 4], id="delay 0: an idle instance waits for nobody"),
        pytest.param(
            200_000, (), [0.2, 1.2], [3, 1], id="the delay of the oldest request runs out"
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


def test_with_inputs_of_variable_dimensions_a_batch_grows_until_an_instance_takes_it():
    """Every arrival wakes the batcher; with fixed dimensions the second would stay alone."""
    moments_s = [0.0, 1.0, 1.6, 1.7, 1.8]
    fixed = batcher(2, 2, 2, 2, delay_us=500_000)
    found = simulate(moments_s, replace(fixed, variable_inputs=True)).batches
    assert found.sizes.tolist() == [1, 4]
    assert simulate(moments_s, fixed).batches.sizes.tolist() == [1, 1, 3]


def test_what_waits_for_an_instance_fills_the_batch_up_to_the_bound():
    found = simulate([0.0, 0.1, 0.2, 0.3, 0.4], batcher(1, 1, 1)).batches
    assert found.sizes.tolist() == [1, 3, 1]
    assert found.ends_s.tolist() == [1, 2, 3]


def test_requests_from_the_stop_on_do_not_fill_a_batch():
    state, part = queueing.advance(
        batcher(1, 1, 1, delay_us=500_000), [0.0, 0.1, 0.2], queueing.idle(1), stop=2
    )
    assert (part.starts_s.tolist(), part.sizes.tolist()) == ([0.5], [2])
    assert (state.head, state.free_s) == (2, (1.5,))


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
    assert state == queueing.State(7, free_s, turned_s=6.0)


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
