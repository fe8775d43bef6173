from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.observation.window import WindowState, estimate_percentile_ms, observe
from tests.factories import statistics, window_settings

SETTINGS = window_settings(max_requests=1000, max_seconds=30, min_seconds=5)


def watch(readings, settings=SETTINGS, *, percentile=99, changed_at_s=None, hasty=False):
    """Observe (time, {pod: reading}) one by one; return the last state and all windows."""
    state, windows = WindowState(), []
    for now_s, samples in readings:
        state, ended = observe(
            state,
            samples,
            settings,
            percentile=percentile,
            now_s=now_s,
            changed_at_s=changed_at_s,
            hasty=hasty,
        )
        windows += [ended] if ended else []
    return state, windows


def steady(requests_per_s, seconds, *, pod="a", start_s=100, **fields):
    """Return one reading a second of one pod under a steady load."""
    return [
        (start_s + i, {pod: statistics(start_s + i, requests_per_s * i, **fields)})
        for i in range(seconds + 1)
    ]


@pytest.mark.parametrize(
    ("requests_per_s", "settings", "ends_after_s"),
    [
        pytest.param(100, SETTINGS, 10, id="after enough requests"),
        pytest.param(1, SETTINGS, 30, id="after the most seconds when requests are few"),
        pytest.param(5000, SETTINGS, 5, id="not before the least seconds, however many requests"),
        pytest.param(0, SETTINGS, 30, id="also without any request"),
        pytest.param(
            1, window_settings(1000, 2, 5), 5, id="the least seconds bind the most seconds too"
        ),
    ],
)
def test_when_a_window_ends(requests_per_s, settings, ends_after_s):
    _, windows = watch(steady(requests_per_s, ends_after_s), settings)
    assert [w.seconds for w in windows] == [ends_after_s]
    assert watch(steady(requests_per_s, ends_after_s - 1), settings)[1] == []


def test_failed_requests_count_towards_the_end_of_a_window():
    readings = [(0, {"a": statistics(0)}), (6, {"a": statistics(6, 500, failure_count=500)})]
    _, windows = watch(readings)
    assert [(w.requests, w.failures) for w in windows] == [(500, 500)]


def test_a_window_says_who_waited_at_a_replaced_copy_when_it_began():
    """A reload at 99.5 s leaves 320 behind, of whom 200 are answered in the first window."""
    told = [(99, 500, 300, 500), (100, 0, 320, 520), (105, 1000, 400, 1720), (110, 2000, 0, 2840)]
    readings = [
        (now_s, {"a": statistics(now_s, own, pending=waiting, answered_by_all=of_all)})
        for now_s, own, waiting, of_all in told
    ]
    _, windows = watch(readings, changed_at_s=99.5)
    assert [each.left_behind for each in windows] == [320, 120]


def test_what_a_window_says():
    first = statistics(100, 0, pending=3)
    last = statistics(
        110,
        1000,
        inference_count=4000,
        success_ns=20_000_000_000,
        queue_ns=5_000_000_000,
        failure_count=10,
        execution_count=500,
        batches={4: (100, 400_000_000), 9: (400, 4_000_000_000)},
        pending=53,
    )
    _, [seen] = watch([(100, {"a": first}), (110, {"a": last})])
    assert (seen.ended_at_s, seen.seconds) == (110, 10)
    assert (seen.requests, seen.inferences, seen.failures) == (1000, 4000, 10)
    assert (seen.requests_per_s, seen.inferences_per_s) == (100.0, 400.0)
    # 10 failed and 50 more wait, of 4 inferences each on average.
    assert seen.offered_inferences_per_s == (4000 + 60 * 4) / 10
    assert (seen.mean_latency_ms, seen.queue_ms) == (20.0, 5.0)
    assert seen.mean_batch_size == 8.0
    assert seen.compute_ms == 4400 / 500
    assert seen.service_times == {4: (100, 4.0), 9: (400, 10.0)}
    assert seen.pending == 53


def test_a_window_without_traffic_has_no_means():
    _, [seen] = watch(steady(0, 30))
    assert (seen.requests, seen.requests_per_s, seen.offered_inferences_per_s) == (0, 0.0, 0.0)
    assert (seen.mean_latency_ms, seen.latency_ms, seen.mean_batch_size) == (None, None, None)
    assert (seen.queue_ms, seen.compute_ms, seen.pending) == (None, None, None)
    assert seen.latency_estimated is False
    assert seen.service_times == {}


