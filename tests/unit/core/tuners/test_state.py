import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.state import Learned, Trial, TunerState, with_bound


@pytest.mark.parametrize(("before", "after", "grew"), [(4, 8, True), (8, 8, False), (8, 4, False)])
def test_a_trial_says_whether_the_bound_was_raised(before, after, grew):
    trial = Trial(
        Batching(max_batch_size=before),
        Batching(max_batch_size=after),
        mean_ms=1,
        served_per_s=1,
        service=ServiceTimes(),
        begun_at_s=0,
    )
    assert trial.grew is grew


def test_another_trajectory_leaves_what_was_learned():
    state = TunerState((8, 6), met_in_a_row=2, learned=Learned(safe_bound=4))
    assert state.collecting((4,)) == TunerState((4,), 0, Learned(safe_bound=4))
    assert state.collecting((4,), met_in_a_row=3).met_in_a_row == 3


def test_lost_state_is_a_fresh_start():
    assert TunerState() == TunerState((), 0, Learned())
    assert Learned().service.sizes == frozenset()


@settings(deadline=None)
@given(st.integers(1, 64), st.sets(st.integers(1, 64), max_size=8), st.integers(1, 64))
def test_another_bound_drops_the_preferred_sizes_beyond_it_and_nothing_else(size, sizes, after):
    kept = tuple(sorted(each for each in sizes if each <= size))
    before = Batching(
        max_batch_size=size,
        max_queue_delay_microseconds=500,
        instances=2,
        preferred_batch_size=kept,
        default_timeout_microseconds=9,
        max_queue_size=7,
    )
    changed = with_bound(before, after)
    assert changed == before.with_(max_batch_size=after).canonical()


def test_another_bound_is_what_a_server_would_show():
    """Else a trial of it is taken for undone, and its effect is not verified."""
    changed = with_bound(Batching(max_batch_size=32, preferred_batch_size=(8, 16)), 8)
    assert changed == changed.canonical()
