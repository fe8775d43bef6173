"""Spans over OTLP/HTTP to a real server, and to collectors that refuse, hang or are gone."""

import logging
import socket
import threading
import time
from collections import Counter

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from ferryman import __version__
from ferryman.clients import tracing
from ferryman.clients.tracing import export
from tests.collector import Collector, words
from tests.fakes import run_virtually
from tests.unit.handlers.cluster import Cluster
from tests.unit.handlers.scenes import serving

#: A machine that is busy may need as long; nothing here waits for it otherwise.
LONG_S = 60
ABOUT = {"service.instance.id": "operator-1"}


@pytest.fixture
def collector(monkeypatch):
    """Yield a collector to which the environment sends spans."""
    with Collector() as server:
        named(monkeypatch, server.port)
        yield server


@pytest.fixture
def counted():
    return Counter()


@pytest.fixture
def count(counted):
    def add(outcome, spans):
        counted[outcome] += spans

    return add


def named(monkeypatch, port):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def until(condition):
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def record(spans=1):
    for number in range(spans):
        with tracing.span("work", {"number": number}):
            pass


def test_reconciles_reach_a_collector(collector, count, counted, monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=ferryman-0")

    async def main():
        cluster = Cluster()
        await cluster.begin()
        await serving(cluster)
        await cluster.end()

    with export.to_collector(ABOUT, count):
        run_virtually(main())

    spans = collector.spans()
    [scope] = {s.scope.name for r in collector.requests for s in r.resource_spans[0].scope_spans}
    roots = [span for span in spans if not span.parent_span_id]
    assert set(collector.paths) == {"/v1/traces"}
    assert scope == "ferryman"
    assert {
        "service.name": "ferryman-operator",
        "service.version": __version__,
        "service.instance.id": "operator-1",
        "k8s.pod.name": "ferryman-0",
    }.items() <= collector.resource().items()
    assert {span.name for span in roots} == {"reconcile InferenceModel"}
    assert words(roots[0].attributes)["k8s.object.name"] == "resnet50"
    assert {span.trace_id for span in spans} == {span.trace_id for span in roots}
    assert counted == {"Sent": len(spans)}


def test_an_error_reaches_it_with_its_message(collector, count):
    with (
        export.to_collector(ABOUT, count),
        pytest.raises(ValueError, match="words"),
        tracing.span("work"),
    ):
        raise ValueError("words")

    [span] = collector.spans()
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, "words")
    assert words(span.attributes) == {"error.type": "ValueError"}


def test_the_standard_variables_name_and_sample(collector, count, counted, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "ours")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")

    with export.to_collector(ABOUT, count):
        record(200)

    assert collector.resource()["service.name"] == "ours"
    assert 0 < counted["Sent"] < 200
    assert counted["Lost"] == 0


def test_what_a_collector_refuses_is_counted_and_said_once(collector, count, counted, caplog):
    caplog.set_level(logging.INFO)
    collector.answer = 400
    with export.to_collector(ABOUT, count):
        record()
        until(lambda: counted["Lost"] == 1)
        record()
        until(lambda: counted["Lost"] == 2)
        collector.answer = 200
        record()
        until(lambda: counted["Sent"] == 1)

    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("INFO", "spans are sent"),
        ("WARNING", "the collector does not take spans: they are lost"),
        ("INFO", "the collector takes spans again"),
    ]
    assert "400" in caplog.records[1].why
    assert "secret" not in caplog.text + "".join(str(vars(each)) for each in caplog.records)


@pytest.fixture
def hanging(monkeypatch):
    """Have the environment name a server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        named(monkeypatch, server.getsockname()[1])
        yield


@pytest.fixture
def gone(monkeypatch):
    """Have the environment name a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    named(monkeypatch, port)


@pytest.mark.parametrize("collector_that", ["hanging", "gone"])
def test_neither_work_nor_the_end_waits_for_a_collector(
    request, collector_that, count, counted, monkeypatch
):
    request.getfixturevalue(collector_that)
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "600")
    waited_s = []
    join = threading.Thread.join
    monkeypatch.setattr(
        threading.Thread,
        "join",
        lambda thread, timeout=None: (waited_s.append(timeout), join(thread, 0.01))[1],
    )

    with export.to_collector(ABOUT, count):
        record(1000)
        assert counted["Lost"] >= 400, "what finds no room is lost at once"

    assert counted["Sent"] == 0
    assert export.END_WITHIN_S in waited_s


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "5"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[nowhere"),
    ],
)
def test_settings_that_are_wrong_leave_tracing_off(
    collector, count, monkeypatch, caplog, name, value
):
    monkeypatch.setenv(name, value)

    with export.to_collector(ABOUT, count), tracing.span("work") as span:
        assert not span.is_recording()

    assert [record.getMessage() for record in caplog.records] == [
        "tracing is off: OTEL_… is set wrongly"
    ]


def test_no_collector_is_named_by_default(monkeypatch):
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)

    assert tracing.collector() == ""


def test_a_collector_for_traces_alone_comes_first(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces")

    assert tracing.collector() == "http://traces"
