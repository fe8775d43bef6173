"""What goes wrong ends in a clear condition, and what serves keeps serving."""

import json

import pytest

from hack import installation
from hack.cluster.shell import ClusterError
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.mark.parametrize(
    ("name", "spec", "kind", "status", "reason", "words"),
    [
        pytest.param(
            "no-runtime",
            {"runtimeRef": {"name": "absent"}},
            "Ready",
            "False",
            "RuntimeNotFound",
            "absent",
            id="a runtime that does not exist",
        ),
        pytest.param(
            "no-image",
            {"uri": installation.model_uri("absent")},
            "Ready",
            "False",
            "ModelSourceNotFound",
            "absent",
            id="a model image that does not exist",
        ),
        pytest.param(
            "no-claim",
            {"uri": "pvc://absent/model"},
            "Ready",
            "False",
            "ModelSourceNotFound",
            "absent",
            id="a claim that does not exist",
        ),
        pytest.param(
            "no-class",
            {"placement": {"processors": ["npu"]}},
            "Placed",
            "False",
            "NoCandidate",
            "npu",
            id="a processor class that no node has",
        ),
        pytest.param(
            "too-large",
            {"resources": {"requests": {"memory": "900Gi"}}},
            "Placed",
            "False",
            "NoCandidate",
            "memory",
            id="more memory than any node has",
        ),
        pytest.param(
            "bad-config",
            {"model": {"config": {"platform": "onnxruntime_onnx"}}},
            "Ready",
            "False",
            "InvalidConfig",
            "remove platform",
            id="a Triton configuration that says what the runtime decides",
        ),
        pytest.param(
            "bad-tensors",
            {
                "model": {
                    "config": {"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [3]}]}
                }
            },
            "ModelLoaded",
            "False",
            "ModelLoadFailed",
            "x",
            id="a configuration that Triton refuses",
        ),
    ],
)
def test_a_model_that_cannot_serve_says_why(
    ferryman, namespace, name, spec, kind, status, reason, words
):
    source = spec.pop("model", {})
    wanted = models.model(name, **spec)
    wanted["spec"]["model"].update(source)
    installation.apply(ferryman, wanted)
    found = models.wait_condition(ferryman, name, kind, status=status, reason=reason)

    assert words in found["message"]
    ferryman.kubectl("delete", "imodel", name, f"--namespace={namespace}")


def test_a_refused_change_leaves_the_old_configuration_serving(ferryman, namespace):
    installation.apply(ferryman, models.model("steady", batching=models.fixed(8)))
    before = models.wait_ready(ferryman, "steady")
    broken = models.model("steady", batching=models.fixed(8))
    broken["spec"]["model"]["config"] = {"platform": "onnxruntime_onnx"}
    installation.apply(ferryman, broken)
    models.wait_condition(ferryman, "steady", "Stalled", status="True", reason="InvalidConfig")
    pods = models.pods(ferryman, "steady")

    assert [p["status"]["containerStatuses"][0]["ready"] for p in pods] == [True]
    assert (
        models.get(ferryman, "steady")["status"]["readyReplicas"]
        == before["status"]["readyReplicas"]
    )


def test_one_name_in_two_namespaces_is_two_models(ferryman, namespace):
    other = "ferryman-e2e-other"
    installation.apply(
        ferryman, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}}
    )
    for where in (namespace, other):
        installation.apply(ferryman, models.model("twin", namespace=where))
    uids = {
        models.wait_ready(ferryman, "twin", where)["metadata"]["uid"]
        for where in (namespace, other)
    }

    assert len(uids) == 2
    ferryman.kubectl("delete", "namespace", other, timeout_s=180)
    assert models.condition(ferryman, "twin", "Ready")["status"] == "True"


def test_the_api_server_refuses_what_is_not_supported_and_says_so(ferryman, namespace):
    with pytest.raises(ClusterError, match="storageUri must begin with oci://"):
        installation.apply(ferryman, models.model("shared", uri="nfs://server/model"))


def test_a_killed_operator_comes_back_and_goes_on(ferryman, namespace):
    where = "--namespace=ferryman-system"
    selector = "-l=app.kubernetes.io/component=operator"
    ferryman.kubectl("delete", "pod", selector, where, "--grace-period=0", "--force", timeout_s=120)
    installation.apply(ferryman, models.model("after", batching=models.fixed(4)))

    models.wait_ready(ferryman, "after")


def test_no_traceback_and_no_secret_in_the_operators_log(ferryman, namespace):
    where = "--namespace=ferryman-system"
    log = ferryman.kubectl("logs", "deploy/ferryman-operator", where)

    assert "Traceback" not in log, log[-3000:]
    for line in log.splitlines():
        json.loads(line)
