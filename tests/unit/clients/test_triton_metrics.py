"""Triton's metrics page and its statistics as values."""

import gzip
import threading
from contextlib import asynccontextmanager, suppress

import pytest
from aiohttp import web
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from tritonclient.grpc.service_pb2 import ModelStatisticsResponse

from ferryman.clients import triton_metrics
from ferryman.clients.triton_metrics import (
    FAILURE,
    MAX_PAGE,
    PENDING,
    SUCCESS,
    SUMMARY,
    MetricsPage,
    ModelMetrics,
    parse,
)
from ferryman.clients.triton_statistics import to_statistics
from tests.cpu_time import cpu_s

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
    metrics = ModelMetrics({99: 5.0}, pending=2, succeeded=40)
    found = to_statistics(answer.model_stats, metrics, 12.5)
    assert (found.now_s, found.inference_count, found.execution_count) == (12.5, 20, 8)
    assert (found.success_count, found.success_ns, found.failure_count) == (18, 1800, 2)
    assert (found.queue_ns, found.cached_count, found.cached_ns) == (600, 4, 14)
    assert found.batches == {1: (1, 5), 2: (6, 642)}
    assert (found.latency_quantiles_us, found.pending) == ({99: 5.0}, 2)
    assert found.answered_by_all == 40, "the metrics tell of copies that were replaced, too"


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


def filled(head, unit, tail="", size=MAX_PAGE):
    """Return a page of this size that repeats something."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def hostile_pages(size):
    """Yield pages that are expensive for one kind of parser or another."""
    yield "a line of labels", filled(f'{PENDING}{{model="m"', ',a="b"', "} 1\n", size)
    yield "labels without an end", filled(f'{PENDING}{{model="m"', ',a="b"', "", size)
    yield "a long name", filled(PENDING, "a", '{model="m"} 1\n', size)
    yield "a long label", filled(f'{PENDING}{{model="m",', "a", '="b"} 1\n', size)
    yield "a long comment", filled("# HELP ", "x", "\n", size)
    yield "many comments", filled("", "# TYPE a gauge\n", "", size)
    yield "escapes", filled(f'{PENDING}{{model="m",a="', "\\\\", '"} 1\n', size)
    yield "escaped quotes", filled(f'{PENDING}{{model="m",a="', '\\"', "", size)
    yield "braces", filled(f'{PENDING}{{model="m"', "}", "", size)
    yield "spaces", filled(f'{PENDING}{{model="m"}}', " ", "", size)
    yield "digits", filled(f'{PENDING}{{model="m"}} ', "1", "", size)
    yield "no newline", filled("", "x", "", size)
    yield "newlines alone", filled("", "\n", "", size)
    yield "lines of ours", filled("", f'{PENDING}{{model="m"}} 1\n', "", size)
    yield "lines of others", filled("", f'{PENDING}{{model="other"}} 1\n', "", size)
    short = f'{PENDING}{{model="m",a="' + "\\\\" * 440 + '"} 1\n'
    yield "as many and as long lines as may be", filled("", short, "", size)


@pytest.mark.parametrize("size", [MAX_PAGE, 4 * 2**20], ids=["256 KiB", "4 MiB"])
@pytest.mark.parametrize("name", [name for name, _ in hostile_pages(0)])
def test_no_page_takes_long(name, size):
    page = dict(hostile_pages(size))[name]
    assert len(page) > size - 2000
    assert cpu_s(lambda: parsed(page)) < 0.1


def parsed(page):
    """Read a page, whatever comes of it."""
    with suppress(ValueError):
        parse(page, "m")


_texts = st.text(alphabet='abc"\\\n{},= \u00e9', max_size=8)


def _escaped(text):
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@given(
    labels=st.dictionaries(st.sampled_from(["version", "reason", "quantile"]), _texts),
    value=st.floats(0, 1e9) | st.integers(0, 10**9),
    name=st.sampled_from([PENDING, SUMMARY, FAILURE, SUCCESS]),
)
def test_a_sample_is_read_as_prometheus_reads_it(labels, value, name):
    written = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    line = f'{name}{{model="m",{written}}} {value}\n'
    [family] = text_string_to_metric_families(line)
    [expected] = family.samples
    [found] = triton_metrics._samples(line, 'model="m"')
    assert (found.name, found.labels, found.value) == (
        expected.name,
        expected.labels,
        expected.value,
    )


@pytest.mark.parametrize("value", ["Inf", "-Inf", "NaN", "1e400", "x", ""])
def test_what_is_no_count_is_refused(value):
    with pytest.raises(ValueError, match=r"count|float|format"):
        parse(f'{PENDING}{{model="m"}} {value}\n', "m")


@asynccontextmanager
async def served(handler):
    """Yield the address of a page, and the page."""
    app = web.Application()
    app.add_routes([web.get("/metrics", handler)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    page = MetricsPage(f"http://127.0.0.1:{runner.addresses[0][1]}/metrics", deadline_s=5.0)
    try:
        yield page
    finally:
        await page.close()
        await runner.cleanup()


async def test_a_long_page_does_not_hold_up_the_event_loop(monkeypatch):
    threads = []

    def noted(page, model):
        threads.append(threading.current_thread())
        return parse(page, model)

    async def long(_):
        return web.Response(text="# x\n" * 20_000 + PAGE)

    monkeypatch.setattr(triton_metrics, "parse", noted)
    async with served(long) as page:
        assert (await page.read("m")).pending == 7
    assert threads != [threading.main_thread()]


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param(gzip.compress(b"x" * 50_000_000), id="a page of 50 MB in 50 KB"),
        pytest.param(PAGE.encode() + b"\n" * MAX_PAGE, id="a page that is too long"),
    ],
)
async def test_a_page_that_is_too_large_says_nothing(encoded):
    async def large(_):
        return web.Response(body=encoded, headers={"Content-Encoding": "gzip"})

    async with served(large) as page:
        assert await page.read("m") == ModelMetrics()


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