def test_a_queue_that_shrinks_does_not_lower_the_offered_load():
    readings = [(0, {"a": statistics(0, pending=90)}), (10, {"a": statistics(10, 1000, pending=0)})]
    _, [seen] = watch(readings)
    assert seen.offered_inferences_per_s == seen.inferences_per_s == 100.0


def test_windows_follow_one_another_without_a_gap():
    _, windows = watch(steady(100, 20))
    assert [(w.ended_at_s, w.requests) for w in windows] == [(110, 1000), (120, 1000)]


def test_the_window_in_which_the_configuration_changed_is_discarded():
    readings = steady(100, 15)
    _, windows = watch(readings, changed_at_s=103.5)
    # A new window begins at the first reading after the change, at 104 s.
    assert [(w.ended_at_s, w.seconds) for w in windows] == [(114, 10)]


def test_a_change_at_the_very_start_of_a_window_discards_it_too():
    state, _ = watch(steady(100, 0))
    state, ended = observe(
        state,
        {"a": statistics(101, 100)},
        SETTINGS,
        percentile=99,
        now_s=101,
        changed_at_s=100,
    )
    assert (state.started_at_s, ended) == (101, None)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({"a": statistics(4, 400), "b": statistics(4, 0)}, id="a pod came"),
        pytest.param({"b": statistics(4, 0)}, id="a pod was replaced"),
        pytest.param({}, id="no pod answers"),
    ],
)
def test_a_window_in_which_the_pods_changed_is_discarded(others):
    state, windows = watch([*steady(100, 3), (104, others)])
    assert windows == []
    assert state.started_at_s == 104
    assert all(totals.requests == 0 for totals in state.totals.values())


def test_a_pod_whose_counters_were_reset_loses_only_the_interval_of_the_reset():
    counts = [0, 100, 200, 0, 100, 200, 300]
    readings = [(i, {"a": statistics(i, n)}) for i, n in enumerate(counts)]
    _, [seen] = watch(readings, window_settings(10_000, 6, 1))
    assert seen.requests == 500


def test_several_pods_add_up_and_the_worst_percentile_counts():
    first = {"a": statistics(0), "b": statistics(0), "idle": statistics(0)}
    last = {
        "a": statistics(10, 900, latency_quantiles_us={99: 20_000.0}, pending=1),
        "b": statistics(10, 100, success_ns=900_000_000, latency_quantiles_us={99: 80_000.0}),
        "idle": statistics(10, 0, latency_quantiles_us={99: 999_000.0}),
    }
    _, [seen] = watch([(0, first), (10, last)])
    assert (seen.requests, seen.pending) == (1000, 1)
    assert seen.mean_latency_ms == pytest.approx((900 * 5 + 900) / 1000)
    assert (seen.latency_ms, seen.latency_estimated) == (80.0, False)


ESTIMATE = pytest.approx(3 + 2 * log(100))


@pytest.mark.parametrize(
    ("quantiles", "changed_at_s", "latency_ms", "estimated"),
    [
        pytest.param({99: 40_000.0}, None, 40.0, False, id="Triton's own, without any change"),
        pytest.param({99: 40_000.0}, 50, 40.0, False, id="Triton's own, 60 s after the change"),
        pytest.param({99: 40_000.0}, 51, ESTIMATE, True, id="estimated: 59 s after the change"),
        pytest.param({95: 40_000.0}, None, ESTIMATE, True, id="estimated: another percentile"),
        pytest.param({}, None, ESTIMATE, True, id="estimated: Triton has none"),
        pytest.param({99: float("nan")}, None, ESTIMATE, True, id="estimated: Triton says NaN"),
        pytest.param({99: 0.0}, None, ESTIMATE, True, id="estimated: Triton says 0"),
    ],
)
def test_the_percentile(quantiles, changed_at_s, latency_ms, estimated):
    readings = steady(100, 10, latency_quantiles_us=quantiles)
    _, [seen] = watch(readings, changed_at_s=changed_at_s)
    assert (seen.latency_ms, seen.latency_estimated) == (latency_ms, estimated)


def test_one_estimated_pod_makes_the_window_estimated():
    first = {"a": statistics(0), "b": statistics(0)}
    last = {
        "a": statistics(10, 500, latency_quantiles_us={99: 90_000.0}),
        "b": statistics(10, 500),
    }
    _, [seen] = watch([(0, first), (10, last)])
    assert (seen.latency_ms, seen.latency_estimated) == (90.0, True)


