import numpy as np
import pytest

from ferryman.api.batching import Batching
from ferryman.core.queue_model import queueing
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator import arrivals
from ferryman.core.simulator.pod_log import PodLog

SERVICE_S = (0.006, 0.007, 0.008, 0.009)


def batching(bound=4, delay_us=0, instances=1, timeout_us=0, room=0):
    return Batching(
        max_batch_size=bound,
        max_queue_delay_microseconds=delay_us,
        instances=instances,
        default_timeout_microseconds=timeout_us,
        max_queue_size=room,
    )


def log(moments_s, service_s=SERVICE_S, parallelism=np.inf, noise=None, **configured):
    batcher = Batcher(batching(**configured), service_s, parallelism)
    return PodLog(np.array(moments_s, float), batcher, noise=noise)


def drawn(rate_per_s=200, duration_s=100, seed=1):
    return arrivals.poisson(rate_per_s, duration_s, np.random.default_rng(seed))


def test_counters_tell_what_has_ended():
    pod = log([0, 1, 1, 1, 9], (1, 2, 4, 8), bound=2)
    pod.run(4.5)
    seen = pod.look(4.5)
    # One alone from 0 to 1, two together from 1 to 3, and the third of them from 3 to 4.
    assert (seen.success_count, seen.inference_count, seen.execution_count) == (4, 4, 3)
    assert seen.batches == {1: (2, 2_000_000_000), 2: (1, 2_000_000_000)}
    assert seen.queue_ns == 2_000_000_000
    assert seen.success_ns == (1 + 2 + 2 + 3) * 1_000_000_000
    assert (seen.pending, seen.failure_count, seen.now_s) == (0, 0, 4.5)


def test_who_waits_is_pending_and_who_is_served_is_not():
    pod = log([0, 0.1, 0.2, 0.3], (1, 1), bound=2)
    pod.run(0.5)
    assert pod.look(0.5).pending == 3
    pod.run(1.5)
    assert pod.look(1.5).pending == 1


def test_a_pod_without_requests_shows_nothing():
    pod = log([])
    seen = pod.look(5.0)
    assert (seen.now_s, seen.success_count, seen.pending) == (5, 0, 0)
    assert (seen.batches, seen.latency_quantiles_us) == ({}, {})
    assert pod.drain().offered == 0


@pytest.mark.parametrize("every_s", [0.5, 7.0, 90.0])
def test_readings_add_up_to_what_was_served(every_s):
    """However far apart they are, also farther than quantiles remember."""
    moments_s = drawn(duration_s=180)
    pod = log(moments_s, instances=2)
    for now_s in np.arange(every_s, 190 + every_s, every_s):
        pod.run(now_s)
        seen = pod.look(now_s)
    whole = queueing.simulate(moments_s, Batcher(batching(instances=2), SERVICE_S))
    assert seen.success_count == moments_s.size
    assert seen.execution_count == whole.batches.sizes.size
    assert seen.success_ns == pytest.approx(whole.latencies_s.sum() * 1e9, rel=1e-6)
    assert {size: count for size, (count, _) in seen.batches.items()} == dict(
        zip(*np.unique(whole.batches.sizes, return_counts=True), strict=True)
    )
    waits_s = np.repeat(whole.batches.starts_s, whole.batches.sizes) - moments_s
    assert seen.queue_ns == pytest.approx(waits_s.sum() * 1e9, rel=1e-6)


def test_quantiles_are_those_of_the_last_60_seconds():
    pod = log([0, 100, 150], (9.0,), bound=1)
    for now_s, latency_us in ((50, 9e6), (69, None), (159, 9e6)):
        pod.run(now_s)
        assert pod.look(now_s).latency_quantiles_us.get(99) == (
            None if latency_us is None else pytest.approx(latency_us)
        )


def test_quantiles_are_of_their_reading_whenever_they_are_looked_at():
    moments_s = drawn(duration_s=100)
    pod, again = log(moments_s), log(moments_s)
    early = [_run_and_look(pod, now_s) for now_s in range(1, 101)]
    for now_s in range(1, 101):
        expected = dict(_run_and_look(again, now_s).latency_quantiles_us)
        assert dict(early[now_s - 1].latency_quantiles_us) == expected
    assert list(early[-1].latency_quantiles_us) == [50, 90, 95, 99]
    assert len(early[-1].latency_quantiles_us) == 4


