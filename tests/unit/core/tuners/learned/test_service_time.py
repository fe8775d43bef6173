import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from ferryman.core.tuners.guarded.decision import MAX_MISFIT
from ferryman.core.tuners.guarded.learning import UNEVEN
from ferryman.core.tuners.learned.service_time import (
    FEARED_GROWTH,
    FEARED_STAIR,
    HALF_BELIEVED,
    HALF_SURPRISED,
    KEPT_WEIGHT,
    STRAIGHT,
    Parabola,
    ServiceTimePoint,
    ServiceTimes,
    fit,
)
from tests.unit.core.tuners.guarded.pods import knowing

coefficients = st.floats(0, 20)
shapes = st.builds(Parabola, t0=coefficients, a=coefficients, g=st.floats(0, 1)).filter(
    lambda shape: shape.t0 + shape.a + shape.g > 0.01
)
points_of_one_instance = st.dictionaries(
    st.integers(1, 256),
    st.builds(ServiceTimePoint, weight=st.floats(1, 1e4), mean_ms=st.floats(0.1, 1e3)),
    min_size=3,
    max_size=12,
)


def tau(shape, size):
    return float(shape.at(np.array([float(size)]))[0])


def counts(shape, sizes, executions=50):
    return {size: (executions, tau(shape, size)) for size in sizes}


def seen(shape, sizes, instances=1):
    return ServiceTimes().with_window(instances, counts(shape, sizes))


def squared_error(points, parabola):
    return sum(
        point.weight * (tau(parabola, size) / point.mean_ms - 1) ** 2
        for size, point in points.items()
    )


@settings(deadline=None)
@given(points_of_one_instance)
def test_the_fit_is_the_non_negative_least_squares_solution_where_no_line_is_good(points):
    sizes = np.array(list(points), dtype=float)
    means = np.array([point.mean_ms for point in points.values()])
    weights = np.sqrt([point.weight for point in points.values()])
    terms = np.stack([np.ones_like(sizes), sizes, sizes**2], axis=1) * (weights / means)[:, None]
    scale = np.linalg.norm(terms, axis=0)
    solution, _ = nnls(terms / scale, weights)
    independent = Parabola(*(solution / scale))
    weight = sum(point.weight for point in points.values())
    assert squared_error(points, fit(points)) <= max(
        1.0001 * squared_error(points, independent), 1.01 * STRAIGHT**2 * weight
    )


def test_noise_in_small_batches_does_not_bend_the_line():
    noisy = {1: (100, 6.05), 2: (100, 6.95), 3: (100, 8.0), 4: (100, 9.1)}
    assert ServiceTimes().with_window(1, noisy).curve_ms(1, 16)[15] == pytest.approx(21, rel=0.1)


@st.composite
def sizes_without_a_gap(draw):
    """Return three sizes or more, each at most twice the one before."""
    sizes = [draw(st.integers(1, 16))]
    for _ in range(draw(st.integers(2, 9))):
        sizes.append(draw(st.integers(sizes[-1] + 1, 2 * sizes[-1])))
    return [size for size in sizes if size <= 64]


@settings(deadline=None)
@given(shapes, sizes_without_a_gap())
def test_a_parabola_is_found_again_where_it_was_seen(shape, sizes):
    """Across a wider gap a straight line is believed: what bends there was not seen."""
    curve = seen(shape, sizes).curve_ms(1, 64)
    for size in range(min(sizes), max(sizes) + 1):
        near = 0.02 if size in sizes else 0.1
        assert curve[size - 1] == pytest.approx(tau(shape, size), rel=near)


def test_a_convex_curve_is_extrapolated():
    shape = Parabola(3, 1, 0.1)
    assert seen(shape, range(1, 20)).curve_ms(1, 64)[63] == pytest.approx(tau(shape, 64), rel=0.02)


def test_two_sizes_tell_what_a_batch_costs_from_what_a_request_adds():
    curve = seen(Parabola(5, 1, 0), [1, 4]).curve_ms(1, 16)
    assert curve[15] == pytest.approx(21)


def test_a_single_size_promises_nothing_of_larger_batches():
    service = seen(Parabola(5, 1, 0), [4])
    assert not service.has_shape
    assert service.curve_ms(1, 16)[15] == pytest.approx(4 * 9)


