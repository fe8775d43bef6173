"""A slow step that is an InferenceModel's: two pods answer it, evenly, and nothing fails."""

import json

import numpy as np
import pytest

from ferryman.api.names import API_VERSION
from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import models, pipelines

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

NAME, STEP = "two-servers", "detector"
RATE_PER_S, DURATION_S = 20.0, 45
#: Of an equal share, which neither pod falls below.
LEAST_SHARE = 0.8


def detector():
    """Return the model that answers the step: two pods, one request at a time each."""
    return models.model(STEP, batching=models.fixed(1), replicas=2, model=pipelines.sleeping(60))


def pipeline():
    return {
        "apiVersion": API_VERSION,
        "kind": "InferencePipeline",
        "metadata": {"name": NAME, "namespace": models.NAMESPACE},
        "spec": {
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 1]}],
            "steps": [
                {"name": "prepare", "model": pipelines.sleeping(2), "inputMap": {"input": "image"}},
                {
                    "name": "detect",
                    "modelRef": {"name": STEP},
                    "inputMap": {"input": "prepare.output"},
                },
            ],
            "outputs": [{"name": "boxes", "from": "detect.output"}],
            "runtimeRef": {"name": "triton-cpu"},
            "execution": {"mode": "Distributed"},
            "objectives": {"latency": {"percentile": 99, "targetMilliseconds": 5000}},
            "balancing": {"mode": "Observe"},
        },
    }


def answered(cluster):
    """Return how many requests each pod of the step's model has answered."""
    where = f"/api/v1/namespaces/{models.NAMESPACE}/pods"
    counts = {}
    for pod in models.pods(cluster, STEP):
        name = pod["metadata"]["name"]
        raw = cluster.kubectl("get", "--raw", f"{where}/{name}:8000/proxy/v2/models/{STEP}/stats")
        (found,) = json.loads(raw)["model_stats"]
        counts[name] = found["inference_stats"]["success"]["count"]
    return counts


@pytest.fixture(scope="module")
def served(ferryman, namespace):
    """Serve both; the pipeline is there first, and waits for its step's model."""
    installation.apply(ferryman, pipeline())
    installation.apply(ferryman, detector())
    models.wait_ready(ferryman, STEP)
    pipelines.wait_ready(ferryman, NAME)


def test_requests_go_through_both_servers_evenly_and_none_fails(ferryman, served, tmp_path):
    inputs = tmp_path / "input.npz"
    np.savez(inputs, image=np.ones((8, 1, 1), np.float32))
    spec = LoadSpec(
        NAME,
        models.NAMESPACE,
        rate_per_s=RATE_PER_S,
        duration_s=DURATION_S,
        inputs=inputs,
        deadline_ms=60_000,
        service=f"{NAME}-pipeline",
    )
    before = answered(ferryman)
    job = LoadJob(ferryman, spec, "load-two-servers")
    job.start()
    summary = job.wait()
    job.delete()
    counts = answered(ferryman)
    shares = [counts[pod] - before.get(pod, 0) for pod in counts]
    print(summary, shares)

    assert (summary["failed"], summary["sent"] > RATE_PER_S * DURATION_S * 0.8) == (0, True)
    assert len(shares) == 2
    assert sum(shares) >= summary["sent"]
    assert min(shares) >= LEAST_SHARE * sum(shares) / 2, shares


def test_a_step_whose_model_is_gone_is_told_by_its_pipeline(ferryman, served):
    installation.delete(ferryman, detector())

    def told():
        kinds = ("Ready", "ModelLoaded")
        return any(STEP in str(pipelines.condition(ferryman, NAME, kind)) for kind in kinds)

    installation.wait_for(
        "the pipeline says so",
        told,
        timeout_s=120,
        explain=lambda: pipelines.describe(ferryman, NAME),
    )
