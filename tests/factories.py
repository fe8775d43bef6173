"""Small builders of valid values: a test states only what it is about.

``node()`` is a ready node with a fresh profile and a sane benchmark under ``runtime()``, so
that ``snapshot()`` places ``model()`` without further ado.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from ferryman.api.base import Metadata
from ferryman.api.batching import (
    Batching,
    BatchingLimits,
    BatchingSpec,
    InstanceLimits,
    MaxBatchSizeLimits,
    MaxQueueDelayLimits,
    WindowSettings,
)
from ferryman.api.inference_model import (
    InferenceModel,
    InferenceModelSpec,
    PlacementSpec,
    ResourceRequirements,
    RuntimeRef,
)
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.api.inference_runtime import (
    InferenceRuntime,
    InferenceRuntimeSpec,
    ReferenceBenchmark,
    RuntimeProcessor,
)
from ferryman.api.model_source import ModelFormat, ModelSource
from ferryman.api.node_profile import (
    Benchmark,
    BenchmarkPoint,
    Hardware,
    NodeProfile,
    NodeProfileStatus,
    Processor,
)
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.api.pipelines.execution_status import ExecutionStatus
from ferryman.api.pipelines.inference_pipeline import (
    InferencePipeline,
    InferencePipelineSpec,
    PipelineInput,
    PipelineOutput,
)
from ferryman.api.pipelines.inference_pipeline_status import InferencePipelineStatus
from ferryman.api.pipelines.step import PipelineStep
from ferryman.api.statistics import Statistics
from ferryman.core.observation.window import Window
from ferryman.core.snapshot import LiveCapView, NodeView, PodView, ServingState, Snapshot

NOW = datetime(2026, 11, 21, 13, 0, 0, tzinfo=UTC)
GIB = 2**30
CPU_IMAGE = "ferryman/triton-cpu:test"
GPU_IMAGE = "ferryman/triton-gpu:test"
IMAGES = {"cpu": CPU_IMAGE, "gpu": GPU_IMAGE}


def at(seconds: float = 0.0) -> str:
    """Return the RFC 3339 text of a moment so many seconds after NOW (negative: before)."""
    return (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def metadata(name: str, namespace: str | None = "default", **fields: object) -> Metadata:
    """Return metadata with a uid made from the name."""
    values = {"uid": f"uid-{name}", "generation": 1, **fields}
    return Metadata(name=name, namespace=namespace, **values)


def objectives(
    latency_ms: int | None = 50, throughput: int | None = None, percentile: int = 99
) -> Objectives:
    """Return a latency objective, a throughput objective, or both."""
    return Objectives(
        latency=None
        if latency_ms is None
        else LatencyObjective(percentile=percentile, target_milliseconds=latency_ms),
        throughput=None if throughput is None else ThroughputObjective(min_per_second=throughput),
    )


def source(uri: str = "oci://registry.example/resnet50:1", model_format: str = "onnx", **fields):
    """Return a model source."""
    return ModelSource(storage_uri=uri, model_format=ModelFormat(name=model_format), **fields)


def model(
    name: str = "resnet50",
    *,
    namespace: str = "default",
    generation: int = 1,
    status: InferenceModelStatus | None = None,
    placement: PlacementSpec | None = None,
    batching: BatchingSpec | None = None,
    **spec: object,
) -> InferenceModel:
    """Return an InferenceModel of the runtime ``triton``; further keywords are spec fields."""
    fields = {
        "model": source(),
        "runtime_ref": RuntimeRef(name="triton"),
        "objectives": objectives(),
        "placement": placement or PlacementSpec(),
        "batching": batching or BatchingSpec(algorithm="Trend"),
        **spec,
    }
    return InferenceModel(
        metadata=metadata(name, namespace, generation=generation),
        spec=InferenceModelSpec(**fields),
        status=status or InferenceModelStatus(),
    )


def runtime_processor(processor: str = "cpu", **fields: object) -> RuntimeProcessor:
    """Return how a runtime serves ``cpu`` or ``gpu``."""
    values = {
        "image": IMAGES.get(processor, f"ferryman/triton-{processor}:test"),
        "backends": {"onnx": "onnxruntime"},
        "instance_kind": "KIND_GPU" if processor == "gpu" else "KIND_CPU",
        "resource_name": "nvidia.com/gpu" if processor == "gpu" else None,
        "resources": ResourceRequirements(requests={"cpu": "500m", "memory": "512Mi"}),
        **fields,
    }
    return RuntimeProcessor(processor_class=processor, **values)


def runtime(
    name: str = "triton",
    processors: Iterable[RuntimeProcessor] | None = None,
    *,
    benchmark: ReferenceBenchmark | None = None,
    measured: bool = True,
) -> InferenceRuntime:
    """Return an InferenceRuntime for cpu and gpu, by default with a reference benchmark."""
    reference = benchmark or ReferenceBenchmark(model=source("oci://ferryman/resnet50:test"))
    chosen = processors or (runtime_processor("cpu"), runtime_processor("gpu"))
    return InferenceRuntime(
        metadata=metadata(name, None),
        spec=InferenceRuntimeSpec(
            processors=tuple(chosen), benchmark=reference if measured else None
        ),
    )


def points(*images_per_second: float) -> tuple[BenchmarkPoint, ...]:
    """Return a load performance table with batch sizes 1, 2, 4 and so on."""
    return tuple(
        BenchmarkPoint(
            batch_size=2**i,
            images_per_second=rate,
            latency_p50_milliseconds=1000 * 2**i / rate,
            latency_p99_milliseconds=1200 * 2**i / rate,
        )
        for i, rate in enumerate(images_per_second)
    )


def benchmark(
    images_per_second: float = 100.0,
    *,
    processor: str = "cpu",
    runtime: str = "triton",
    node_type: str = "cpu-small",
    measured_at: str | None = None,
    **fields: object,
) -> Benchmark:
    """Return a table whose peak is ``images_per_second``."""
    values = {
        "image": IMAGES.get(processor, f"ferryman/triton-{processor}:test"),
        "measured_on": f"{node_type}-1",
        "points": points(images_per_second / 2, images_per_second),
        "max_instances": 2,
        **fields,
    }
    return Benchmark(
        processor_class=processor,
        runtime=runtime,
        node_type=node_type,
        measured_at=measured_at or at(-3600),
        **values,
    )


def processor(
    processor_class: str = "cpu",
    utilisation: float | None = 0.1,
    memory_utilisation: float | None = 0.2,
    **fields: object,
) -> Processor:
    """Return the processors of one class on a node."""
    values = {"product": f"test {processor_class}", "memory_bytes": 8 * GIB, **fields}
    return Processor(
        processor_class=processor_class,
        utilisation=utilisation,
        memory_utilisation=memory_utilisation,
        **values,
    )


def hardware(**fields: object) -> Hardware:
    """Return a fingerprint of a four-core machine."""
    values = {
        "architecture": "amd64",
        "cpu_model": "Test CPU",
        "cpu_millicores": 4000,
        "memory_bytes": 8 * GIB,
        **fields,
    }
    return Hardware(**values)


def profile_status(
    node_type: str = "cpu-small",
    *,
    processors: Iterable[Processor] | None = None,
    benchmarks: Iterable[Benchmark] | None = None,
    heartbeat_age_s: float | None = 10.0,
    **fields: object,
) -> NodeProfileStatus:
    """Return what an agent and the benchmarks say of a node; one table per processor."""
    chosen = tuple(processors) if processors is not None else (processor(),)
    tables = (
        tuple(benchmarks)
        if benchmarks is not None
        else tuple(benchmark(processor=p.processor_class, node_type=node_type) for p in chosen)
    )
    values = {"hardware": hardware(), **fields}
    return NodeProfileStatus(
        node_type=node_type,
        heartbeat_time=None if heartbeat_age_s is None else at(-heartbeat_age_s),
        processors=chosen,
        benchmarks=tables,
        **values,
    )


def profile(
    name: str = "node-1",
    node_type: str = "cpu-small",
    *,
    annotations: dict[str, str] | None = None,
    **status: object,
) -> NodeProfile:
    """Return a NodeProfile; further keywords go to ``profile_status``."""
    return NodeProfile(
        metadata=metadata(name, None, annotations=annotations or {}),
        status=profile_status(node_type, **status),
    )


def node(
    name: str = "node-1",
    node_type: str = "cpu-small",
    *,
    profile: NodeProfileStatus | None = None,
    has_profile: bool = True,
    allocatable: dict[str, str | int] | None = None,
    ready: bool = True,
    lost: bool = False,
    labels: dict[str, str] | None = None,
    taints: tuple[str, ...] = (),
    reserved: dict[str, object] | None = None,
    **status: object,
) -> NodeView:
    """Return a node; ``reserved`` holds NodeView's reserved_* and in_flight_* fields.

    Further keywords go to ``profile_status``.
    """
    shown = (profile or profile_status(node_type, **status)) if has_profile else None
    return NodeView(
        name=name,
        ready=ready and not lost,
        lost=lost,
        labels=labels or {},
        taints=taints,
        allocatable=allocatable or {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": 1},
        profile=shown,
        **(reserved or {}),
    )


def pod(
    name: str = "resnet50-triton-1", *, batching: Batching | None = None, **fields: object
) -> PodView:
    """Return a ready Triton pod."""
    values = {"ip": "10.0.0.1", "node": "node-1", "ready": True, **fields}
    return PodView(name=name, batching=batching or Batching(max_batch_size=8), **values)


def capped_pod(
    bound: int = 8, *, start: int | None = None, largest: int = 64, **fields: object
) -> PodView:
    """Return a pod with a live cap at ``bound``, loaded with ``start`` (the same by default).

    Further fields are those of its batching, ``name`` and ``ip``.
    """
    own = {key: fields.pop(key) for key in ("name", "ip") if key in fields}
    batching = Batching(max_batch_size=bound, **fields)
    loaded = batching.with_(max_batch_size=bound if start is None else start)
    live_cap = LiveCapView(loaded=loaded, largest=largest)
    return pod(batching=batching.canonical(), takes_live_cap=True, live_cap=live_cap, **own)


# ``snapshot`` has keywords of these names.
_model, _runtime = model, runtime


def snapshot(
    *,
    model: InferenceModel | None = None,
    runtime: InferenceRuntime | None = None,
    has_runtime: bool = True,
    nodes: Iterable[NodeView] | None = None,
    serving: ServingState | None = None,
) -> Snapshot:
    """Return a snapshot with one model, one runtime and one node unless told otherwise."""
    return Snapshot(
        model=model or _model(),
        runtime=(runtime or _runtime()) if has_runtime else None,
        nodes=tuple(nodes) if nodes is not None else (node(),),
        serving=serving or ServingState(),
    )


def statistics(now_s: float = 0.0, requests: int = 0, **fields: object) -> Statistics:
    """Return counters of a server after so many requests: 2 ms queue and 3 ms compute each.

    Requests carry one inference each and were executed one by one unless ``batches`` says more.
    """
    values = {
        "inference_count": requests,
        "success_count": requests,
        "success_ns": requests * 5_000_000,
        "failure_count": 0,
        "queue_ns": requests * 2_000_000,
        "execution_count": requests,
        "batches": {1: (requests, requests * 3_000_000)} if requests else {},
        **fields,
    }
    return Statistics(now_s=now_s, **values)


def window(**fields: object) -> Window:
    """Return a complete window: 1,000 requests in 10 s, p99 40 ms, no queue to speak of."""
    values = {
        "ended_at_s": 100.0,
        "seconds": 10.0,
        "requests": 1000,
        "inferences": 1000,
        "failures": 0,
        "requests_per_s": 100.0,
        "inferences_per_s": 100.0,
        "offered_inferences_per_s": 100.0,
        "mean_latency_ms": 12.0,
        "latency_ms": 40.0,
        "mean_batch_size": 4.0,
        "queue_ms": 2.0,
        "compute_ms": 10.0,
        "service_times": {4: (250, 10.0)},
        **fields,
    }
    return Window(**values)


def limits(
    size: tuple[int, int] = (1, 64),
    delay_us: tuple[int, int] = (0, 20_000),
    instances: tuple[int, int] = (1, 4),
) -> BatchingLimits:
    """Return limits from the least and the most of each."""
    return BatchingLimits(
        max_batch_size=MaxBatchSizeLimits(min=size[0], max=size[1]),
        max_queue_delay_microseconds=MaxQueueDelayLimits(min=delay_us[0], max=delay_us[1]),
        instances=InstanceLimits(min=instances[0], max=instances[1]),
    )


def window_settings(
    max_requests: int = 1000, max_seconds: int = 30, min_seconds: int = 5
) -> WindowSettings:
    """Return when windows end."""
    return WindowSettings(
        max_requests=max_requests, max_seconds=max_seconds, min_seconds=min_seconds
    )


def pipeline_step(name: str, reads: str, **fields: object) -> PipelineStep:
    """Return a step that echoes what it reads; further keywords are fields of the step."""
    values = {
        "model": source(f"oci://registry.example/{name}:1", "python"),
        "input_map": {"input": reads},
        **fields,
    }
    return PipelineStep(name=name, **values)


def execution(**fields: object) -> ExecutionStatus:
    """Return that all steps are on one server; keywords replace any field."""
    values = {"mode": "Ensemble", "reason": "OneServerFits", "message": "x", **fields}
    return ExecutionStatus(**values)


def pipeline(
    name: str = "chain",
    *,
    steps: Iterable[PipelineStep] | None = None,
    namespace: str = "default",
    generation: int = 1,
    status: InferencePipelineStatus | None = None,
    **spec: object,
) -> InferencePipeline:
    """Return a pipeline of three steps in a chain; further keywords are spec fields."""
    chosen = tuple(steps or ()) or (
        pipeline_step("prepare", "image"),
        pipeline_step("detect", "prepare.output"),
        pipeline_step("read", "detect.output"),
    )
    fields = {
        "inputs": (PipelineInput(name="image", datatype="FP32", shape=(-1, 1)),),
        "steps": chosen,
        "outputs": (PipelineOutput(name="text", source=f"{chosen[-1].name}.output"),),
        "runtime_ref": RuntimeRef(name="triton"),
        "objectives": objectives(None, throughput=20),
        **spec,
    }
    return InferencePipeline(
        metadata=metadata(name, namespace, generation=generation),
        spec=InferencePipelineSpec(**fields),
        status=status or InferencePipelineStatus(),
    )