@pytest.mark.parametrize(
    ("latency_ms", "queue_ms", "percentile", "expected"),
    [
        pytest.param(10.0, 0.0, 99, 10.0, id="nothing waits: the mean"),
        pytest.param(10.0, 4.0, 99, 6 + 4 * log(100), id="the tail of the wait comes on top"),
        pytest.param(10.0, 4.0, 50, 6 + 4 * log(2), id="the median wait is below its mean"),
        pytest.param(3.0, 4.0, 90, 3 * log(10), id="a wait above the whole is held to it"),
    ],
)
def test_estimate_percentile(latency_ms, queue_ms, percentile, expected):
    estimate = estimate_percentile_ms(
        mean_latency_ms=latency_ms, mean_queue_ms=queue_ms, percentile=percentile
    )
    assert estimate == pytest.approx(expected)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "ab"]),
        st.integers(0, 400),
        st.integers(0, 50),
        st.booleans(),
    ),
    min_size=1,
    max_size=60,
)


@given(STEPS)
def test_whatever_resets_no_window_counts_more_than_happened_or_less_than_nothing(steps):
    """Two pods come, go and reset; the windows together never exceed what was really served."""
    counts = {"a": (0, 0), "b": (0, 0)}
    served, readings = 0, []
    for second, (pods, requests, failures, resets) in enumerate(steps):
        for pod in pods:
            before = (0, 0) if resets else counts[pod]
            counts[pod] = (before[0] + requests, before[1] + failures)
            served += requests
        readings.append(
            (
                second,
                {p: statistics(second, counts[p][0], failure_count=counts[p][1]) for p in pods},
            )
        )
    _, windows = watch(readings, window_settings(200, 5, 1))
    assert all(w.requests >= 0 and w.failures >= 0 for w in windows)
    assert sum(w.requests for w in windows) <= served
    assert all(w.mean_latency_ms == pytest.approx(5.0) for w in windows if w.requests)


def test_rejected_requests_are_neither_failures_nor_served_but_were_asked_for():
    first = statistics(0, pending=0)
    last = statistics(10, 600, failure_count=50, rejected_count=350, pending=0)
    _, [seen] = watch([(0, {"a": first}), (10, {"a": last})])
    assert (seen.requests, seen.failures, seen.rejected) == (600, 50, 350)
    assert seen.offered_inferences_per_s == 100.0


def test_what_arrived_from_one_reading_to_the_next():
    readings = [
        (0, {"a": statistics(0, pending=0), "b": statistics(0)}),
        (1, {"a": statistics(1, 10, pending=5), "b": statistics(1, 3)}),
        # b does not say what waits; a's queue is worked off, and something failed.
        (3, {"a": statistics(3, 30, pending=0, failure_count=2), "b": statistics(3, 3)}),
        (6, {"a": statistics(6, 40, failure_count=2, rejected_count=600), "b": statistics(6, 400)}),
    ]
    _, [seen] = watch(readings)
    assert seen.arrived == ((1, 10 + 5 + 3), (2, 20 - 5 + 2), (3, 10 + 600 + 397))
    assert seen.pods == 2


def test_arrivals_are_never_negative_although_the_queue_is_read_at_another_moment():
    readings = [
        (0, {"a": statistics(0, pending=9)}),
        (6, {"a": statistics(6, 4, pending=0)}),
        (31, {"a": statistics(31, 4, pending=0)}),
    ]
    _, [seen] = watch(readings)
    assert seen.arrived == ((6, 0), (25, 0))


def test_an_interval_with_a_reload_says_nothing_of_arrivals():
    readings = [
        (0, {"a": statistics(0, 100), "b": statistics(0)}),
        (5, {"a": statistics(5, 3), "b": statistics(5, 50)}),
        (30, {"a": statistics(30, 23), "b": statistics(30, 60)}),
    ]
    _, [seen] = watch(readings)
    assert seen.arrived == ((25, 30),)


def test_a_reading_at_the_very_moment_of_the_last_is_no_interval():
    readings = [(0, {"a": statistics(0)}), (0, {"a": statistics(0, 5)})]
    state, _ = watch(readings)
    assert state.sent.intervals == ()


