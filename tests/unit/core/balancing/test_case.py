import pytest

from ferryman.api.objectives import Objectives, ThroughputObjective
from ferryman.core.balancing.case import Case, instances_of, with_instances
from ferryman.core.balancing.demand import asked
from ferryman.core.balancing.learning import learn
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState
from tests import factories
from tests.unit.core.balancing.windows import applied, pipeline_window, rules, step_window


def case(bound, now, steps, *, cpu_s=None, served=100, **fields):
    """Return the case of one window of steps one after the other."""
    there = rules(*steps, limits=factories.limits((1, 64), instances=(1, 8)), **fields)
    window = pipeline_window(served, 500.0, steps, cpu_s=cpu_s)
    assignment = applied(bound=bound, **now)
    lesson = learn(there, window, BalancerState(), changed=False, grew=False)
    return Case(there, assignment, window, lesson.steps, asked(there.steps, assignment, window))


@pytest.mark.parametrize(
    ("window", "bound", "full"),
    [
        pytest.param(step_window(100, 10.0), 16, 16, id="the bound"),
        pytest.param(step_window(100, 10.0, inferences=600), 16, 12, id="whole requests alone"),
        pytest.param(step_window(100, 10.0, inferences=600), 4, 6, id="one request at the least"),
        pytest.param(
            step_window(800, 99.0, 50.0, batch=8), 8, 8, id="of a busy step what it ran, if full"
        ),
        pytest.param(
            step_window(100, 99.0, 50.0, inferences=600, mean_batch_size=6.0),
            8,
            6,
            id="and if requests did not fit",
        ),
    ],
)
def test_what_a_full_batch_is(window, bound, full):
    (profile,) = case(bound, {"a": 1}, {"a": window}).profiles(shrink=False)
    assert profile.bound == full


@pytest.mark.parametrize(
    ("busy_ms", "shrink", "least"),
    [
        pytest.param(140.0, False, 5, id="none of them may go"),
        pytest.param(140.0, True, 2, id="1.4 are busy: two would be for 70 % of the time"),
        pytest.param(141.0, True, 3, id="1.41: two would not be enough"),
        pytest.param(480.0, True, 5, id="all are needed, and none is added by this"),
        pytest.param(1.0, True, 1, id="one is the least"),
    ],
)
def test_how_few_instances_a_step_may_have(busy_ms, shrink, least):
    (profile,) = case(1, {"a": 5}, {"a": step_window(100, busy_ms)}).profiles(shrink=shrink)
    assert profile.limits.min == least
    assert profile.limits.max == 8


def test_memory_that_is_unknown_lets_nothing_change():
    there = case(1, {"a": 3}, {"a": step_window(100, 1.0)}, resources=Resources(memory_bytes=9))
    (profile,) = there.profiles(shrink=True)
    assert profile.limits.min == 3
    assert profile.most_instances(there.resources) == 3


@pytest.mark.parametrize(
    ("cpu_s", "processors", "full"),
    [(19.5, 2.0, True), (19.0, 2.0, False), (None, 2.0, False), (19.5, None, False)],
)
def test_when_processors_are_full(cpu_s, processors, full):
    there = case(
        1,
        {"a": 1},
        {"a": step_window(100, 10.0)},
        cpu_s=cpu_s,
        resources=Resources(processors=processors),
    )
    assert there.processors_are_full is full


def test_the_target_has_headroom_and_keeps_the_objective():
    steps = {"a": step_window(100, 10.0)}
    assert case(1, {"a": 1}, steps).target_per_s == pytest.approx(10 / 0.7)
    stated = Objectives(throughput=ThroughputObjective(min_per_second=40))
    assert case(1, {"a": 1}, steps, objectives=stated).target_per_s == 40.0


def test_an_assignment_carries_what_its_own_bounds_let_it():
    curve = {size: (50, 10.0 + size) for size in (1, 2, 4, 8)}
    there = case(8, {"a": 1}, {"a": step_window(100, 12.0, service_times=curve)})
    assert there.capacity_per_s(applied(bound=8, a=2)) == pytest.approx(2 * 8 / 0.018, rel=0.01)
    assert there.capacity_per_s(applied(bound=1, a=2)) == pytest.approx(2 / 0.011, rel=0.01)


def test_instances_are_taken_from_an_assignment_and_put_into_it():
    assert instances_of(applied(a=1, b=3)) == {"a": 1, "b": 3}
    assert with_instances(applied(bound=4, a=1), {"a": 5}) == applied(bound=4, a=5)
