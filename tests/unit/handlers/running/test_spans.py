"""What traces tell of reconciles and changes, in a session on virtual time."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ferryman.api.pipelines.inference_pipeline import BalancingSpec
from ferryman.api.pipelines.step import StepBalance
from ferryman.clients import tracing
from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.clients.triton import ConfigRefused
from tests import factories
from tests.unit.handlers.cluster import MASTER_KEY
from tests.unit.handlers.pipelines import scenes as pipelines
from tests.unit.handlers.scenes import POD, fixed, prepare, serving


@pytest.fixture
def spans():
    """Return what gives all spans that have ended, while tracing is on."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with tracing.tracing(provider.get_tracer("test")):
        yield memory.get_finished_spans


def named(spans, name):
    return [span for span in spans() if span.name == name]


def with_workers(**workers):
    """Return the pipeline of the scenes with this many instances of its steps."""
    steps = [
        step.with_(initial=StepBalance(instances=workers.get(step.name, 1)))
        for step in factories.pipeline().spec.steps
    ]
    return factories.pipeline(steps=steps, balancing=BalancingSpec(mode="Fixed"))


def children(spans, parent):
    return [
        span.name
        for span in spans()
        if span.parent is not None and span.parent.span_id == parent.context.span_id
    ]


async def changed(cluster):
    await serving(cluster)
    cluster.model(batching=fixed(16))
    await cluster.settle(10)


def test_a_reconcile_says_what_it_is_about_and_what_was_decided(play, spans):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()
        return cluster.api.get("models", "resnet50")["metadata"]["uid"]

    uid = play(script)
    first = named(spans, "reconcile InferenceModel")[0]

    assert first.parent is None
    assert dict(first.attributes) == {
        "k8s.namespace.name": "default",
        "k8s.object.kind": "InferenceModel",
        "k8s.object.name": "resnet50",
        "k8s.object.uid": uid,
        "ferryman.generation": 1,
        "ferryman.reason": first.attributes["ferryman.reason"],
        "ferryman.ready": "False",
        "ferryman.ready.reason": "Deploying",
    }


def test_what_takes_time_in_a_reconcile_are_its_parts(play, spans):
    async def script(cluster):
        prepare(cluster)
        await cluster.settle()

    play(script)
    parts = [children(spans, each) for each in named(spans, "reconcile InferenceModel")]

    assert parts[0] == ["look at servers", "decide", "write status"]
    applied = [span.attributes["ferryman.applied.kind"] for span in named(spans, "apply object")]
    assert {"Secret", "Service", "Deployment"} <= set(applied)


def test_a_change_says_how_why_and_what_came_of_it(play, spans):
    play(changed)
    change = named(spans, "change batching")[-1]
    reconcile = next(
        span
        for span in named(spans, "reconcile InferenceModel")
        if span.context.span_id == change.parent.span_id
    )

    assert {
        "ferryman.actuator": "Reload",
        "ferryman.reason": "SpecChanged",
        "ferryman.outcome": "Applied",
    }.items() <= change.attributes.items()
    assert change.attributes["ferryman.to"].startswith("batch 16,")
    assert reconcile.attributes["ferryman.generation"] == 2
    assert [span.attributes["k8s.pod.name"] for span in named(spans, "change pod")] == [POD]


def test_a_change_refers_to_the_one_before(play, spans):
    async def script(cluster):
        await changed(cluster)
        cluster.model(batching=fixed(4))
        await cluster.settle(60)

    play(script)
    before, after = named(spans, "change batching")[-2:]

    assert [link.context for link in after.links] == [before.context]


def test_a_window_is_judged_with_a_link_to_the_change_that_it_shows(play, spans):
    async def script(cluster):
        await changed(cluster)
        cluster.tritons.at("10.0.0.1").requests_per_s = 50.0
        await cluster.beat(120)

    play(script)
    change = named(spans, "change batching")[-1]
    linked = [span for span in named(spans, "decide") if span.links]

    assert linked
    assert all(link.context == change.context for span in linked for link in span.links)


def test_a_pipelines_change_names_its_steps_and_each_pod(play, spans):
    async def script(cluster):
        await pipelines.serving(cluster)
        pipelines.put(cluster, with_workers(detect=2))
        await cluster.settle(20)

    play(script)
    [change] = named(spans, "change batching")

    assert change.attributes["ferryman.from"].startswith("detect: batch 64,")
    assert change.attributes["ferryman.to"].endswith("2 instances")
    assert change.attributes["ferryman.outcome"] == "Applied"
    assert [span.attributes["ferryman.step"] for span in named(spans, "change pod")] == ["detect"]
    assert named(spans, "load ensemble")
    reconciled = named(spans, "reconcile InferencePipeline")
    assert change.parent.span_id in {span.context.span_id for span in reconciled}


def test_what_is_put_back_is_a_part_of_the_change(play, spans):
    async def script(cluster):
        server = await pipelines.serving(cluster)
        server.steps["read"].refusal = "out of memory"
        pipelines.put(cluster, with_workers(detect=2, read=2))
        await cluster.settle(20)

    play(script)
    [change] = named(spans, "change batching")

    assert change.attributes["ferryman.outcome"] == "Refused"
    assert children(spans, change) == ["change pod", "change pod", "put back"]


def test_a_refused_change_is_an_error_with_tritons_words(play, spans):
    async def script(cluster):
        await serving(cluster)
        cluster.tritons.at("10.0.0.1").refusal = ConfigRefused("no such backend")
        cluster.model(batching=fixed(16))
        await cluster.settle(10)

    play(script)
    change, pod = named(spans, "change batching")[0], named(spans, "change pod")[0]

    assert change.attributes["ferryman.outcome"] == "Refused"
    for span in (change, pod):
        assert span.status.status_code is StatusCode.ERROR
        assert "no such backend" in span.status.description


def test_a_reconcile_that_fails_is_an_error_with_its_message(play, spans):
    async def script(cluster):
        prepare(cluster)
        cluster.api.fail_next = [TemporaryError("the API server is away")]
        await cluster.settle()

    play(script)
    failed = named(spans, "reconcile InferenceModel")[0]

    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "the API server is away"
    assert failed.attributes["error.type"] == "TemporaryError"
    assert failed.events == ()


def test_no_key_is_in_a_trace(play, spans):
    async def script(cluster):
        await changed(cluster)
        return cluster.api.objects

    objects = play(script)
    secret = next(body for key, body in objects.items() if key[0] == "Secret")
    said = "".join(span.to_json() for span in spans())

    assert MASTER_KEY.decode() not in said
    assert not any(value in said for value in (secret.get("stringData") or secret["data"]).values())


def test_nothing_is_recorded_where_tracing_is_off(play):
    with tracing.span("anything") as off:
        assert not off.is_recording()
        tracing.describe({"a": 1})

    play(changed)

    assert tracing._TRACER.get() is None
    assert not asyncio.run(_changes_noted())


async def _changes_noted():
    changes = tracing.Changes()
    with changes.recorded("key", actuator="Reload", reason="r", before="a", after="b"):
        pass
    return changes.link("key")