def _run_and_look(pod, now_s):
    pod.run(float(now_s))
    return pod.look(float(now_s))


def test_who_timed_out_is_counted_as_rejected_and_who_found_the_queue_full_nowhere():
    # The first runs until 1; of those who wait the second has timed out by then; the queue is full.
    pod = log([0, 0.1, 0.5, 0.6], (1.0,), bound=1, timeout_us=700_000, room=2)
    pod.run(0.7)
    seen = pod.look(0.7)
    assert (seen.pending, seen.rejected_count) == (2, 0)
    pod.run(1.5)
    seen = pod.look(1.5)
    assert (seen.pending, seen.rejected_count, seen.success_count) == (0, 1, 1)
    served = pod.drain()
    assert served.arrivals_s.tolist() == [0, 0.5]
    assert served.rejected_s.tolist() == [0.1, 0.6]
    assert served.offered == 4
    assert pod.look(9.0).failure_count == 0


def test_what_will_be_rejected_while_it_drains_is_not_counted_before():
    pod = log([0, 0.1], (1.0,), bound=1, timeout_us=500_000)
    pod.change(batching(1), 0.2)
    assert pod.look(0.2).pending == 1
    pod.run(2.0)
    seen = pod.look(2.0)
    assert (seen.pending, seen.rejected_count) == (0, 1)


def test_after_a_change_those_who_waited_are_served_as_before():
    pod = log([0, 0, 0, 0, 2, 2, 2], (1, 1, 1, 1), bound=2)
    pod.run(0.5)
    pod.change(batching(4), 0.5)
    served = pod.drain()
    assert served.sizes.tolist() == [2, 2, 2, 2, 3, 3, 3]
    assert served.ends_s.tolist() == [1, 1, 2, 2, 3, 3, 3]


def test_a_batch_that_waits_for_its_delay_is_not_filled_by_those_after_the_change():
    pod = log([0, 0.2, 0.4], (0.1, 0.1, 0.1), bound=3, delay_us=1_000_000)
    pod.change(batching(3), 0.3)
    served = pod.drain()
    assert served.sizes.tolist() == [2, 2, 1]
    assert served.starts_s.tolist() == pytest.approx([1.0, 1.0, 0.4]), "each copy has its instance"


def test_the_new_copy_serves_what_comes_while_the_old_one_works_off_what_waited():
    pod = log([0, 0, 1, 1], (4.0,), bound=1)
    pod.change(batching(1, instances=2), 0.5)
    assert pod.drain().ends_s.tolist() == [4, 8, 5, 5]


def test_a_reload_sets_the_statistics_back_and_the_metrics_go_on_for_both_copies():
    pod = log([0, 0, 0, 0, 2], (1, 1), bound=1)
    pod.run(1.5)
    assert pod.look(1.5).success_count == 1
    pod.change(batching(2), 1.5)
    pod.run(1.6)
    seen = pod.look(1.6)
    assert (seen.success_count, seen.batches, seen.answered_by_all) == (0, {}, 1)
    assert seen.pending == 2, "those who wait at the old copy are among those who wait"
    pod.run(3.5)
    seen = pod.look(3.5)
    assert (seen.success_count, seen.batches) == (1, {1: (1, 1_000_000_000)})
    assert (seen.answered_by_all, seen.pending) == (4, 0)
    assert pod.drain().ends_s.tolist() == [1, 2, 3, 4, 3]


def test_a_change_to_the_same_changes_nothing():
    moments_s = drawn()
    pod = log(moments_s, instances=2)
    for now_s in range(10, 100, 10):
        pod.change(batching(instances=2), float(now_s))
    changed = pod.drain()
    left_alone = log(moments_s, instances=2).drain()
    apart = changed.ends_s != left_alone.ends_s
    # At the moment of a change a batch may be closed that would have been filled.
    assert apart.mean() < 0.02
    assert changed.sizes.max() <= 4