def test_a_stair_stays_where_it_was_seen():
    stairs = {size: (200, 10.0 if size <= 32 else 20.0) for size in range(1, 65)}
    curve = ServiceTimes().with_window(1, stairs).curve_ms(1, 64)
    assert curve[31] == pytest.approx(10, rel=0.02)
    assert curve[32] == pytest.approx(20, rel=0.02)


def test_one_slow_batch_hardly_moves_the_curve():
    before = seen(Parabola(5, 1, 0), range(1, 9))
    after = before.with_window(1, {4: (1, 90.0)})
    assert after.curve_ms(1, 8)[3] == pytest.approx(9, rel=0.25)


def test_a_size_that_is_no_longer_run_is_not_forgotten():
    service = seen(Parabola(5, 1, 0), [1, 2, 4])
    for _ in range(200):
        service = service.with_window(1, {8: (1000, 13.0)})
    assert service.curve_ms(1, 8)[0] == pytest.approx(6, rel=0.05)


@pytest.mark.parametrize("count_and_ms", [(0, 9.0), (10, 0.0)], ids=["no runs", "no time"])
def test_what_was_not_run_or_took_no_time_teaches_nothing(count_and_ms):
    service = seen(Parabola(5, 1, 0), [1, 4])
    assert service.with_window(1, {8: count_and_ms}).sizes == {1, 4}


def test_recent_windows_count_more():
    service = ServiceTimes()
    for _ in range(3):
        service = service.with_window(1, {4: (100, 10.0)})
    for _ in range(6):
        service = service.with_window(1, {4: (100, 12.0)})
    assert service.points[1][4].mean_ms == pytest.approx(12, abs=0.4)


def test_more_instances_are_taken_to_cost_nothing_until_they_are_seen():
    service = seen(Parabola(5, 1, 0), [1, 4, 8])
    assert service.curve_ms(3, 8) == service.curve_ms(1, 8)


def test_what_instances_cost_each_other_is_learned_from_one_size():
    service = seen(Parabola(5, 1, 0), [1, 4, 8]).with_window(2, {4: (100, 18.0)})
    assert service.curve_ms(2, 8)[7] == pytest.approx(2 * 13)
    assert service.curve_ms(1, 8)[7] == pytest.approx(13)


def test_beside_sizes_of_its_own_a_number_of_instances_has_those_of_others():
    """A knee at 8 that one instance showed is not forgotten for a line through two small sizes."""
    service = seen(Parabola(5, 1, 0), [1, 4, 8]).with_window(1, {16: (50, 210.0)})
    service = service.with_window(2, counts(Parabola(5, 1, 0), [1, 2]))
    assert service.known(2)[16].mean_ms == pytest.approx(210, rel=0.05)
    assert service.curve_ms(2, 16)[15] > 150


@pytest.mark.parametrize(
    ("with_two_ms", "with_four_ms"),
    [
        pytest.param(9.0, 13.0, id="each has a processor of its own"),
        pytest.param(18.0, 4 * 13.0, id="all share one"),
        pytest.param(18.0 / 2**0.5, 2 * 13.0, id="something between"),
        pytest.param(6.0, 13.0, id="none makes others faster"),
        pytest.param(90.0, 4 * 13.0, id="none takes more than its share"),
    ],
)
def test_what_more_instances_cost_is_told_by_fewer(with_two_ms, with_four_ms):
    service = seen(Parabola(5, 1, 0), [1, 4, 8]).with_window(2, {4: (50, with_two_ms)})
    assert service.known(4)[8].mean_ms == pytest.approx(with_four_ms, rel=0.01)


def test_the_error_says_how_much_longer_batches_took():
    service = ServiceTimes().with_window(1, counts(Parabola(5, 1, 0), [1, 4, 8], 10_000))
    told = counts(Parabola(5, 1, 0), [1, 4]).items()
    slower = {size: (10_000, 1.5 * ms) for size, (_, ms) in told}
    assert service.error(1, slower) == pytest.approx(np.log(1.5), rel=0.001)


def test_few_slow_batches_are_believed_less():
    service = seen(Parabola(5, 1, 0), [1, 4, 8])
    believed = HALF_BELIEVED / (HALF_BELIEVED + HALF_BELIEVED)
    assert service.error(1, {4: (int(HALF_BELIEVED), 18.0)}) == pytest.approx(believed * np.log(2))


