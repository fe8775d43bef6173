"""How long requests may wait for each step: what is accepted is answered in time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.inference_pipeline_status import StepAssignment, StepStatus
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.steps import waits
from tests import factories
from tests.unit.core.pipelines.scenes import balancing, pipeline

TARGET_MS = 200
FORK = (
    factories.pipeline_step("a", "image"),
    factories.pipeline_step("b", "a.output"),
    factories.pipeline_step("c", "a.output"),
)


def known(budgets_ms, service_ms, steps=None, **spec):
    """Return a pipeline whose status has these budgets and service times."""
    values = {"objectives": factories.objectives(TARGET_MS), **spec}
    if steps is not None:
        values["steps"] = steps
    subject = pipeline(**values)
    applied = tuple(
        StepAssignment(step=name, budget_milliseconds=each) for name, each in budgets_ms.items()
    )
    shown = tuple(
        StepStatus(name=name, service_time_milliseconds=each) for name, each in service_ms.items()
    )
    status = subject.status.with_(balancing=balancing().with_(applied=applied), steps=shown)
    return subject.with_(status=status)


CHAIN = {"prepare": 20.0, "detect": 60.0, "read": 20.0}
SERVICE = {"prepare": 10.0, "detect": 30.0, "read": 10.0}


def test_each_step_has_its_share_less_what_it_takes():
    assert waits.waits_us(known(CHAIN, SERVICE)) == {
        "prepare": 28_000,
        "detect": 84_000,
        "read": 28_000,
    }


def test_beside_each_other_the_longer_one_counts():
    found = waits.waits_us(
        known({"a": 50.0, "b": 50.0, "c": 20.0}, dict.fromkeys("abc", 1.0), FORK)
    )
    assert found == {"a": 94_000, "b": 94_000, "c": 37_000}


@pytest.mark.parametrize(
    ("fields", "budgets_ms", "service_ms"),
    [
        pytest.param(
            {"objectives": factories.objectives(None, 10)}, CHAIN, SERVICE, id="no target"
        ),
        pytest.param(
            {"balancing": BalancingSpec(on_overload="Queue")}, CHAIN, SERVICE, id="requests queue"
        ),
        pytest.param({}, {"prepare": 20.0}, SERVICE, id="the budget was not split over all"),
        pytest.param({}, CHAIN, {"prepare": 10.0}, id="a step was never seen"),
    ],
)
def test_otherwise_nothing_is_known(fields, budgets_ms, service_ms):
    assert waits.waits_us(known(budgets_ms, service_ms, **fields)) == {}


times_ms = st.floats(0.1, 100.0)


@given(st.tuples(times_ms, times_ms, times_ms), st.floats(1.0, 4.0))
def test_what_waits_as_long_as_it_may_everywhere_is_answered_in_time(service, slack):
    service_ms = dict(zip("abc", service, strict=True))
    longest = service_ms["a"] + max(service_ms["b"], service_ms["c"])
    budgets_ms = {name: 2 * each for name, each in service_ms.items()}
    subject = known(budgets_ms, service_ms, FORK)
    target_ms = max(1, round(2 * slack * longest / waits.DEALT_OUT) + 1)
    spec = subject.spec.with_(objectives=factories.objectives(target_ms))
    found = waits.waits_us(subject.with_(spec=spec))
    after = Graph.of(spec).after
    spent_ms = {}
    for name in "abc":
        before = max((spent_ms[each] for each in after[name]), default=0.0)
        spent_ms[name] = before + found[name] / 1e3 + service_ms[name]
    # A wait that is too short to be stated is a millisecond.
    assert max(spent_ms.values()) <= target_ms + 2 * waits.LEAST_US / 1e3


@pytest.mark.parametrize(
    ("loaded_us", "changes"),
    [(100, False), (149, False), (151, True), (67, False), (66, True)],
)
def test_only_what_is_far_off_is_worth_a_reload(loaded_us, changes):
    assert waits.differs(loaded_us, 100) is changes
