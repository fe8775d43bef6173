"""How many pods a pipeline needs: more where no assignment of those there are would do."""

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.core.balancing.decide import balance
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancerState
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable
from tests import factories
from tests.unit.core.balancing.windows import SECONDS, applied, pipeline_window, rules, step_window

FAST_MS, SLOW_MS = 20.0, 100.0
ONE_EACH = applied(fast=1, slow=1)


def said(
    per_s,
    *,
    pods=1,
    assignment=ONE_EACH,
    most=1,
    target_ms=1_000,
    throughput=None,
    state=None,
    resources=None,
    cpu_s=None,
    **fields,
):
    """Return the word on ten seconds in which so many requests a second were sent.

    Of the slow step a worker does ten a second, and what it does not waits before it.
    """
    slow = assignment["slow"].instances * pods
    sent, served = round(per_s * SECONDS), round(min(per_s, 10 * slow) * SECONDS)
    late = sent > served
    waits = {"queue_ms": 4_000.0 if late else 5.0, "pending": sent - served}
    steps = {
        "fast": step_window(served, FAST_MS, pods=pods),
        "slow": step_window(served, SLOW_MS, pods=pods, **waits),
    }
    latency_ms = 4_130.0 if late else 150.0
    window = pipeline_window(served, latency_ms, steps, pods=pods, cpu_s=cpu_s, **fields)
    objectives = factories.objectives(target_ms, throughput)
    bound_by = rules(
        "fast",
        "slow",
        objectives=objectives,
        limits=factories.limits(instances=(1, most)),
        resources=resources,
    )
    return balance(bound_by, assignment, window, state or BalancerState())


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        pytest.param({"per_s": 5}, Enough(1), id="one is enough, and the least there is"),
        pytest.param({"per_s": 5, "pods": 4}, Enough(1), id="of four one is enough"),
        pytest.param(
            {"per_s": 6.5, "pods": 4},
            Enough(2),
            id="one would serve it, and not with headroom for more",
        ),
        pytest.param(
            {"per_s": 35, "pods": 1, "most": 8}, ENOUGH, id="missed: first more workers are tried"
        ),
        pytest.param(
            {"per_s": 60, "target_ms": 50}, None, id="a batch takes longer than the target"
        ),
        pytest.param({"per_s": 0}, Enough(1), id="nobody asks for anything"),
        pytest.param({"per_s": 0.2}, None, id="too few requests say nothing"),
        pytest.param({"per_s": 0, "pending": 3}, None, id="nothing is answered, and some wait"),
        pytest.param(
            {"per_s": 5, "pods": 4, "target_ms": None, "throughput": 25},
            Enough(3),
            id="so many are to be served if they are asked for",
        ),
    ],
)
def test_what_a_window_says(fields, needs):
    found = said(**fields).needs
    if fields.get("target_ms") == 50:
        assert isinstance(found, Unattainable)
    else:
        assert found == needs


def test_more_are_needed_where_a_pod_may_have_no_more_workers():
    found = said(35).needs
    assert isinstance(found, Replicas)
    assert 4 <= found.count <= 6, "of ten a second each"
    assert said(35, pods=found.count).needs == Enough(found.count), "and none of them is spare"


def test_rejected_requests_are_late_ones():
    found = said(10, rejected=200).needs
    assert isinstance(found, Replicas)
    assert found.count >= 3, "thirty a second are asked for, ten served in time"


def test_what_more_workers_would_carry_is_believed_only_where_processors_are_known():
    """Six a second of each of four pods with one worker each: two pods would need two workers."""
    unknown = said(24, pods=4, most=8).needs
    assert unknown == Enough(4)
    two = Resources(processors=4.0)
    seen = 24 * SECONDS * (FAST_MS + SLOW_MS) / 1e3
    known = said(24, pods=4, most=8, resources=two, cpu_s=seen).needs
    assert isinstance(known, Enough)
    assert known.replicas in {1, 2}


def test_without_objectives_nothing_is_needed():
    window = pipeline_window(100, 150.0, {"fast": step_window(100, FAST_MS)})
    found = balance(rules("fast"), applied(fast=1), window, BalancerState())
    assert found.needs == ENOUGH


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 8))
def test_fewer_use_no_more_than_a_part_of_what_they_carry_and_more_carry_what_is_asked(
    tenths, pods
):
    """Ten a second of each pod, whatever is predicted."""
    per_s = tenths / 10 * pods
    found = said(per_s, pods=pods).needs
    if isinstance(found, Enough) and found.replicas is not None:
        assert found.replicas <= pods
        assert found.replicas == pods or per_s <= 0.7 * 10 * found.replicas
    elif isinstance(found, Replicas):
        assert found.count >= max(pods + 1, ceil(per_s / 10))
