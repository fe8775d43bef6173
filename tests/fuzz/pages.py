"""Texts and messages of servers and Jobs: metrics, statistics, configurations, results."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2

from ferryman.clients import config_fragment, model_config, pbtxt, triton_metrics
from ferryman.clients.triton_statistics import to_statistics
from ferryman.core.benchmark import result
from ferryman.core.benchmark.schedule import Measurement
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import WindowState, observe
from tests import factories

RESULT_WORDS = (
    *("points", "batchSize", "imagesPerSecond", "latencyP50Milliseconds", "error", "note"),
    *("latencyP99Milliseconds", "maxInstances", "imagesPerSecondHalfWidth"),
)
_MEASURED = Measurement("cpu-small", "cpu", "triton", "image", "node-1")
_BATCHING = factories.Batching(max_batch_size=8)
_OBJECTIVES = factories.objectives(50, throughput=10)
_SECONDS = 40


def benchmark_result(data: bytes) -> None:
    """Make of a Job's termination message a table, or a record of why it is none."""
    text = data.decode(errors="replace")
    try:
        table = result.succeeded(_MEASURED, text, factories.NOW)
    except ValueError as error:
        table = result.failed(_MEASURED, str(error), factories.NOW)
        assert table.error
    assert type(table).model_validate(table.as_dict()) == table


def result_seeds() -> tuple[bytes, ...]:
    """Return results as benchmarks write them."""
    latency = b'"latencyP50Milliseconds": 1.5, "latencyP99Milliseconds": 2'
    row = b'{"batchSize": %d, "imagesPerSecond": %d.5, ' + latency + b"}"
    rows = b", ".join(row % (2**i, 100 * i + 50) for i in range(5))
    whole = b'{"points": [%b], "maxInstances": 2, "note": "a note"}' % rows
    return whole, b'{"points": [%b]}' % (row % (1, 40)), b'{"error": "no model"}', b"{}", b""


def metrics(data: bytes) -> None:
    """Read of a page what it tells of a model, or refuse it."""
    page = data.decode(errors="replace")
    try:
        found = triton_metrics.parse(page, "m")
        triton_metrics.models(page)
    except ValueError:
        return
    found.believed(1)
    assert found.counted is not None
    assert set(found.latency_quantiles_us) <= {50, 90, 95, 99}


def metrics_seeds() -> tuple[bytes, ...]:
    """Return pages as Triton writes them."""
    label = 'model="m",version="1"'
    page = "\n".join(
        [
            "# HELP nv_inference_request_success Number of successful inference requests",
            "# TYPE nv_inference_request_success counter",
            f"nv_inference_request_success{{{label}}} 25",
            *(
                f'nv_inference_request_failure{{{label},reason="{reason}"}} 3'
                for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER")
            ),
            f"nv_inference_pending_request_count{{{label}}} 2",
            *(
                f'nv_inference_request_summary_us{{{label},quantile="{quantile}"}} 5016'
                for quantile in ("0.5", "0.9", "0.95", "0.99")
            ),
            f"nv_inference_request_summary_us_sum{{{label}}} 5016",
            f"nv_inference_request_summary_us_count{{{label}}} 25",
        ]
    )
    odd = 'nv_inference_request_success{ model = "m\\n\\"\\\\" , b="x,}" ,} NaN 17\r\n'
    return page.encode(), odd.encode(), b'nv_inference_pending_request_count{model="m"} +Inf'


def pbtxt_text(data: bytes) -> None:
    """Refuse a configuration with words, or write again all that is read from it."""
    text = data.decode(errors="replace")
    try:
        config = pbtxt.from_text(text)
    except pbtxt.ConfigInvalid:
        return
    found = model_config.batching_of(config)
    assert (found is None) == bool(model_config.not_batchable(config))
    model_config.instances_known(config)
    model_config.variable_inputs(config)
    model_config.shape_tensors(config)
    model_config.largest_batch_size(config)
    changed = model_config.with_batching(config, _BATCHING)
    assert pbtxt.from_text(pbtxt.to_text(changed)).ByteSize() == changed.ByteSize()
    config_fragment.fragment(text, _BATCHING)
    assert not config_fragment.mismatch(text, text)
    config_fragment.stated(text, text)
    pbtxt.to_json(config)


def pbtxt_seeds() -> tuple[bytes, ...]:
    """Return configurations."""
    whole = """name: "m" backend: "onnxruntime" max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] allow_ragged_batch: true }]
output { name: "y" data_type: TYPE_FP32 dims: 2 label_filename: "l.txt" }
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100
  default_queue_policy { timeout_action: REJECT default_timeout_microseconds: 5 } }
instance_group [{ count: 2 kind: KIND_GPU gpus: [ 0, 1 ] name: "m_0" }]
parameters { key: "FERRYMAN_MAX_BATCH_SIZE_FILE" value { string_value: "/ferryman/x" } }
model_warmup [{ name: "w" batch_size: 4
  inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 zero_data: true } } }]
optimization { execution_accelerators { gpu_execution_accelerator [{ name: "tensorrt" }] } }
"""
    return (
        whole.encode(),
        b"sequence_batching { direct { } max_sequence_idle_microseconds: 1 }",
        b'ensemble_scheduling { step [{ model_name: "a" input_map { key: "a" value: "b" } }] }',
        b"model_transaction_policy { decoupled: true } max_batch_size: 1",
        b"# a comment\nname: 'x\\x41\\n' \"y\"; max_batch_size: 0x10",
    )


def statistics(data: bytes) -> None:
    """End windows and judge them, whatever servers count, in whatever order."""
    texts = data.split(b"\x00|\x00")
    try:
        read = [service_pb2.ModelStatisticsResponse.FromString(text) for text in texts]
    except DecodeError:
        return
    metrics_of = triton_metrics.ModelMetrics()
    state, settings = WindowState(), factories.window_settings(10, 20, 1)
    for second in range(_SECONDS):
        found = to_statistics(read[second % len(read)].model_stats, metrics_of, float(second))
        state, window = observe(
            state, {"pod": found}, settings, percentile=99, now_s=float(second), changed_at_s=None
        )
        if window is not None:
            assert judge(_OBJECTIVES, window, queue_delay_ms=0.1).message


def statistics_seeds() -> tuple[bytes, ...]:
    """Return counters that grow, that stand and that fall."""
    readings = [_counters(number) for number in (0, 10, 25, 60, 5)]
    whole = b"\x00|\x00".join(reading.SerializeToString() for reading in readings)
    return whole, readings[2].SerializeToString(), b""


def _counters(requests: int) -> service_pb2.ModelStatisticsResponse:
    answer = service_pb2.ModelStatisticsResponse()
    version = answer.model_stats.add(name="m", version="1", inference_count=requests)
    version.execution_count = requests
    total = version.inference_stats
    total.success.count, total.success.ns = requests, 5_000_000 * requests
    total.queue.count, total.queue.ns = requests, 1_000_000 * requests
    total.fail.count = requests // 7
    batch = version.batch_stats.add(batch_size=1)
    batch.compute_infer.count, batch.compute_infer.ns = requests, 3_000_000 * requests
    return answer