@pytest.mark.parametrize(
    ("instances", "told"),
    [
        pytest.param(1, {}, id="a window without batches"),
        pytest.param(1, {4: (0, 9.0)}, id="no executions"),
        pytest.param(2, {4: (10, 9.0)}, id="instances that were never seen"),
    ],
)
def test_of_what_is_unknown_there_is_no_error(instances, told):
    assert seen(Parabola(5, 1, 0), [1, 4]).error(instances, told) is None


def test_what_is_known_by_a_single_batch_tells_of_no_change():
    """Times are as ever; of a size beyond a knee that was run once the curve knows little."""
    times = {**counts(Parabola(5, 1, 0), [1, 2, 4, 8]), 16: (1, 84.0)}
    service = ServiceTimes().with_window(1, times)
    assert service.error(1, {8: (50, 13.0), 16: (50, 84.0)}) == pytest.approx(0, abs=0.05)


def test_surprise_is_the_error_of_sizes_that_were_never_run():
    """Within a range: smaller ones were not the guess, and larger ones ran before it."""
    service = seen(Parabola(5, 1, 0), [1, 4])
    told = counts(Parabola(5, 1, 0), [2, 4, 6, 8, 12])
    ran = {**told, 2: (10, 70.0), 4: (10, 90.0), 6: (30, 2 * 11.0), 8: (10, 13.0), 12: (10, 170.0)}
    believed = 40 / (40 + HALF_SURPRISED)
    surprise = service.surprise(1, ran, above=2, upto=8)
    assert surprise == pytest.approx(believed * 0.75 * np.log(2))


@pytest.mark.parametrize(
    ("service", "ran"),
    [
        pytest.param(seen(Parabola(5, 1, 0), [1, 4, 8]), {8: (10, 90.0)}, id="it was run before"),
        pytest.param(seen(Parabola(5, 1, 0), [1, 4]), {4: (9, 90.0), 9: (9, 90.0)}, id="none"),
        pytest.param(seen(Parabola(5, 1, 0), [1, 4]), {8: (0, 90.0)}, id="no executions"),
        pytest.param(ServiceTimes(), {8: (10, 90.0)}, id="there was nothing to guess from"),
    ],
)
def test_where_nothing_was_guessed_there_is_no_surprise(service, ran):
    assert service.surprise(1, ran, above=4, upto=8) == 0.0


def test_scaling_keeps_the_shape_and_believes_it_less():
    service = seen(Parabola(5, 1, 0), [1, 4, 8]).scaled(1.5)
    assert service.curve_ms(1, 8)[7] == pytest.approx(19.5)
    assert service.with_window(1, {8: (1000, 13.0)}).points[1][8].mean_ms == pytest.approx(
        13, rel=0.02
    )


def test_what_was_run_often_is_believed_after_any_time_and_any_drift():
    service = seen(Parabola(5, 1, 0), [1, 4]).with_window(1, {8: (2, 26.0)})
    for _ in range(50):
        service = service.with_window(1, {2: (10, 7.0)})
    weights = {size: point.weight for size, point in service.scaled(1.5).points[1].items()}
    assert weights == {1: KEPT_WEIGHT, 2: KEPT_WEIGHT, 4: KEPT_WEIGHT, 8: 2}


def test_what_is_known_of_elsewhere_is_believed_half():
    service = seen(Parabola(5, 1, 0), [1, 4]).with_window(1, {8: (2, 26.0)}).as_prior()
    weights = {size: point.weight for size, point in service.points[1].items()}
    assert weights == {1: HALF_BELIEVED, 4: HALF_BELIEVED, 8: 2}
    assert service.points[1][8].mean_ms == 26


def test_a_size_between_two_sides_of_a_knee_is_taken_to_lie_beyond_it_unless_it_is_near():
    """Batches of 16 take six times as long as a line through the smaller ones says."""
    times = {**counts(Parabola(5, 1, 0), [1, 2, 4, 6, 8], 1000), 16: (1000, 6 * 21.0)}
    curve = ServiceTimes().with_window(1, times).curve_ms(1, 16)
    assert curve[8] == pytest.approx(14, rel=0.02)
    assert curve[9] == pytest.approx(6 * 15, rel=0.02)


