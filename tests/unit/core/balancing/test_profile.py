import pytest

from ferryman.core.balancing.profile import Resources, StepProfile, ceiling_per_s, cpu_s_per_request
from ferryman.core.queue_model.service_curve import Knot
from tests.unit.core.balancing.pipelines import step

KNOTS = (Knot(batch_size=1, milliseconds=10), Knot(batch_size=4, milliseconds=16))


def test_a_curve_is_straight_between_the_sizes_that_were_measured():
    profile = StepProfile.of_points("a", KNOTS, 5, visits=2.0, after=("b",))
    assert profile.service_s == pytest.approx((0.010, 0.012, 0.014, 0.016, 0.016))
    assert (profile.bound, profile.visits, profile.after) == (5, 2.0, ("b",))


def test_an_instance_is_busy_with_full_batches():
    profile = StepProfile.of_points("a", KNOTS, 4, visits=2.0)
    assert profile.rate_per_instance == pytest.approx(4 / (2 * 0.016))
    assert profile.bounded(1).rate_per_instance == pytest.approx(1 / (2 * 0.010))


@pytest.mark.parametrize("bound", [0, 5])
def test_a_bound_without_a_service_time_is_refused(bound):
    with pytest.raises(ValueError, match=f"a: no service time of bound {bound}"):
        StepProfile.of_points("a", KNOTS, 4).bounded(bound)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"visits": 0.0}, "visits and service times", id="no rows at all"),
        pytest.param({"service_ms": ()}, "visits and service times", id="no curve"),
        pytest.param({"service_ms": (1.0, 0.0)}, "visits and service times", id="no time"),
        pytest.param({"memory_bytes": -1}, "memory and processor time", id="less than no memory"),
        pytest.param({"cpu_s_per_row": -1.0}, "memory and processor time", id="negative time"),
    ],
)
def test_what_is_no_profile_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        step("a", **fields)


@pytest.mark.parametrize(
    ("cpu_s", "resources", "ceiling"),
    [
        pytest.param((0.1, 0.3), Resources(processors=2.0), 5.0, id="K over the sum"),
        pytest.param((0.1, None), Resources(processors=2.0), None, id="one step's is unknown"),
        pytest.param((0.1, 0.3), Resources(), None, id="K is unknown"),
        pytest.param((0.0, 0.0), Resources(processors=2.0), None, id="steps that only wait"),
        pytest.param((0.1, None), Resources(ceiling_per_s=7.0), 7.0, id="what was seen"),
        pytest.param((0.1, 0.3), Resources(None, 2.0, 4.0), 4.0, id="the lower of both"),
    ],
)
def test_the_rate_that_no_assignment_exceeds(cpu_s, resources, ceiling):
    steps = (step("a", cpu_s_per_row=cpu_s[0]), step("b", cpu_s_per_row=cpu_s[1]))
    assert ceiling_per_s(steps, resources) == ceiling


def test_rows_count_in_the_processor_time_of_a_request():
    steps = (step("a", cpu_s_per_row=0.1), step("b", visits=3.0, cpu_s_per_row=0.2))
    assert cpu_s_per_request(steps) == pytest.approx(0.7)
