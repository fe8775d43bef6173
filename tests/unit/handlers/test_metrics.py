from pathlib import Path

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingChange,
    BalancingStatus,
    InferencePipelineStatus,
    PipelineObservedStatus,
    StepInstances,
    StepStatus,
)
from ferryman.core.vocabulary.metrics import METRICS
from ferryman.handlers.metrics import Metrics
from tests import factories
from tests.fakes import wire

ROOT = Path(__file__).parents[3]


def shown(cluster):
    """Return the bounds shown of two models, and how many models are shown as placed."""
    sample = cluster.metrics.registry.get_sample_value
    bounds = [
        sample("ferryman_model_max_batch_size", {"namespace": "default", "model": name})
        for name in ("first", "second")
    ]
    return *bounds, sample("ferryman_models_placed", {"node_type": "cpu-small"})


def test_of_a_model_that_is_deleted_while_nobody_watches_nothing_stays(cluster, play):
    async def script(cluster):
        cluster.api.put("runtimes", wire(factories.runtime()))
        cluster.node()
        cluster.model("first")
        cluster.model("second")
        await cluster.settle()
        found = [shown(cluster)]
        await cluster.end()
        found.append(shown(cluster))
        cluster.api.drop("models", "first", "default")
        await cluster.begin()
        await cluster.settle()
        return [*found, shown(cluster)]

    watched, between, again = play(script)
    assert watched == (8, 8, 2)
    assert between == (None, None, 0)
    assert again == (None, 8, 1)


@pytest.mark.parametrize(
    ("actuator", "reloads"),
    [
        pytest.param("Reload", 1, id="a reload is one"),
        pytest.param("InPlace", 0, id="a change in place is none"),
        pytest.param("LiveCap", 0, id="nor is one by the live cap"),
    ],
)
def test_changes_are_counted_by_actuator_and_reloads_alone(actuator, reloads):
    metrics = Metrics()
    metrics.changed(actuator, "Applied")
    sample = metrics.registry.get_sample_value

    labels = {"actuator": actuator, "outcome": "Applied"}
    assert sample("ferryman_batching_changes_total", labels) == 1
    assert sample("ferryman_batching_reloads_total", {"outcome": "Applied"}) == reloads


STATUS = InferenceModelStatus(
    ready_replicas=1,
    conditions=(
        Condition(
            type="ObjectivesMet",
            status="False",
            reason="LatencyAboveTarget",
            message="",
            last_transition_time="2026-01-01T00:00:00Z",
        ),
    ),
    placement=PlacementStatus(
        node_type="cpu-small", processor="cpu", reason="LeastWorkload", message=""
    ),
    batching=BatchingStatus(
        applied=Batching(max_batch_size=8, max_queue_delay_microseconds=500, instances=2),
        needed_replicas=3,
        changes=(
            BatchingChange(
                time="2026-01-01T00:00:10Z",
                before=Batching(max_batch_size=4),
                after=Batching(max_batch_size=8),
                actuator="LiveCap",
                reason="Saturated",
                message="",
                outcome="Applied",
            ),
        ),
    ),
    observed=ObservedStatus(
        latency_milliseconds=60,
        mean_latency_milliseconds=40,
        inferences_per_second=25,
        mean_batch_size=4,
        rejected_requests=2,
    ),
)
PIPELINE_STATUS = InferencePipelineStatus(
    conditions=STATUS.conditions,
    limiting_step="detect",
    steps=(
        StepStatus(
            name="detect",
            instances=StepInstances(desired=2),
            max_batch_size=16,
            mean_batch_size=3,
            service_time_milliseconds=30,
            queue_milliseconds=5,
            busy=0.5,
        ),
    ),
    balancing=BalancingStatus(
        changes=(
            BalancingChange(
                time="2026-01-01T00:00:20Z",
                before=(),
                after=(),
                reason="LimitingStep",
                message="",
                outcome="Applied",
            ),
        )
    ),
    observed=PipelineObservedStatus(latency_milliseconds=50, requests_per_second=20),
)
PROFILE = {
    "metadata": {"name": "node-1"},
    "status": {
        "nodeType": "cpu-small",
        "heartbeatTime": "2026-01-01T00:00:30Z",
        "processors": [{"class": "cpu", "utilisation": 0.25, "memoryUtilisation": None}],
    },
}
MODEL = factories.model(
    objectives=Objectives(
        latency=LatencyObjective(target_milliseconds=50),
        throughput=ThroughputObjective(min_per_second=10),
    )
)
PIPELINE = factories.pipeline(
    objectives=Objectives(latency=LatencyObjective(target_milliseconds=50))
)


