import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.core.queue_model.batcher import Batcher
from ferryman.core.queue_model.graph import QueueingStep, ends_of
from ferryman.core.simulator.graph.steps import PipelineLoad, SimulatedPipeline, SimulatedStep
from ferryman.core.simulator.graph.twin import POD, PipelineTwin

#: Two branches of 20 and 40 ms, and a join.
FORK = (
    SimulatedStep("left", (0.02,)),
    SimulatedStep("right", (0.04,)),
    SimulatedStep("join", (0.001,), ("left", "right")),
)


def chain(*seconds):
    names = [f"s{i}" for i in range(len(seconds))]
    before = [(), *((name,) for name in names[:-1])]
    return tuple(
        SimulatedStep(name, (each,), after)
        for name, each, after in zip(names, seconds, before, strict=True)
    )


def with_instances(**counts):
    return {name: Batching(max_batch_size=1, instances=n) for name, n in counts.items()}


def served(steps, load, assignment=None, *, processors=None):
    """Serve a load to the end."""
    pipeline = SimulatedPipeline(tuple(steps), processors)
    twin = PipelineTwin(pipeline, load, assignment or pipeline.unbatched())
    twin.run(float("inf"))
    return twin


def test_a_chain_takes_one_round_for_each_item_and_one_less_than_its_steps():
    """Example (a): k = 4 steps of t = 50 ms, N = 200: N·t + (k-1)·t instead of k·N·t."""
    twin = served(chain(0.05, 0.05, 0.05, 0.05), PipelineLoad(arrivals_s=(0.0,) * 200))
    assert twin.now_s == pytest.approx(200 * 0.05 + 3 * 0.05)
    assert len(twin.served) == 200


@pytest.mark.parametrize(
    ("workers", "waited_s"),
    [
        pytest.param(1, 2.0, id="one worker falls behind by two seconds an item"),
        pytest.param(3, 0.0, id="three workers take each item at once"),
    ],
)
def test_a_producer_of_one_second_keeps_three_workers_of_three_seconds(workers, waited_s):
    """Example (b): produce 1 s, process 3 s, push 0: from the fourth second on one a second."""
    steps = (
        SimulatedStep("produce", (1.0,)),
        SimulatedStep("process", (3.0,), ("produce",)),
    )
    twin = served(steps, PipelineLoad((0.0,) * 12), with_instances(produce=1, process=workers))
    ends = twin.answered().ends_s
    queued = twin.look().steps["process"][POD].queue_ns / 1e9
    assert ends[0] == pytest.approx(4.0)
    assert queued == pytest.approx(sum(waited_s * i for i in range(12)))
    if workers == 3:
        assert np.diff(ends) == pytest.approx(1.0)


def test_branches_cost_the_longest_and_not_the_sum():
    """Example (c)."""
    twin = served(FORK, PipelineLoad((0.0, 1.0)))
    answered = twin.answered()
    assert answered.ends_s - answered.arrivals_s == pytest.approx(0.041)


def test_tea_is_made_while_the_teeth_are_brushed():
    """The founding documents' morning: 40 minutes instead of 55."""
    steps = (
        SimulatedStep("boil", (15 * 60.0,)),
        SimulatedStep("wash", (10 * 60.0,)),
        SimulatedStep("brush", (5 * 60.0,), ("wash",)),
        SimulatedStep("breakfast", (25 * 60.0,), ("boil", "brush")),
    )
    assert served(steps, PipelineLoad((0.0,))).now_s == pytest.approx(40 * 60)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_it_serves_as_the_queueing_model_step_by_step(data):
    """Two models with nothing in common but the rule: events here, whole steps there."""
    count = data.draw(st.integers(1, 5))
    steps, batchers = [], []
    for i in range(count):
        bound = data.draw(st.integers(1, 3))
        curve = tuple(
            np.cumsum(
                data.draw(st.lists(st.floats(0.01, 1.0), min_size=bound, max_size=bound))
            ).tolist()
        )
        after = tuple(f"s{j}" for j in range(i) if data.draw(st.booleans()))
        batching = Batching(max_batch_size=bound, instances=data.draw(st.integers(1, 3)))
        steps.append(SimulatedStep(f"s{i}", curve, after))
        batchers.append(QueueingStep(f"s{i}", Batcher(batching, curve), after))
    gaps = data.draw(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=15))
    arrivals = np.cumsum(gaps)
    twin = served(
        steps,
        PipelineLoad(tuple(arrivals.tolist())),
        {b.name: b.batcher.batching for b in batchers},
    )
    expected = np.maximum.reduce(list(ends_of(batchers, arrivals).values()))
    answered = twin.answered()
    order = np.argsort(answered.arrivals_s)
    assert answered.ends_s[order] == pytest.approx(expected, abs=1e-6)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1.0), st.floats(0, 2), st.integers(1, 3)), min_size=1, max_size=4
    ),
    st.integers(1, 6),
    st.floats(0.5, 8.0),
)
@settings(deadline=None, max_examples=60)
def test_nothing_is_lost_or_made_of_nothing(drawn, clients, processors):
    """Conservation: of requests, of rows, of processor time, and Little's law of what waits."""
    steps = tuple(
        SimulatedStep(f"s{i}", (s,), tuple(f"s{j}" for j in range(i)), (1, rows), processors=cpu)
        for i, (s, cpu, rows) in enumerate(drawn)
    )
    pipeline = SimulatedPipeline(steps, processors)
    twin = PipelineTwin(pipeline, PipelineLoad(clients=clients), pipeline.unbatched())
    twin.run(20.0)
    reading = twin.look()
    whole = reading.requests[POD]
    assert whole.success_count == len(twin.served)
    for step in steps:
        own = reading.steps[step.name][POD]
        sizes = {rows: n for rows, (n, _) in own.batches.items()}
        assert sum(rows * n for rows, n in sizes.items()) == own.inference_count
        assert whole.success_count <= own.success_count <= whole.success_count + clients
        assert own.pending <= clients
        busy_s = sum(ns for _, ns in own.batches.values()) / 1e9
        assert busy_s <= 20.0 * 1.000001
    assert reading.cpu_s <= processors * 20.0 * (1 + 1e-6)
    assert whole.success_ns / 1e9 <= clients * 20.0 * (1 + 1e-6)


