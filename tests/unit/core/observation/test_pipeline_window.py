import pytest

from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.pipeline_window import (
    PipelineReading,
    PipelineWindow,
    PipelineWindowState,
    observe_pipeline,
)
from tests.factories import statistics, window, window_settings

SETTINGS = window_settings(max_requests=1000, max_seconds=30, min_seconds=5)


def reading(now_s, requests, *, a=None, b=None, cpu_s=None, pods=("p",), **steps):
    """Return what two steps show after so many requests; each as many, unless told."""
    counts = {"a": requests if a is None else a, "b": requests if b is None else b, **steps}
    return PipelineReading(
        {pod: statistics(now_s, requests) for pod in pods},
        {
            name: {pod: statistics(now_s, count, pending=0) for pod in pods}
            for name, count in counts.items()
        },
        cpu_s,
    )


def watch(readings, *, changed_at_s=None):
    """Observe readings one by one; return the windows."""
    state, windows = PipelineWindowState(), []
    for now_s, each in readings:
        state, ended = observe_pipeline(
            state, each, SETTINGS, percentile=99, now_s=now_s, changed_at_s=changed_at_s
        )
        windows += [ended] if ended else []
    return windows


def seconds(rate, until, **fields):
    return [(t, reading(t, rate * t, **fields)) for t in range(until + 1)]


def test_the_windows_of_pipeline_and_steps_begin_and_end_together():
    (window,) = watch(seconds(100, 12))
    assert (window.requests.seconds, window.requests.requests) == (10, 1000)
    assert {name: (w.seconds, w.requests) for name, w in window.steps.items()} == {
        "a": (10, 1000),
        "b": (10, 1000),
    }


def test_what_waits_before_a_step_waits_before_the_pipeline():
    quick = window(queue_ms=1.0, compute_ms=5.0)
    slow = window(queue_ms=9_000.0, compute_ms=500.0)
    whole = window(queue_ms=None, compute_ms=None, requests=7)
    judged = PipelineWindow(whole, {"quick": quick, "slow": slow}).as_judged
    assert (judged.requests, judged.queue_ms, judged.compute_ms) == (7, 9_000.0, 500.0)
    objectives = Objectives.model_validate({"throughput": {"minPerSecond": 10_000}})
    assert judge(objectives, whole).met, "of the whole alone nothing would be seen to wait"
    assert judge(objectives, judged).reason == "ThroughputBelowTarget"


def test_without_a_step_the_whole_is_judged_as_it_is():
    assert PipelineWindow(window(queue_ms=3.0), {}).as_judged == window(queue_ms=3.0)


def test_the_first_that_may_end_ends_all():
    """Step a ran ten times as many requests as were answered: it has seen enough."""
    (window,) = watch([(t, reading(t, 20 * t, a=200 * t)) for t in range(6)])
    assert (window.requests.requests, window.steps["a"].requests) == (100, 1000)


@pytest.mark.parametrize(
    ("readings", "changed_at_s"),
    [
        pytest.param(seconds(100, 12), 3.0, id="a change of configuration"),
        pytest.param(
            [
                (0, reading(0, 0)),
                (6, reading(6, 600, pods=("p", "q"))),
                (11, reading(11, 800, pods=("p", "q"))),
            ],
            None,
            id="another pod",
        ),
        pytest.param(
            [(0, reading(0, 0)), (6, reading(6, 600, c=600)), (11, reading(11, 1100, c=1100))],
            None,
            id="another step",
        ),
        pytest.param(
            [
                (0, reading(0, 0)),
                (
                    6,
                    PipelineReading(
                        reading(6, 600).requests,
                        {"a": {"q": statistics(6, 600)}, "b": {"p": statistics(6, 600)}},
                    ),
                ),
            ],
            None,
            id="another pod of one step",
        ),
        pytest.param([(t, PipelineReading({}, {})) for t in range(40)], None, id="no pod"),
    ],
)
def test_what_begins_a_window_anew(readings, changed_at_s):
    assert watch(readings, changed_at_s=changed_at_s) == []


def test_a_window_after_a_change_is_whole():
    (window,) = watch(seconds(100, 13), changed_at_s=2.5)
    assert (window.requests.ended_at_s, window.requests.seconds) == (13, 10)


@pytest.mark.parametrize(
    ("before", "after", "used"),
    [
        pytest.param(10.0, 25.0, 15.0, id="the increase"),
        pytest.param(None, 25.0, None, id="unknown at first"),
        pytest.param(10.0, None, None, id="unknown at last"),
        pytest.param(10.0, 5.0, None, id="a counter that began anew"),
    ],
)
def test_processor_time_of_a_window(before, after, used):
    (window,) = watch([(0, reading(0, 0, cpu_s=before)), (10, reading(10, 1000, cpu_s=after))])
    assert window.cpu_s == used


def test_the_next_window_goes_on_from_the_last_reading():
    first, second = watch(seconds(100, 20, cpu_s=1.0))
    assert [w.requests.requests for w in (first, second)] == [1000, 1000]
    assert second.cpu_s == 0.0
