"""Objects of the API server, whoever wrote them, up to the decision about them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from ferryman.api import names
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.node_profile import NodeProfile
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.statistics import ServerModel
from ferryman.cli.explaining import explain_pipeline
from ferryman.clients import pbtxt
from ferryman.clients.bounded.objects import OBJECT, Guard
from ferryman.clients.bounded.text import ListSplitter, TooLargeError, measure, members
from ferryman.core.batching.changes import resolve
from ferryman.core.batching.restored_state import recalled
from ferryman.core.benchmark import requests, schedule, tables
from ferryman.core.benchmark.job import ANNOTATION_MEASUREMENT
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.placement.nodes.node_types import summarise
from ferryman.core.placement.prices import published
from ferryman.core.plan import plan
from ferryman.core.pods.state import serving_state
from ferryman.core.render.slots import SOLE
from ferryman.core.snapshot import Snapshot
from ferryman.core.status import unreadable
from ferryman.handlers import benchmark_jobs, cache
from tests import factories
from tests.fuzz import repeats, words

_BATCHING = factories.Batching(max_batch_size=8)
_NODE = factories.node()
_RUNTIME = factories.runtime()
_PIPELINE_RUNTIME = factories.runtime(
    processors=[factories.runtime_processor(backends={"python": "python", "onnx": "onnxruntime"})]
)
_MODEL = factories.model().as_dict()
_PROFILE = factories.profile()
#: What is the same in every decision is made once.
_SNAPSHOT = factories.snapshot(runtime=_RUNTIME, nodes=(_NODE,))

OVERLAY_WORDS = (
    *("max_batch_size", "maxBatchSize", "dynamic_batching", "dynamicBatching", "instance_group"),
    *("preferred_batch_size", "max_queue_delay_microseconds", "default_queue_policy", "input"),
    *("timeout_action", "default_timeout_microseconds", "max_queue_size", "count", "kind", "gpus"),
    *("parameters", "string_value", "model_warmup", "batch_size", "inputs", "name", "backend"),
    *("sequence_batching", "ensemble_scheduling", "model_transaction_policy", "decoupled", "dims"),
    *("optimization", "cc_model_filenames", "default_model_filename", "runtime", "data_type"),
    *("model_operations", "op_library_filename", "EXECUTION_ENV_PATH", "version_policy", "output"),
)
PROFILE_WORDS = (
    *("nodeType", "heartbeatTime", "processors", "class", "product", "utilisation", "benchmarks"),
    *("memoryUtilisation", "memoryBytes", "unavailable", "hardware", "points", "batchSize"),
    *("imagesPerSecond", "latencyP50Milliseconds", "measuredAt", "measuredOn", "runtime", "image"),
    *("maxInstances", "driver", "sharing", "note", "error", "failures", "pricePerHour", "count"),
)
STATUS_WORDS = (
    *("placement", "batching", "applied", "changes", "conditions", "recentReloads", "outcome"),
    *("time", "before", "after", "actuator", "reason", "message", "generation", "nodeType"),
    *("processor", "since", "desiredReplicas", "fewerReplicas", "observed", "tuner", "candidates"),
    *("serving.ferryman.dev/max-batch-size", "serving.ferryman.dev/config-hash"),
)
PIPELINE_WORDS = (
    *("inputs", "outputs", "steps", "name", "datatype", "shape", "source", "inputMap", "when"),
    *("model", "modelRef", "storageUri", "modelFormat", "config", "objectives", "latency"),
    *("execution", "instances", "workers", "balancing", "applied", "changes", "runtimeRef"),
)


def overlay(data: bytes) -> None:
    """Bring an overlay, also one from before it had a schema, to a decision, or to words."""
    found = _read(data)
    if found is None:
        return
    spec = _MODEL["spec"]
    _decide_once({**_MODEL, "spec": {**spec, "model": {**spec["model"], "config": found}}})


def overlay_seeds() -> tuple[bytes, ...]:
    """Return overlays in both spellings."""
    whole = {
        "max_batch_size": 8,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": ["-1"]}],
        "dynamic_batching": {
            "preferred_batch_size": [4, 8],
            "max_queue_delay_microseconds": "100",
            "default_queue_policy": {"timeout_action": "REJECT", "max_queue_size": 9},
        },
        "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
        "parameters": {"a": {"string_value": "b"}},
        "model_warmup": [{"name": "w", "batch_size": 4, "inputs": {"x": {"zero_data": True}}}],
    }
    camel = {"maxBatchSize": 4, "dynamicBatching": {"priorityLevels": "2"}}
    plain = [whole, camel, {}, {"sequence_batching": {"direct": {}}}, {"max_batch_size": 0}]
    return tuple(json.dumps(each).encode() for each in plain)


def profile(data: bytes) -> None:
    """Read a profile of an agent or leave it out; what all of them come to can be told."""
    found = _read(data)
    if found is None:
        return
    body = {"metadata": {"name": "node-1", "uid": "u", "annotations": {}}, "status": found}
    try:
        read = NodeProfile.model_validate(cache.trim_profile(body))
    except ValidationError as error:
        words.said(unreadable.words(error))
        return
    if not repeats.is_new(read.status.model_dump()):
        return
    lying = factories.node("node-2", profile=read.status)
    types = summarise((_NODE, lying))
    assert json.dumps([kind.name for kind in types])
    prices = published((read.status, _PROFILE.status))
    assert all(price >= 0 for price in prices.values())
    both = [_PROFILE, read.with_(metadata=factories.metadata("node-2", None))]
    schedule.due([_RUNTIME], both, (_NODE, lying), [], factories.NOW)
    tables.published([_RUNTIME], both, [], prices)
    requests.requested_at(read)
    _decide(_SNAPSHOT.with_(nodes=(_NODE, lying)))


def profile_seeds() -> tuple[bytes, ...]:
    """Return what agents report, with what the operator measured."""
    both = [factories.processor("gpu"), factories.processor("cpu")]
    gpu = factories.profile_status("gpu-a", processors=both)
    return (*(json.dumps(each.as_dict()).encode() for each in (_PROFILE.status, gpu)), b"{}")


def annotations(data: bytes) -> None:
    """Use, replace or leave out what stands in annotations and statuses, ours or forged."""
    found = _read(data)
    if found is None:
        return
    texts = {key: value for key, value in found.items() if isinstance(value, str)}
    measured = {ANNOTATION_MEASUREMENT: texts.get("measurement", "")}
    job = benchmark_jobs.read({"metadata": {"name": "job", "annotations": {**texts, **measured}}})
    if job is not None:
        given_up = schedule.given_up([job.measurement], [_RUNTIME], [])
        schedule.due([_RUNTIME], [_PROFILE], (_NODE,), [job.measurement], factories.NOW)
        assert not given_up
    requests.requested_at(_PROFILE.with_(metadata=factories.metadata("n", None, annotations=texts)))
    items = [{"path": SOLE.cap_path}]
    volume = {"name": names.VOLUME_LIVE_CAP, "downwardAPI": {"items": items}}
    pod = {"metadata": {"name": "pod", "annotations": texts}, "spec": {"volumes": [volume]}}
    answer = ServerModel(True, batching=_BATCHING, largest_batch_size=64)  # noqa: FBT003
    serving = serving_state(None, [cache.trim_pod(pod)], {"pod": answer})
    manifest = {**_MODEL, "status": found.get("status", {})}
    if not isinstance(manifest["status"], dict):
        return  # the schema, which no one of ours has changed
    try:
        status = InferenceModelStatus.model_validate(manifest["status"])
    except ValidationError:
        pass
    else:
        resolve(status.batching, serving.pods)
    _decide_once(manifest)


def annotation_seeds() -> tuple[bytes, ...]:
    """Return a status with a journal, and the annotations that are read."""
    batching = {"maxBatchSize": 8, "maxQueueDelayMicroseconds": 0, "instances": 1}
    said = {"reason": "Saturated", "message": "x"}
    change = {
        "time": factories.at(-60),
        "before": batching,
        "after": {**batching, "maxBatchSize": 12},
        "actuator": "Reload",
        **said,
        "outcome": "InProgress",
        "generation": 1,
    }
    placed = {"nodeType": "cpu-small", "processor": "cpu", "since": factories.at(-600)}
    status = {
        "observedGeneration": 1,
        "placement": {**placed, **said},
        "batching": {
            "applied": batching,
            "changes": [change, {**change, "outcome": "Refused"}],
            "recentReloads": [factories.at(-60)],
        },
    }
    measured = {
        "node_type": "a",
        "processor": "cpu",
        "runtime": "triton",
        "image": "i",
        "node": "n",
    }
    whole = {
        "status": status,
        "measurement": json.dumps(measured),
        "serving.ferryman.dev/max-batch-size": "8",
        "serving.ferryman.dev/benchmark-requested": factories.at(),
        "serving.ferryman.dev/config-hash": "abc",
    }
    return json.dumps(whole).encode(), json.dumps({"measurement": measured}).encode()


def pipeline(data: bytes) -> None:
    """Refuse, fault or plan a pipeline, and tell of it."""
    found = _read(data)
    if found is None:
        return
    metadata = {"name": "chain", "namespace": "default", "uid": "u", "generation": 1}
    body = {"metadata": metadata, **_parts(found)}
    try:
        read = InferencePipeline.model_validate(body)
    except ValidationError as error:
        words.said(unreadable.words(error))
        return
    snapshot = PipelineSnapshot(pipeline=read, runtime=_PIPELINE_RUNTIME, nodes=(_NODE,))
    explanation, told = explain_pipeline.explain(snapshot, factories.NOW)
    assert type(told.status).model_validate(told.status.as_dict())
    json.dumps(explain_pipeline.as_json(explanation, told))


def pipeline_seeds() -> tuple[bytes, ...]:
    """Return a chain and a pipeline that parts and joins."""
    chain = factories.pipeline().as_dict()
    step = factories.pipeline_step
    branched = factories.pipeline(
        steps=(step("a", "image"), step("b", "a.output"), step("c", "a.output"))
    ).as_dict()
    return tuple(json.dumps({"spec": each["spec"]}).encode() for each in (chain, branched))


def watch(data: bytes) -> None:
    """Let lines of a watch and lists through, or their stubs; cutting agrees with parsing."""
    size = measure(data)
    assert size.depth >= 0
    try:
        value = json.loads(data) if len(data) < 65_536 else None
    except (ValueError, RecursionError):
        return  # the API server writes JSON only
    if isinstance(value, dict):
        assert {name: json.loads(text) for name, text in members(data).items()} == value
    with suppress(TooLargeError):
        assert OBJECT.loads(data) == value
    _guarded(data, value)


def _guarded(data: bytes, value: Any) -> None:
    if not _is_object(value):
        return
    guard = Guard()
    line = b'{"type":"ADDED","object":%b}' % data
    read = json.loads(guard.line(line, "inferencemodels"))
    assert read["object"] == value or "unread" in read["object"]
    splitter = ListSplitter.start()
    whole = b'{"kind":"List","metadata":{},"items":[%b,%b]}' % (data, data)
    items = [item for piece in (whole[:50], whole[50:]) for item in splitter.feed(piece)]
    assert [json.loads(item) for item in items] == [value, value]


def _is_object(value: Any) -> bool:
    """Whether it is as the API server has objects: their parts are where they belong."""
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        return False
    return isinstance(value["metadata"].get("name"), str)


def watch_seeds() -> tuple[bytes, ...]:
    """Return an object, and one with all that a text can have in strings."""
    metadata = {"name": 'a"\\{[', "uid": "u", "labels": {"a": "\\"}}
    odd = {"metadata": metadata, "spec": {"a": [[{}], "]}", "\u00e9"]}}
    texts = (json.dumps(_MODEL), json.dumps(odd, ensure_ascii=False), '{"metadata":{"name":"x"}}')
    return tuple(text.encode() for text in texts)


def _decide_once(manifest: dict[str, Any]) -> None:
    """Decide as the operator does when an object is reconciled, unless it was one before."""
    if not repeats.is_new(manifest):
        return
    try:
        model = InferenceModel.model_validate(manifest)
    except ValidationError as error:
        keep = not unreadable.is_about_status(error)
        why = unreadable.words(error)
        words.said(str(unreadable.status(manifest, why, factories.NOW, keep_status=keep)))
        return
    _decide(_SNAPSHOT.with_(model=model))


def _decide(snapshot: Snapshot) -> None:
    decided = plan(
        snapshot,
        window=None,
        state=recalled(snapshot.model),
        now=factories.NOW,
        encode=pbtxt.encode,
        control_key="",
        environment=explain_pipeline.HERE,
    )
    placement = decided.status.placement
    assert placement is None or type(placement).model_validate(placement.as_dict()) == placement


def _read(data: bytes) -> dict[str, Any] | None:
    """Return what a text says as the operator reads it; None where it does not read it.

    What it does of those is what ``watches`` is about.
    """
    try:
        found = OBJECT.loads(data)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _parts(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key in {"spec", "status"}}
