"""The live balancer on the twin: what it does after each window, and what that is worth."""

from itertools import product

import numpy as np
import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.objectives import LatencyObjective, Objectives
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import BalancingRules, StepSetup
from ferryman.core.simulator.graph.balanced_run import SlowerFrom, run_balanced
from ferryman.core.simulator.graph.steps import PipelineLoad, SimulatedPipeline, SimulatedStep
from ferryman.core.simulator.graph.twin import PipelineTwin
from tests import factories

SETTINGS = factories.window_settings(max_requests=100_000, max_seconds=15, min_seconds=5)
CHAIN = (
    SimulatedStep("read", (0.02,)),
    SimulatedStep("detect", (0.1,), ("read",)),
    SimulatedStep("classify", (0.05,), ("detect",)),
    SimulatedStep("write", (0.01,), ("classify",)),
)
#: Service times of an OCR pipeline on one thread each, in seconds.
OCR = tuple(
    SimulatedStep(name, (seconds,), after, processors=1.0)
    for name, seconds, after in (
        ("prepare", 0.02, ()),
        ("detect", 0.254, ("prepare",)),
        ("crop", 0.01, ("detect",)),
        ("classify", 0.005, ("crop",)),
        ("recognise", 0.285, ("crop",)),
        ("join", 0.002, ("classify", "recognise")),
    )
)


def rules(steps, *, memory=None, processors=None, objectives=None, live_cap=False, most=16):
    """Return rules of steps whose instances hold one byte each, of so many."""
    setups = tuple(
        StepSetup(
            step.name,
            step.after,
            factories.limits((1, 32), instances=(1, most)),
            memory_bytes=1,
            live_cap=live_cap,
        )
        for step in steps
    )
    return BalancingRules(setups, Resources(memory, processors), objectives)


def counts(assignment):
    return tuple(batching.instances for batching in assignment.values())


def story(run):
    """Return what was in force in each window, and what was decided."""
    return [(counts(w.applied), w.decision.reason) for w in run.windows]


def poisson(rate_per_s, from_s, until_s, seed=1):
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate_per_s, int(2 * rate_per_s * (until_s - from_s)) + 50)
    moments = from_s + np.cumsum(gaps)
    return tuple(moments[moments < until_s].tolist())


def best_on_the_twin(steps, processors, clients, most):
    """Return the largest rate of any assignment, trying all of the two steps that matter."""
    pipeline = SimulatedPipeline(steps, processors)
    found = []
    for detect, recognise in product(range(1, most + 1), repeat=2):
        assignment = pipeline.unbatched()
        assignment["detect"] = Batching(max_batch_size=1, instances=detect)
        assignment["recognise"] = Batching(max_batch_size=1, instances=recognise)
        twin = PipelineTwin(pipeline, PipelineLoad(clients=clients), assignment)
        twin.run(60.0)
        found.append(twin.answered().rate_per_s(10.0, 60.0))
    return max(found)


def test_one_window_of_one_instance_each_is_enough_to_be_balanced():
    run = run_balanced(
        SimulatedPipeline(CHAIN),
        PipelineLoad(clients=40),
        rules(CHAIN, memory=12),
        seconds=65,
        settings=SETTINGS,
    )
    assert story(run) == [
        ((1, 1, 1, 1), Reason.LIMITING_STEP),
        ((2, 6, 3, 1), Reason.MEMORY_FULL),
        ((2, 6, 3, 1), Reason.MEMORY_FULL),
        ((2, 6, 3, 1), Reason.MEMORY_FULL),
    ]
    assert run.windows[1].served_per_s == pytest.approx(60.0, rel=0.02)
    first = run.windows[0].decision
    assert first.message == (
        "detect limits: the steps carry 10 requests/s and up to 190 are asked; "
        "read from 1 to 2 instances, detect from 1 to 6 instances, "
        "classify from 1 to 3 instances will carry 60"
    )
    assert first.capacity_per_s == pytest.approx(60.0)
    assert run.windows[0].decision.limiting == "detect"


def test_a_step_that_becomes_three_times_slower_gets_the_room_of_the_others():
    run = run_balanced(
        SimulatedPipeline(CHAIN),
        PipelineLoad(clients=40),
        rules(CHAIN, memory=12),
        seconds=130,
        settings=SETTINGS,
        slower=(SlowerFrom(60.0, "classify", (0.15,)),),
    )
    after = [w for w in run.windows if w.ended_at_s > 62.0]
    assert [counts(w.applied) for w in after[:2]] == [(2, 6, 3, 1), (1, 4, 6, 1)]
    assert after[1].served_per_s >= 0.95 * 40.0


def test_what_is_not_needed_is_given_back_after_a_second_window_that_says_so():
    run = run_balanced(
        SimulatedPipeline(CHAIN),
        PipelineLoad(poisson(30.0, 0.0, 60.0) + poisson(6.0, 60.0, 150.0)),
        rules(CHAIN),
        seconds=145,
        settings=SETTINGS,
    )
    changed = [i for i, w in enumerate(run.windows) if w.decision.assignment != w.applied]
    before, given_back = (run.windows[changed[-1] - i].decision for i in (1, 0))
    assert before.reason == given_back.reason == Reason.SPARE_INSTANCES
    assert counts(given_back.assignment) == (1, 1, 1, 1)
    assert given_back.message.endswith("the rest stays below 70% of what it can do")
    assert counts(run.assignment) == (1, 1, 1, 1)
    # At 30 requests a second three detectors would be busy all the time.
    assert max(counts(w.applied)[1] for w in run.windows) in (4, 5)
    assert len(run.served) > 0.99 * (30 * 60 + 6 * 80)