def test_batches_that_want_more_processors_than_there_are_take_longer():
    """A second worker of a full CPU: none of both is quicker, and each takes twice as long."""
    steps = (SimulatedStep("a", (1.0,), processors=1.0),)
    for workers, each_s in ((1, 1.0), (2, 2.0), (4, 4.0)):
        twin = served(steps, PipelineLoad((0.0,) * 4), with_instances(a=workers), processors=1.0)
        assert twin.now_s == pytest.approx(4.0)
        batches = twin.look().steps["a"][POD].batches
        assert batches[1][1] / batches[1][0] / 1e9 == pytest.approx(each_s)
        assert twin.cpu_s == pytest.approx(4.0)


def test_what_only_waits_is_not_slowed_down():
    steps = (SimulatedStep("cpu", (1.0,), processors=2.0), SimulatedStep("wait", (1.0,)))
    twin = served(steps, PipelineLoad((0.0,)), processors=1.0)
    batches = {name: pods[POD].batches[1][1] / 1e9 for name, pods in twin.look().steps.items()}
    assert batches == pytest.approx({"cpu": 2.0, "wait": 1.0})


def test_a_request_is_never_divided_and_batches_hold_what_fits():
    steps = (SimulatedStep("rows", (0.1, 0.1, 0.1, 0.1), rows=(3, 1, 5)),)
    pipeline = SimulatedPipeline(steps)
    twin = PipelineTwin(
        pipeline, PipelineLoad((0.0,) * 6), {"rows": Batching(max_batch_size=4, instances=1)}
    )
    twin.run(float("inf"))
    found = twin.look().steps["rows"][POD].batches
    assert {size: n for size, (n, _) in found.items()} == {4: 2, 5: 2}
    assert found[5][1] / 2e9 == pytest.approx(0.125)


def test_a_change_takes_what_waits_and_lets_batches_end():
    steps = (SimulatedStep("a", (1.0,)),)
    pipeline = SimulatedPipeline(steps)
    twin = PipelineTwin(pipeline, PipelineLoad((0.0,) * 5), with_instances(a=1))
    twin.change(with_instances(a=3), 0.5)
    twin.run(1.4)
    assert len(twin.served) == 1
    twin.change(with_instances(a=1), 1.45)
    twin.run(float("inf"))
    assert [round(end, 3) for end in twin.answered().ends_s] == [1.0, 1.5, 1.5, 2.0, 3.0]


def test_a_step_that_becomes_slower_is_so_from_its_next_batch_on():
    pipeline = SimulatedPipeline((SimulatedStep("a", (1.0,)),))
    twin = PipelineTwin(pipeline, PipelineLoad(clients=1), pipeline.unbatched())
    twin.change_service("a", (3.0,), 0.5)
    twin.run(9.0)
    assert [end for _, end in twin.served] == [1.0, 4.0, 7.0]


def test_readings_tell_what_waits_and_latencies_of_the_last_minute():
    pipeline = SimulatedPipeline((SimulatedStep("a", (40.0,)),))
    twin = PipelineTwin(pipeline, PipelineLoad((0.0, 0.0, 0.0)), pipeline.unbatched())
    twin.run(50.0)
    first = twin.look()
    assert first.steps["a"][POD].pending == 1
    assert first.requests[POD].pending is None
    assert first.requests[POD].latency_quantiles_us[50] == pytest.approx(40e6)
    twin.run(400.0)
    assert twin.look().requests[POD].latency_quantiles_us == {}
    assert twin.is_idle


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"service_s": ()}, "service times must be greater", id="no curve"),
        pytest.param({"service_s": (0.0,)}, "service times must be greater", id="no time"),
        pytest.param({"service_s": (1.0,), "rows": ()}, "at least one row", id="no rows"),
        pytest.param({"service_s": (1.0,), "rows": (1, 0)}, "at least one row", id="an empty one"),
    ],
)
def test_what_is_no_step_is_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        SimulatedStep("a", **fields)


def test_what_reads_a_later_step_is_refused():
    with pytest.raises(ValueError, match="a reads a step that does not come before it"):
        SimulatedPipeline((SimulatedStep("a", (1.0,), ("b",)), SimulatedStep("b", (1.0,))))


def test_a_rate_counts_what_was_answered_in_an_interval():
    twin = served(chain(1.0), PipelineLoad((0.0,) * 10))
    assert twin.answered().rate_per_s(2.0, 6.0) == 1.0
    assert twin.answered().rate_per_s(20.0, 26.0) == 0.0