@given(counts=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=30, max_size=30))
def test_all_arrivals_together_are_what_left_and_what_waits(counts):
    """Every request that came is served or waits: an oracle that keeps the requests themselves."""
    served, waiting, readings = 0, 0, [(0, {"a": statistics(0, pending=0)})]
    came = []
    for second, (arrivals, capacity) in enumerate(counts, start=1):
        done = min(waiting + arrivals, capacity)
        served, waiting = served + done, waiting + arrivals - done
        came.append((1, arrivals))
        readings.append((second, {"a": statistics(second, served, pending=waiting)}))
    _, [seen] = watch(readings, window_settings(max_requests=10**6, max_seconds=30, min_seconds=30))
    assert list(seen.arrived) == came


@pytest.mark.parametrize(
    ("waiting_per_s", "ends_after_s"),
    [
        pytest.param(60, 2, id="where more than half of what is served waits"),
        pytest.param(20, 5, id="a queue that grows ends it after the least seconds"),
    ],
)
def test_a_window_that_floods_is_short(waiting_per_s, ends_after_s):
    readings = [
        (second, {"a": statistics(second, 100 * second, pending=waiting_per_s * second)})
        for second in range(6)
    ]
    _, windows = watch(readings, hasty=True)
    assert [each.seconds for each in windows][:1] == [ends_after_s]
    assert [each.seconds for each in watch(readings)[1]] == [5]


def test_a_batch_that_takes_longer_than_the_least_length_is_waited_for():
    """Requests pile up, but a window in which nothing ended would say nothing of them."""
    readings = [(at, {"a": statistics(at, pending=100 * at)}) for at in range(8)]
    assert watch(readings)[1] == []
    _, [seen] = watch([*readings, (8, {"a": statistics(8, 64, pending=736)})])
    assert (seen.seconds, seen.requests) == (8, 64)


def test_requests_that_are_executed_for_longer_than_a_reading_are_counted_once():
    readings = [
        (0, {"a": statistics(0, pending=0)}),
        (1, {"a": statistics(1, pending=40)}),
        (2, {"a": statistics(2, pending=5)}),  # 40 are executed, and 5 came
        (6, {"a": statistics(6, 40, pending=9)}),
        (31, {"a": statistics(31, 49, pending=0)}),
    ]
    _, [seen] = watch(readings)
    assert [count for _, count in seen.arrived] == [40, 0, 9, 0]


def test_also_where_they_end_in_the_next_window():
    first = [(at, {"a": statistics(at, 10, pending=40 if at < 29 else 0)}) for at in range(31)]
    later = [(at, {"a": statistics(at, 50, pending=0)}) for at in range(31, 61)]
    _, [_, seen] = watch([*first, *later])
    assert sum(count for _, count in seen.arrived) == 0, "they were counted when they waited"


def test_requests_that_clients_gave_up_do_not_hide_those_that_come_later():
    readings = [
        (
            at,
            {
                "a": statistics(
                    at,
                    10 * at,
                    pending=1000 if at < 3 else 0,
                    cancelled_count=0 if at < 3 else 1000,
                )
            },
        )
        for at in range(31)
    ]
    _, [seen] = watch(readings)
    assert [count for _, count in seen.arrived] == [10] * 30


def test_what_the_response_cache_answers_is_in_no_mean():
    """Triton counts it as a success, with its time, but as no inference and no execution."""
    first = statistics(0)
    last = statistics(
        10,
        1000,
        inference_count=200,
        cached_count=900,
        cached_ns=9_000_000,
        success_ns=5_009_000_000,
        queue_ns=1_000_000_000,
        execution_count=50,
        batches={4: (50, 2_000_000_000)},
        failure_count=10,
    )
    _, [seen] = watch([(0, {"a": first}), (10, {"a": last})])
    assert (seen.requests, seen.cached, seen.inferences_per_s) == (1000, 900, 20.0)
    assert (seen.mean_latency_ms, seen.queue_ms, seen.mean_batch_size) == (50.0, 10.0, 4.0)
    assert seen.offered_inferences_per_s == (200 + 10 * 2) / 10


def test_where_the_cache_answers_everything_nothing_is_known_of_latency():
    last = statistics(10, 1000, inference_count=0, cached_count=1000, cached_ns=1, batches={})
    _, [seen] = watch([(0, {"a": statistics(0)}), (10, {"a": last})])
    assert (seen.latency_ms, seen.queue_ms, seen.mean_latency_ms) == (None, None, None)