def test_the_noise_of_single_batches_is_no_misfit():
    generator = np.random.default_rng(1)
    service = ServiceTimes()
    for _ in range(5):
        took = {size: (2, (5 + size) * generator.uniform(0.6, 1.4)) for size in range(1, 33)}
        service = service.with_window(1, took)
    assert service.misfit(1) < MAX_MISFIT / 2


def test_what_a_parabola_cannot_describe_shows_as_misfit():
    erratic = {1: (5, 10.0), 2: (5, 2.0), 3: (5, 30.0), 4: (5, 1.0)}
    assert ServiceTimes().with_window(1, erratic).misfit(1) > MAX_MISFIT
    assert seen(Parabola(5, 1, 0.1), [1, 2, 4, 8]).misfit(1) < 0.001
    assert ServiceTimes().misfit(1) == 0


def test_nothing_is_said_of_a_model_that_was_never_seen():
    with pytest.raises(ValueError, match="no batch has been seen yet"):
        ServiceTimes().curve_ms(1, 4)
    with pytest.raises(ValueError, match="no batch has been seen yet"):
        fit({})
    assert ServiceTimes().sizes == frozenset()
    assert ServiceTimes().with_window(1, {}) == ServiceTimes()


def test_a_cold_batch_among_a_few_is_no_knee():
    """The first one of a size that was run four times took five times as long."""
    times = counts(Parabola(5, 1, 0), [2, 3, 5, 6, 8, 10], 4)
    cold = {**times, 3: (4, 2 * 8.0)}
    service = ServiceTimes().with_window(1, cold)
    for _ in range(20):
        service = service.with_window(1, {9: (2, 14.0)})
    assert service.curve_ms(1, 20)[19] == pytest.approx(25, rel=0.2)


def test_a_few_batches_beyond_a_knee_are_believed():
    times = {**counts(Parabola(5, 1, 0), [1, 2, 4, 6, 8], 40), 16: (4, 4 * 21.0)}
    curve = ServiceTimes().with_window(1, times).curve_ms(1, 16)
    assert curve[7] == pytest.approx(13, rel=0.02)
    assert curve[15] == pytest.approx(21 * 2.5, rel=0.05)


def test_a_window_at_another_level_as_a_whole_is_even():
    service = seen(Parabola(5, 1, 0), [1, 2, 4, 8])
    slower = {size: (n, 1.5 * ms) for size, (n, ms) in counts(Parabola(5, 1, 0), [1, 4, 8]).items()}
    assert service.unevenness(1, slower) == pytest.approx(0, abs=1e-9)


def test_one_whose_large_batches_are_at_another_level_is_not():
    service = seen(Parabola(5, 1, 0), [1, 2, 4, 8])
    mixed = {1: (50, 6.0), 2: (50, 7.0), 4: (50, 1.5 * 9), 8: (50, 1.5 * 13)}
    # The outer groups are off by half of the step each; in the middle one both levels meet.
    assert service.unevenness(1, mixed) == pytest.approx(np.log(1.5) / 4, rel=0.1)
    assert service.unevenness(1, mixed) > UNEVEN
    assert service.unevenness(1, {4: (0, 9.0)}) == 0
    assert ServiceTimes().unevenness(1, mixed) == 0


def test_what_is_feared_is_never_less_than_what_is_expected():
    known = knowing((1, 4, 16))
    feared, expected = known.feared_ms(1, 64), known.curve_ms(1, 64)
    assert all(worst >= guess for worst, guess in zip(feared, expected, strict=True))
    assert list(feared) == sorted(feared)


def test_between_two_sizes_a_batch_is_feared_to_take_as_long_as_the_larger():
    feared = knowing((1, 4, 16)).feared_ms(1, 16)
    assert feared[4] == feared[14] == feared[15]
    assert feared[3] < feared[4]


def test_beyond_the_largest_size_a_stair_is_feared_and_then_a_knee():
    feared = knowing((1, 4, 16)).feared_ms(1, 64)
    assert feared[16] == pytest.approx(FEARED_STAIR * feared[15])
    assert feared[63] == pytest.approx(4**FEARED_GROWTH * feared[15])


def test_what_was_seen_with_other_instances_is_feared_as_it_is():
    assert knowing((1, 4, 16)).feared_ms(2, 16) == knowing((1, 4, 16)).feared_ms(1, 16)