@pytest.fixture
def everything():
    """Return metrics of which every one has been shown."""
    metrics = Metrics()
    metrics.of_operator(ready=True, leads=False, queue_depth=3)
    metrics.unread("models", 1)
    metrics.write("apply", "Deployment")
    metrics.reconciles.labels("ok").inc()
    metrics.changed("Reload", "Applied")
    metrics.show(MODEL, STATUS)
    metrics.show_pipeline(PIPELINE, PIPELINE_STATUS)
    metrics.show_node(PROFILE, deleted=False)
    memory = {"class": "gpu", "memoryUtilisation": 0.5}
    other = {"metadata": {"name": "node-2"}, "status": {"processors": [memory]}}
    metrics.show_node(other, deleted=False)
    return metrics


def exposed(metrics):
    """Return every metric on the page that has a sample, counters as they are queried."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in metrics.registry.collect()
        if family.samples
    }


def test_the_page_has_every_metric_of_the_table_and_no_other(everything):
    former = {metric.former.name for metric in METRICS.values() if metric.former}

    assert exposed(everything) == METRICS.keys() | former


def test_the_reference_has_every_metric_and_every_former_name(everything):
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")

    assert {name for name in exposed(everything) if f"`{name}`" not in page} == set()


def test_durations_are_in_seconds_and_for_one_version_also_in_milliseconds(everything):
    sample = everything.registry.get_sample_value
    labels = {"namespace": MODEL.key.namespace, "model": MODEL.key.name}
    step = {"namespace": PIPELINE.key.namespace, "pipeline": PIPELINE.key.name, "step": "detect"}

    assert sample("ferryman_model_latency_seconds", labels) == 0.06
    assert sample("ferryman_model_latency_milliseconds", labels) == 60
    assert sample("ferryman_model_max_queue_delay_seconds", labels) == 0.0005
    assert sample("ferryman_pipeline_step_service_seconds", step) == 0.03
    assert sample("ferryman_pipeline_step_service_milliseconds", step) == 30
    assert sample("ferryman_pipeline_step_busy_ratio", step) == 0.5


def statuses(metrics, condition):
    """Return for each status of the model's condition whether it is the case."""
    labels = {"namespace": MODEL.key.namespace, "model": MODEL.key.name, "condition": condition}
    return {
        status: metrics.registry.get_sample_value(
            "ferryman_model_condition", {**labels, "status": status}
        )
        for status in ("true", "false", "unknown")
    }


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param("ObjectivesMet", "false", id="as it is listed"),
        pytest.param("Stalled", "false", id="false where only true ones are listed"),
        pytest.param("Ready", "unknown", id="unknown where nothing was said yet"),
    ],
)
def test_a_condition_has_one_status(everything, condition, status):
    assert statuses(everything, condition) == {
        each: float(each == status) for each in ("true", "false", "unknown")
    }


def test_what_an_object_no_longer_says_is_taken_away(everything):
    sample = everything.registry.get_sample_value
    labels = {"namespace": MODEL.key.namespace, "model": MODEL.key.name}
    changed = {**labels, "reason": "Saturated", "outcome": "Applied"}
    before = sample("ferryman_model_last_change_timestamp_seconds", changed)
    everything.show(MODEL, InferenceModelStatus())
    everything.show_node(PROFILE, deleted=True)

    assert before == 1_767_225_610
    assert sample("ferryman_model_last_change_timestamp_seconds", changed) is None
    assert sample("ferryman_model_latency_seconds", labels) is None
    assert sample("ferryman_model_latency_milliseconds", labels) is None
    assert sample("ferryman_model_desired_replicas", labels) == 1
    assert sample("ferryman_node_info", {"node": "node-1", "node_type": "cpu-small"}) is None