@pytest.mark.parametrize(
    ("before", "after", "sizes"),
    [
        pytest.param({"bound": 2}, {"bound": 4}, [1, 4, 4, 4, 4, 1], id="a larger bound"),
        pytest.param({"bound": 4}, {"bound": 1}, [1, 1, 1, 1, 1, 1], id="a smaller bound"),
        pytest.param(
            {"bound": 2, "room": 9},
            {"bound": 4, "room": 9},
            [1, 4, 4, 4, 4, 1],
            id="under a queue policy",
        ),
    ],
)
def test_a_change_without_drain_counts_for_those_who_wait(before, after, sizes):
    pod = log([0, 0.1, 0.2, 0.3, 0.4, 0.9], (1, 1, 1, 1), **before)
    pod.change(batching(**after), 0.5, drain=False)
    assert pod.drain().sizes.tolist() == sizes


def test_an_instance_that_is_added_in_place_takes_what_waits_at_once():
    pod = log([0, 0.1, 0.2], (4.0,), bound=1)
    pod.change(batching(1, instances=2), 0.5, drain=False)
    assert pod.drain().ends_s.tolist() == [4, 4.5, 8]


def test_after_a_change_without_drain_no_batch_begins_before_it():
    """Two wait for a third or the delay; with the new bound they would be enough."""
    pod = log([0, 0.1], (1, 1, 1), bound=3, delay_us=1_000_000)
    pod.change(batching(2, delay_us=1_000_000), 0.5, drain=False)
    assert pod.drain().starts_s.tolist() == [0.5, 0.5]


def test_a_queue_policy_begins_and_ends_only_with_a_reload():
    pod = log([0], (1,), bound=1)
    with pytest.raises(ValueError, match="only with a reload"):
        pod.change(batching(1, room=3), 0.5, drain=False)


def test_service_times_drift_from_a_moment_on():
    pod = log([0, 0.1, 5], (1,), bound=1)
    pod.change_service((3,), 0.5)
    assert pod.drain().ends_s.tolist() == [1, 4, 8]
    assert pod.look(9.0).batches == {1: (3, 7_000_000_000)}


def test_a_batch_has_the_noise_of_its_first_request():
    pod = log([0, 0.5, 0.6, 9], (1, 2), bound=2, noise=[0.5, 1.5, 9.0, 2.0])
    # One alone from 0 to 0.5, then one at a time, and 1.5 and 2 times as long.
    assert pod.drain().ends_s.tolist() == [0.5, 2.0, 11.0, 13.0]


def test_who_shares_a_processor_is_counted_when_it_ends_and_not_before():
    pod = log([0, 0.5], (1,), parallelism=1, bound=1, instances=2)
    pod.run(1.2)
    # Alone it would have been over at 1; the other one began at 0.5, and then both take twice.
    seen = pod.look(1.2)
    assert (seen.success_count, seen.pending) == (0, 0)
    pod.run(1.6)
    assert pod.look(1.6).batches == {1: (1, 1_500_000_000)}
    assert pod.drain().ends_s.tolist() == [1.5, 2.0]


def test_instances_that_are_added_slow_the_others_down():
    """With an instance added in place the second request need not wait, and both take longer."""
    pod = log([0, 0.1], (1,), parallelism=1, bound=1)
    pod.change(batching(1, instances=2), 0.5, drain=False)
    assert pod.drain().ends_s.tolist() == [1.5, 2.0]


def test_an_instance_that_is_removed_still_needs_the_processor_for_its_batch():
    pod = log([0, 0, 0], (1,), parallelism=1, bound=1, instances=2)
    pod.change(batching(1), 1.0, drain=False)
    assert pod.drain().ends_s.tolist() == [2.0, 2.0, 3.0]


def test_after_a_reload_nobody_gains_a_processor():
    """What waits is served as before; instances that are added begin when that is over."""
    pod = log([0, 0, 0, 1.5], (1,), parallelism=1, bound=1)
    pod.change(batching(1, instances=2), 1.0)
    assert pod.drain().ends_s.tolist() == [1.0, 2.0, 3.0, 4.0]
