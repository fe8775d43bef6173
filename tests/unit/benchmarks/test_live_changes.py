import pytest

from benchmarks import live_changes
from benchmarks.live_changes import IN_PLACE, LIVE_CAP, RELOAD, Plan, latencies_ms
from ferryman.clients.load.report import Outcome, Record

PLAN = Plan(steady_s=6.0)


def record(due_s, latency_ms, outcome=Outcome.OK):
    return Record(due_s, due_s + latency_ms / 1e3, outcome)


def test_requests_near_a_change_are_counted_apart_from_those_that_are_not():
    changes = [{"at_s": 20.0, "took_s": 1.0}]
    records = [
        record(1.0, 500),  # the warm-up
        record(14.9, 10),
        record(15.0, 30),
        record(26.0, 40),
        record(26.1, 20),
    ]
    found = latencies_ms(records, changes, PLAN)

    assert found["steady"] == {"requests": 2, "p50": 20.0, "p99": 20.0, "max": 20.0}
    assert found["around"] == {"requests": 2, "p50": 40.0, "p99": 40.0, "max": 40.0}


def test_a_failure_is_slower_than_any_answer():
    found = latencies_ms([record(20.0, 1, Outcome.DEADLINE)], [], PLAN)

    assert found["steady"]["p99"] == float("inf")
    assert found["around"] == {"requests": 0, "p50": None, "p99": None, "max": None}


@pytest.mark.parametrize("actuator", [IN_PLACE, RELOAD, LIVE_CAP], ids=lambda one: one.name)
def test_the_default_plan_makes_a_hundred_changes_and_is_steady_under_every_step(actuator):
    plan = Plan()
    ends = {(block * plan.changes - 1) % len(actuator.steps) for block in range(1, plan.blocks + 1)}

    assert plan.blocks * plan.changes >= 100
    assert ends == set(range(len(actuator.steps)))
    lasts_s = plan.blocks * (
        plan.changes * plan.every_s + plan.steady_s + 2 * plan.around_s - plan.every_s
    )
    assert plan.rate_per_s * (lasts_s + plan.steady_s) >= 100_000
    assert 3 * lasts_s <= 25 * 60


@pytest.mark.parametrize(
    ("failed", "accuracy", "over", "clean"),
    [
        pytest.param(0, 1.0, 0, True, id="nothing went wrong"),
        pytest.param(1, 1.0, 0, False, id="a failed request"),
        pytest.param(0, 0.999, 0, False, id="a wrong answer"),
        pytest.param(0, 1.0, 2, False, id="batches over the cap"),
    ],
)
def test_a_run_is_clean_when_nothing_failed(failed, accuracy, over, clean):
    summary = {"failed": failed, "accuracy": accuracy}

    assert live_changes.is_clean({"summary": summary, "changes": [{"over": over}]}) is clean
