"""A chain of three steps of which one is slow: it gets workers live, and no request fails."""

import numpy as np
import pytest

from ferryman.api.names import API_VERSION
from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import models, pipelines

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "chain"
SLEEPS_MS = {"prepare": 5, "detect": 60, "read": 5}
READS = {"prepare": "image", "detect": "prepare.output", "read": "detect.output"}
#: One worker of the slow step answers 16 requests a second.
RATE_PER_S = 24.0


def step(name):
    return {
        "name": name,
        "model": pipelines.sleeping(SLEEPS_MS[name]),
        "inputMap": {"input": READS[name]},
    }


def pipeline():
    return {
        "apiVersion": API_VERSION,
        "kind": "InferencePipeline",
        "metadata": {"name": NAME, "namespace": models.NAMESPACE},
        "spec": {
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1]}],
            "steps": [step(name) for name in SLEEPS_MS],
            "outputs": [{"name": "text", "from": "read.output"}],
            "runtimeRef": {"name": "triton-cpu"},
            "objectives": {"throughput": {"minPerSecond": 20}},
            "balancing": {
                "limits": {"maxBatchSize": {"min": 1, "max": 1}, "instances": {"max": 4}},
                "window": {"minSeconds": 3, "maxSeconds": 5, "maxRequests": 100_000},
            },
        },
    }


@pytest.fixture(scope="module")
def served(ferryman, namespace):
    installation.apply(ferryman, pipeline())
    pipelines.wait_ready(ferryman, NAME)
    return pipelines.get(ferryman, NAME)


def pods(cluster):
    listed = installation.get(cluster, "pods", namespace=models.NAMESPACE)["items"]
    label = "serving.ferryman.dev/pipeline"
    return [pod for pod in listed if pod["metadata"]["labels"].get(label) == NAME]


def test_one_pod_serves_all_steps(ferryman, served):
    [pod] = pods(ferryman)
    volumes = {each["name"] for each in pod["spec"]["volumes"]}
    assert volumes >= {"model-prepare", "model-detect", "model-read"}
    assert served["status"]["workers"] == "prepare=1 detect=1 read=1"
    assert [step["ready"] for step in served["status"]["steps"]] == [True, True, True]
    shown = ferryman.kubectl("get", "ipipe", NAME, f"--namespace={models.NAMESPACE}")
    assert "prepare=1 detect=1 read=1" in shown


def test_the_slow_step_gets_workers_live_and_no_request_fails(ferryman, served, tmp_path):
    before = {pod["metadata"]["uid"] for pod in pods(ferryman)}
    inputs = tmp_path / "input.npz"
    np.savez(inputs, image=np.ones((8, 1, 1), np.float32))
    spec = LoadSpec(
        NAME,
        models.NAMESPACE,
        rate_per_s=RATE_PER_S,
        duration_s=90,
        inputs=inputs,
        deadline_ms=60_000,
        service=f"{NAME}-pipeline",
    )
    job = LoadJob(ferryman, spec, "load-chain")
    job.start()
    summary = job.wait()
    job.delete()
    found = pipelines.get(ferryman, NAME)["status"]
    print(summary, found["workers"], found["balancing"]["message"])

    assert (summary["failed"], summary["sent"] > RATE_PER_S * 80) == (0, True)
    workers = {each["name"]: each["instances"]["observed"] for each in found["steps"]}
    assert workers["detect"] >= 2, found["balancing"]
    assert workers["detect"] > max(workers["prepare"], workers["read"]), found["balancing"]
    assert "RolledBack" not in {each["outcome"] for each in found["balancing"]["changes"]}
    assert {pod["metadata"]["uid"] for pod in pods(ferryman)} == before, "no pod was replaced"
    # What was asked is answered again, and at once.
    assert summary["p50_ms"] < 1_000, summary
    assert installation.condition({"status": found}, "ObjectivesMet")["status"] == "True"


def test_what_serves_goes_with_the_pipeline(ferryman, served):
    installation.delete(ferryman, pipeline())
    installation.wait_for("its pods are gone", lambda: not pods(ferryman), timeout_s=120)
