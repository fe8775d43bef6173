"""Triton's metrics page and its statistics as values."""

import time

import pytest
from aiohttp import web
from google.protobuf import text_format
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

from ferryman.clients.triton_metrics import PENDING, MetricsPage, ModelMetrics, parse
from ferryman.clients.triton_statistics import to_statistics

PAGE = """\
# HELP nv_inference_pending_request_count Instantaneous number of pending requests
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="m",version="1"} 3
nv_inference_pending_request_count{model="m",version="2"} 4
nv_inference_pending_request_count{model="other",version="1"} 90
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{model="m",version="1"} 8
nv_inference_request_summary_us_sum{model="m",version="1"} 800
nv_inference_request_summary_us{model="m",version="1",quantile="0.5"} 100
nv_inference_request_summary_us{model="m",version="1",quantile="0.9"} 150.5
nv_inference_request_summary_us{model="m",version="1",quantile="0.95"} Nan
nv_inference_request_summary_us{model="m",version="1",quantile="0.99"} 300
nv_inference_request_summary_us{model="m",version="1",quantile="0.999"} 900
nv_inference_request_summary_us{model="m",version="2",quantile="0.99"} 200
nv_inference_request_summary_us{model="other",version="1",quantile="0.5"} 7
nv_inference_request_failure{model="m",version="1",reason="OTHER"} 1
nv_inference_request_failure{model="m",version="1",reason="BACKEND"} 2
nv_inference_request_failure{model="m",version="1",reason="CANCELED"} 4
nv_inference_request_failure{model="m",version="1",reason="REJECTED"} 8
nv_inference_request_failure{model="m",version="2",reason="REJECTED"} 16
nv_inference_request_failure{model="other",version="1"} 32
nv_gpu_power_usage{gpu_uuid="x y"} broken line that is none of ours
"""


def test_quantiles_and_queue_of_one_model_are_read_and_nan_is_left_out():
    quantiles = {50: 100.0, 90: 150.5, 99: 300.0}
    expected = ModelMetrics(quantiles, pending=7, rejected=24, failed=3, cancelled=4, summarised=8)
    assert parse(PAGE, "m") == expected, "a request that its client cancelled did not fail"


def test_another_model_is_not_mixed_in_nor_are_failures_without_a_reason():
    assert parse(PAGE, "other") == ModelMetrics({50: 7.0}, pending=90)


def test_a_page_without_the_model_says_nothing():
    assert parse(PAGE, "absent") == ModelMetrics({}, pending=None)


async def test_a_page_that_cannot_be_read_says_nothing(unused_tcp_port):
    page = MetricsPage(f"http://127.0.0.1:{unused_tcp_port}/metrics", deadline_s=1.0)
    try:
        assert await page.read("m") == ModelMetrics()
    finally:
        await page.close()


def test_counters_of_all_versions_are_added_up():
    version = """
    model_stats {
      name: "m" inference_count: 10 execution_count: 4
      inference_stats {
        success { count: 9 ns: 900 } fail { count: 1 ns: 50 } queue { count: 9 ns: 300 }
        cache_hit { count: 2 ns: 7 }
      }
      batch_stats {
        batch_size: 2 compute_input { count: 3 ns: 1 } compute_infer { count: 3 ns: 20 }
        compute_output { count: 3 ns: 300 }
      }
    """
    single = "batch_stats { batch_size: 1 compute_infer { count: 1 ns: 5 } }"
    text = f"{version} {single} }} {version} }}"
    answer = text_format.Parse(text, ModelStatisticsResponse())
    found = to_statistics(answer.model_stats, ModelMetrics({99: 5.0}, pending=2), 12.5)
    assert (found.now_s, found.inference_count, found.execution_count) == (12.5, 20, 8)
    assert (found.success_count, found.success_ns, found.failure_count) == (18, 1800, 2)
    assert (found.queue_ns, found.cached_count, found.cached_ns) == (600, 4, 14)
    assert found.batches == {1: (1, 5), 2: (6, 642)}
    assert (found.latency_quantiles_us, found.pending) == ({99: 5.0}, 2)


FAILED = "model_stats { inference_stats { fail { count: 9 } } }"


@pytest.mark.parametrize(
    ("metrics", "failed", "rejected"),
    [
        pytest.param(ModelMetrics(rejected=6, failed=3), 3, 6, id="told apart by the metrics"),
        pytest.param(ModelMetrics(), 9, None, id="not told apart without metrics"),
        pytest.param(
            ModelMetrics(rejected=600, failed=0), 0, 600, id="metrics outlast a reload: no failure"
        ),
        pytest.param(ModelMetrics(rejected=6), 0, 6, id="rejections alone"),
    ],
)
def test_failures_and_rejections(metrics, failed, rejected):
    answer = text_format.Parse(FAILED, ModelStatisticsResponse())
    found = to_statistics(answer.model_stats, metrics, 0.0)
    assert (found.failure_count, found.rejected_count) == (failed, rejected)


LABELS = ",".join(f'l{i}="v"' for i in range(200_000))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(f'{PENDING}{{{LABELS},model="m"}} 1\n', id="a line of 200,000 labels"),
        pytest.param(f'{PENDING}{{model="m"}} 1\n' * 100_000, id="100,000 lines"),
    ],
)
def test_a_page_that_takes_too_long_to_parse_is_refused_at_once(page):
    begun_s = time.process_time()
    with pytest.raises(ValueError, match="more than"):
        parse(page, "m")
    assert time.process_time() - begun_s < 1.0


def test_lines_of_other_models_cost_nothing():
    page = f'{PENDING}{{model="other"}} 1\n' * 80_000 + PAGE
    begun_s = time.process_time()
    assert parse(page, "m").pending == 7
    assert time.process_time() - begun_s < 1.0


async def test_a_redirect_is_not_followed():
    """A pod must not make the operator ask for what the pod cannot reach itself."""
    asked = []

    async def elsewhere(_):
        asked.append("elsewhere")
        return web.Response(text=PAGE)

    async def redirect(_):
        raise web.HTTPFound("/elsewhere")

    app = web.Application()
    app.add_routes([web.get("/metrics", redirect), web.get("/elsewhere", elsewhere)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page = MetricsPage(f"http://127.0.0.1:{runner.addresses[0][1]}/metrics", deadline_s=1.0)
    try:
        assert await page.read("m") == ModelMetrics()
    finally:
        await page.close()
        await runner.cleanup()
    assert not asked
