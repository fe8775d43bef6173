"""``ferryman explain`` against a real API server, as a person runs it."""

import json
from datetime import UTC, datetime

import pytest

from ferryman.api import names
from ferryman.cli import main
from ferryman.core import timestamps
from tests.factories import benchmark, model, profile, runtime
from tests.integration.controlplane import ControlPlane

pytestmark = pytest.mark.integration

UNTAINTED = '{"spec": {"taints": null}}'
#: A heartbeat of the future would be none.
STARTED = timestamps.text(datetime.now(UTC))


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as running:
        running.kubectl("apply", "--server-side", "-f", "crds/")
        running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", "crds/")
        for document in documents():
            create(running, document)
        # The API server taints new nodes until they are ready.
        running.kubectl("patch", "node", "fast-1", "-p", UNTAINTED)
        running.kubectl("patch", "node", "slow-1", "-p", UNTAINTED)
        yield running


@pytest.fixture(autouse=True)
def kubeconfig(plane, monkeypatch):
    plane.make_default(monkeypatch)


def create(plane, document):
    """Create an object, and write its status if it has one."""
    text = json.dumps(document)
    plane.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    if "status" in document:
        plane.kubectl("apply", "--server-side", "--subresource=status", "-f", "-", stdin=text)


def custom(kind, value):
    content = value.as_dict()
    kept = ("name", "namespace", "annotations")
    metadata = {key: content["metadata"][key] for key in kept if key in content["metadata"]}
    return {**content, "apiVersion": names.API_VERSION, "kind": kind, "metadata": metadata}


def documents():
    """Two unlike nodes with profiles, of which one carries a pod of another model."""
    served = custom("InferenceRuntime", runtime())
    asked = custom("InferenceModel", model())
    del asked["status"]
    yield from (served, asked)
    for name, kind, rate in (("fast-1", "fast", 400.0), ("slow-1", "slow", 100.0)):
        yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": NODE}
        tables = [benchmark(rate, node_type=kind)]
        measured = profile(name, kind, benchmarks=tables)
        measured = measured.with_(status=measured.status.with_(heartbeat_time=STARTED))
        yield custom("NodeProfile", measured)
    yield {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "other-triton-1",
            "namespace": "default",
            "labels": {names.LABEL_MODEL: "other", names.LABEL_MANAGED_BY: names.MANAGED_BY},
        },
        "spec": {
            "nodeName": "fast-1",
            "automountServiceAccountToken": False,
            "containers": [
                {"name": "triton", "image": "x", "resources": {"requests": {"cpu": "3800m"}}}
            ],
        },
    }


NODE = {
    "allocatable": {"cpu": "4", "memory": "8Gi"},
    "conditions": [{"type": "Ready", "status": "True"}],
}


def explain(capsys, *arguments):
    status = main.main(["explain", *arguments])
    return status, capsys.readouterr()


def test_the_cluster_is_read_and_decided_as_the_operator_would(capsys, tmp_path):
    saved = tmp_path / "snapshot.yaml"
    status, shown = explain(capsys, "resnet50", "-o", "json", "--save-snapshot", str(saved))
    assert (status, shown.err) == (0, "")
    online = json.loads(shown.out)
    assert online["placement"]["nodeType"] == "slow"
    refused = next(c for c in online["candidates"] if c["nodeType"] == "fast")
    assert refused["reason"] == "InsufficientResources"
    assert refused["message"] == "fast-1 has 200m cpu free, 500m needed"
    # The same decision once more, from the file alone.
    status, shown = explain(capsys, "--snapshot", str(saved), "-o", "json")
    offline = json.loads(shown.out)
    assert (status, shown.err) == (0, "")
    assert offline["candidates"] == online["candidates"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(
            ["nothing", "-n", "default"],
            'inferencemodels.serving.ferryman.dev "nothing" not found',
            id="no such model",
        ),
        pytest.param(["resnet50", "-n", "elsewhere"], "not found", id="another namespace"),
        pytest.param(["resnet50", "--context", "none"], "no cluster: ", id="no such context"),
    ],
)
def test_what_cannot_be_read_is_said(capsys, arguments, words):
    status, shown = explain(capsys, *arguments)
    assert (status, shown.out) == (1, "")
    assert words in shown.err


def test_a_server_that_is_gone_is_said(capsys, plane, tmp_path, monkeypatch):
    content = json.loads(plane.kubeconfig.read_text(encoding="utf-8"))
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    (tmp_path / "config").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config")
    )
    status, shown = explain(capsys, "resnet50")
    assert status == 1
    assert "the API server does not answer" in shown.err


def test_a_stranger_is_told_so(capsys, plane, monkeypatch):
    stranger = plane.kubeconfig_for("nobody's", "nobody")
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(stranger))
    status, shown = explain(capsys, "resnet50", "-n", "default")
    assert status == 1
    assert shown.err == "ferryman explain: Unauthorized\n"
