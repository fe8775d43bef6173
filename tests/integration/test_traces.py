"""A real operator sends traces of what it does on a real API server, or goes on without."""

import socket

import pytest

from tests.collector import Collector, words
from tests.integration.operators import wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def traced(operator, port):
    operator.environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    return operator


def test_a_model_that_is_applied_is_a_trace_with_all_its_writes(cluster, fresh, new_operator):
    with Collector() as collector:
        operator = traced(new_operator(), collector.port).start()
        cluster.model("traced")
        wait_for("its objects are applied", lambda: applied(collector) >= {"Deployment", "Service"})
        operator.terminate()

    roots = {
        span.trace_id: words(span.attributes)
        for span in collector.spans()
        if not span.parent_span_id
    }
    names = {span.name for span in collector.spans()}
    assert {
        "service.name": "ferryman-operator",
        "service.instance.id": "operator",
        "k8s.namespace.name": "ferryman-system",
    }.items() <= collector.resource().items()
    assert {"reconcile InferenceModel", "decide", "write status", "apply object"} <= names
    for span in collector.spans("apply object"):
        assert roots[span.trace_id]["k8s.object.name"] == "traced"


def applied(collector):
    return {
        words(span.attributes)["ferryman.applied.kind"] for span in collector.spans("apply object")
    }


def test_a_collector_that_hangs_holds_nothing_up(cluster, fresh, new_operator):
    with socket.create_server(("127.0.0.1", 0), backlog=64) as hangs:
        operator = traced(new_operator(), hangs.getsockname()[1]).start()
        cluster.model("untraced")
        wait_for("it is served", lambda: cluster.get("deployment", "untraced-triton", "default"))
        status, _ = operator.terminate()

    assert status == 0
    assert "the last spans were not sent in time" in {
        line.get("message") for line in operator.lines()
    }
