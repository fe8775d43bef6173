"""A real Prometheus scrapes a real operator: rules evaluate, and every panel has data."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hack.monitoring import prometheus
from hack.monitoring.alerts import ALERTS
from hack.monitoring.dashboards import DASHBOARDS
from tests.integration.operators import wait_for
from tests.integration.ports import PortLease

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

CHANGED_AT = "2026-01-01T00:00:10Z"
CHANGED_AT_MS = 1_767_225_610_000
MODEL_STATUS = {
    "observed": {
        "latencyMilliseconds": 60,
        "meanLatencyMilliseconds": 40,
        "inferencesPerSecond": 25,
        "meanBatchSize": 4,
        "failedRequests": 1,
        "rejectedRequests": 2,
    },
    "batching": {
        "changes": [
            {
                "time": CHANGED_AT,
                "before": {"maxBatchSize": 4},
                "after": {"maxBatchSize": 8},
                "actuator": "LiveCap",
                "reason": "Saturated",
                "message": "batches are full",
                "outcome": "Applied",
            }
        ]
    },
}
PIPELINE_STATUS = {
    "observed": {"latencyMilliseconds": 50, "requestsPerSecond": 20},
    "limitingStep": "detect",
    "steps": [
        {
            "name": "detect",
            "serviceTimeMilliseconds": 30,
            "meanBatchSize": 3,
            "queueMilliseconds": 5,
            "busy": 0.5,
        }
    ],
}
PIPELINE = {
    "apiVersion": "serving.ferryman.dev/v1alpha1",
    "kind": "InferencePipeline",
    "metadata": {"name": "chain", "namespace": "default"},
    "spec": {
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1]}],
        "steps": [
            {
                "name": "detect",
                "model": {
                    "storageUri": "pvc://steps/detect",
                    "modelFormat": {"name": "onnx"},
                    "config": {
                        "maxBatchSize": 8,
                        "input": [{"name": "input", "dataType": "TYPE_FP32", "dims": [1]}],
                        "output": [{"name": "output", "dataType": "TYPE_FP32", "dims": [1]}],
                    },
                },
                "inputMap": {"input": "image"},
            }
        ],
        "outputs": [{"name": "text", "from": "detect.output"}],
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"targetMilliseconds": 40}},
    },
}


class Triton(BaseHTTPRequestHandler):
    """The page of a server that executes half of the time."""

    def do_GET(self):
        """Answer a scrape."""
        busy_us = int(time.monotonic() * 500_000)
        line = f'nv_inference_compute_infer_duration_us{{model="watched",version="1"}} {busy_us}\n'
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(line.encode())

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(scope="module")
def triton():
    """Yield the address of a page of Triton's metrics."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Triton)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def fed(cluster, new_operator):
    """Yield an operator for a model and a pipeline whose last window stands in their status."""
    objectives = {"latency": {"targetMilliseconds": 50}, "throughput": {"minPerSecond": 10}}
    cluster.model("watched", objectives=objectives)
    cluster.apply(PIPELINE)
    cluster.patch_status("inferencemodel", "watched", MODEL_STATUS)
    cluster.patch_status("inferencepipeline", "chain", PIPELINE_STATUS)
    silent = {"status": {"heartbeatTime": "2026-01-01T00:00:00Z"}}
    cluster.profile("node-3", "cpu-silent", images_per_second=0)
    cluster.patch_status("nodeprofile", "node-3", silent["status"], namespace=None)
    operator = new_operator().start()
    wait_for(
        "the operator shows what it was fed",
        lambda: all(
            f'ferryman_{kind}_latency_seconds{{{label}="{name}"' in operator.get("/metrics")[1]
            for kind, label, name in (
                ("model", "model", "watched"),
                ("pipeline", "namespace", "default"),
            )
        ),
        timeout_s=60,
    )
    return operator


@pytest.fixture(scope="module")
def server(fed, triton, tmp_path_factory):
    """Yield a Prometheus that has scraped the operator and Triton for some seconds."""
    lease = PortLease()
    pod = {"namespace": "default", "pod": "watched-triton-0"}
    targets = {
        "ferryman": {
            "honor_labels": True,
            "static_configs": [{"targets": [f"127.0.0.1:{fed.port}"]}],
        },
        "ferryman-serving": {"static_configs": [{"targets": [triton], "labels": pod}]},
    }
    folder = tmp_path_factory.mktemp("prometheus")
    with prometheus.running(folder, lease.ports[0], targets) as server:
        wait_for(
            "both are scraped often enough for rates",
            lambda: len(server.series("count_over_time(up[1m]) >= 4")) == 2,
            timeout_s=60,
        )
        yield server
    lease.release()


def asked_of(expression, name):
    """Return an expression as a dashboard asks it of an object."""
    return expression.replace("$namespace", "default").replace("$name", name)


QUERIES = [
    pytest.param(query.expression, id=f"{dashboard.title}: {panel.title} ({query.legend})")
    for dashboard in DASHBOARDS.values()
    for panel in dashboard.panels
    for query in panel.queries
]


def test_the_operator_and_triton_are_scraped(server):
    assert [each["value"][1] for each in server.series("up")] == ["1", "1"]


@pytest.mark.parametrize("expression", QUERIES)
def test_a_panels_query_returns_data(server, expression):
    found = [server.series(asked_of(expression, name)) for name in ("watched", "chain")]

    assert any(found)


def test_a_change_is_marked_at_its_moment(server):
    [expression] = DASHBOARDS["one"].annotations.values()
    [mark] = server.series(asked_of(expression, "watched"))

    assert float(mark["value"][1]) == CHANGED_AT_MS
    assert (mark["metric"]["reason"], mark["metric"]["outcome"]) == ("Saturated", "Applied")


def test_models_and_pipelines_can_be_chosen(server):
    query = DASHBOARDS["one"].variables["name"]
    inner = query.removeprefix("query_result(").removesuffix(")")
    found = {each["metric"]["name"] for each in server.series(asked_of(inner, ""))}

    assert found == {"watched", "chain"}


def test_every_rule_evaluates(server):
    def rules():
        [group] = server.get("rules")["groups"]
        return group["rules"] if all(r["health"] != "unknown" for r in group["rules"]) else None

    found = wait_for("all rules were evaluated", rules)

    assert {rule["name"] for rule in found} == {alert.name for alert in ALERTS}
    assert {
        rule["name"]: rule.get("lastError", "") for rule in found if rule["health"] != "ok"
    } == {}


def pending(server):
    """Return the alerts that would fire if it stayed so, with the object each is about."""
    return {
        (alert["labels"]["alertname"], alert["labels"].get("model") or alert["labels"].get("node"))
        for alert in server.get("alerts")["alerts"]
    }


def test_an_alert_names_what_it_is_about(server):
    wanted = {("FerrymanRequestsRejected", "watched"), ("FerrymanAgentSilent", "node-3")}
    wait_for("the planted faults are seen", lambda: wanted <= pending(server))

    assert "FerrymanOperatorDown" not in {name for name, _ in pending(server)}
    assert ("FerrymanAgentSilent", "node-1") not in pending(server)