@pytest.mark.parametrize("processors", [1.0, 2.0])
@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_full_processors_get_no_instance_that_does_not_help(processors, known):
    run = run_balanced(
        SimulatedPipeline(OCR, processors),
        PipelineLoad(clients=8),
        rules(OCR, processors=processors if known else None),
        seconds=190,
        settings=factories.window_settings(max_requests=100_000, max_seconds=30, min_seconds=5),
    )
    last = run.windows[-3:]
    assert len({counts(w.applied) for w in last}) == 1
    served = np.mean([w.served_per_s for w in last])
    assert served >= 0.95 * best_on_the_twin(OCR, processors, clients=8, most=3)
    assert sum(counts(run.assignment)) <= len(OCR) + processors
    if not known:
        judged = [w.decision for w in run.windows if w.decision.reason == Reason.TAKEN_BACK]
        assert len(judged) == 1
        assert "it slows down" in judged[0].message
        assert {w.decision.reason for w in run.windows[2:]} == {Reason.TRIED_BEFORE}
    if known:
        assert {w.decision.reason for w in run.windows} == {Reason.PROCESSORS_FULL}


def test_more_is_tried_again_when_the_load_has_changed():
    steps = (SimulatedStep("a", (0.1,), processors=1.0),)
    run = run_balanced(
        SimulatedPipeline(steps, 1.0),
        PipelineLoad(
            poisson(15.0, 0.0, 100.0) + poisson(3.0, 100.0, 260.0) + poisson(40.0, 260.0, 330.0)
        ),
        rules(steps, most=3),
        seconds=330,
        settings=SETTINGS,
    )
    said = [(w.ended_at_s, w.decision.reason) for w in run.windows]
    assert next(at for at, reason in said if reason == Reason.TAKEN_BACK) < 60
    assert any(reason == Reason.LIMITING_STEP for at, reason in said if at > 260)


def test_a_latency_target_is_split_into_bounds_and_instances():
    curve = tuple((10 + 2 * b) / 1e3 for b in range(1, 33))
    steps = (
        SimulatedStep("a", curve),
        SimulatedStep("b", tuple(3 * each for each in curve), ("a",)),
        SimulatedStep("c", tuple(each / 2 for each in curve), ("b",)),
    )
    target = Objectives(latency=LatencyObjective(target_milliseconds=200))
    run = run_balanced(
        SimulatedPipeline(steps),
        PipelineLoad(poisson(150.0, 0.0, 60.0)),
        rules(steps, objectives=target, live_cap=True),
        seconds=60,
        settings=SETTINGS,
        start={step.name: Batching(max_batch_size=32) for step in steps},
    )
    first, later = run.windows[0].decision, run.windows[1:]
    assert run.windows[0].window.requests.latency_ms > 200
    assert all(account.budget_ms is not None for account in first.steps)
    assert sum(account.budget_ms for account in first.steps) <= 200 * 1.001
    assert any(batching.max_batch_size < 32 for batching in first.assignment.values())
    assert all(w.window.requests.latency_ms < 200 for w in later)


def test_without_a_live_cap_bounds_stay_as_they_are():
    curve = tuple((10 + 2 * b) / 1e3 for b in range(1, 33))
    steps = (SimulatedStep("a", curve), SimulatedStep("b", curve, ("a",)))
    target = Objectives(latency=LatencyObjective(target_milliseconds=100))
    run = run_balanced(
        SimulatedPipeline(steps),
        PipelineLoad(poisson(400.0, 0.0, 40.0)),
        rules(steps, objectives=target),
        seconds=40,
        settings=SETTINGS,
        start={step.name: Batching(max_batch_size=16) for step in steps},
    )
    assert {b.max_batch_size for w in run.windows for b in w.applied.values()} == {16}
    assert sum(counts(run.assignment)) > 2


def test_rows_of_a_request_count():
    steps = (
        SimulatedStep("detect", (0.1,)),
        SimulatedStep(
            "lines", tuple((5 + 5 * b) / 1e3 for b in range(1, 65)), ("detect",), (3, 9, 6)
        ),
    )
    run = run_balanced(
        SimulatedPipeline(steps),
        PipelineLoad(clients=16),
        rules(steps, memory=10),
        seconds=60,
        settings=SETTINGS,
        start={
            "detect": Batching(max_batch_size=1),
            "lines": Batching(max_batch_size=16),
        },
    )
    assert counts(run.assignment) == (7, 3)
    assert run.windows[-1].served_per_s == pytest.approx(70.0, rel=0.02)
    accounts = {account.name: account for account in run.windows[-1].decision.steps}
    assert accounts["lines"].visits == pytest.approx(6.0, rel=0.05)
    assert accounts["detect"].is_limiting
    assert accounts["detect"].reason == Reason.MEMORY_FULL
    assert accounts["lines"].reason == Reason.NOT_LIMITING
    assert accounts["detect"].gain_per_s > 0
    assert sum(a.latency_share for a in accounts.values()) == pytest.approx(1.0)


def test_nothing_is_decided_without_requests():
    run = run_balanced(
        SimulatedPipeline(CHAIN), PipelineLoad(), rules(CHAIN), seconds=40, settings=SETTINGS
    )
    assert {w.decision.reason for w in run.windows} == {Reason.NO_TRAFFIC}
    assert counts(run.assignment) == (1, 1, 1, 1)
