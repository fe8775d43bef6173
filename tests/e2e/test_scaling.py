"""A model that Ferryman scales itself: load doubles, replicas follow, and no request fails."""

import numpy as np
import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1_500)]

NAME = "elastic"
TENSOR = {"data_type": "TYPE_FP32", "dims": [1]}
#: One pod answers 20 requests a second, whatever batches they are in.
SLEEPS = {"fixed_us": "0", "per_item_us": "50000"}
RATE_PER_S = 12.0
DURATION_S = 600
FOLLOWS_S = 180
"""For windows to tell that more is needed, and for a pod to come up on a busy machine."""
FEWER_WITHIN_S = 480
"""Twelve times the stabilisation, where the load was uneven, and what it takes to be seen."""


def elastic():
    config = {
        "input": [{"name": "input", **TENSOR}],
        "output": [{"name": "output", **TENSOR}],
        "parameters": {key: {"string_value": us} for key, us in SLEEPS.items()},
    }
    document = models.model(
        NAME,
        objectives={"latency": {"targetMilliseconds": 500}},
        batching={
            **models.QUICK,
            "limits": {"maxBatchSize": {"max": 2}, "instances": {"max": 1}},
        },
        scaling={"maxReplicas": 3, "scaleDownStabilizationSeconds": 30},
    )
    document["spec"]["model"] = {
        "storageUri": installation.model_uri("sleeper"),
        "modelFormat": {"name": "python"},
        "config": config,
    }
    return document


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "rows.npz"
    np.savez(path, input=np.ones((16, 1, 1), np.float32))
    return path


def wait_replicas(cluster, words, enough, within_s=FOLLOWS_S):
    """Wait until as many replicas serve as were chosen, and those are enough in this sense."""

    def reached():
        status = models.get(cluster, NAME)["status"]
        chosen = status.get("scaling", {}).get("replicas", 0)
        return chosen if enough(chosen) and status.get("readyReplicas") == chosen else None

    return installation.wait_for(
        words, reached, timeout_s=within_s, explain=lambda: models.describe(cluster, NAME)
    )


def test_replicas_follow_the_load_and_no_request_fails(ferryman, namespace, inputs):
    installation.apply(ferryman, elastic())
    models.wait_ready(ferryman, NAME)

    def load(number):
        spec = LoadSpec(NAME, namespace, RATE_PER_S, DURATION_S, inputs, new_connections=True)
        job = LoadJob(ferryman, spec, f"load-elastic-{number}")
        job.start()
        return job

    first = load(1)
    few = wait_replicas(ferryman, "the load is served", lambda chosen: chosen >= 1)
    second = load(2)
    wait_replicas(ferryman, "more serve twice the load", lambda chosen: chosen > few)
    summaries = [loads.end(second), loads.end(first)]
    assert [summary["failed"] for summary in summaries] == [0, 0]
    wait_replicas(
        ferryman, "fewer are left without a load", lambda chosen: chosen == 1, FEWER_WITHIN_S
    )
    reasons = [
        each["reason"] for each in models.get(ferryman, NAME)["status"]["scaling"]["changes"]
    ]
    assert reasons[0] == "FewerSuffice"
    assert "MoreNeeded" in reasons
    for job in (first, second):
        job.delete()
