"""The live cap on a real kubelet: the annotation changes the batches, and nothing else.

How long the kubelet takes to project an annotation is its own affair, and printed; what is judged
are the batches from a second after that.
"""

import json
import time

import pytest

from ferryman.api.names import ANNOTATION_MAX_BATCH_SIZE, LIVE_CAP_FILE
from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "capped"
RATE_PER_S = 100
#: At most: the load is ended after the last step.
DURATION_S = 120
#: From the annotation to its file in the pod, at most.
PROJECTED_S = 20.0
#: From the file to batches under the new bound; the library looks every 100 ms.
SETTLED_S = 1.0
WATCHED_S = 5.0
LARGER_S = 20.0
#: No window ends: what changes the bound is the test.
WINDOW = {"minSeconds": 3600, "maxSeconds": 3600, "maxRequests": 1_000_000}


def at_most(bound):
    limits = {"maxBatchSize": {"min": 1, "max": bound}}
    return models.model(NAME, batching={"mode": "Auto", "window": WINDOW, "limits": limits})


def statistics(cluster):
    """Return the counters of the model's one pod: requests answered, and batches by their size."""
    service = f"/api/v1/namespaces/{models.NAMESPACE}/services/{NAME}-triton:http/proxy"
    answer = json.loads(cluster.kubectl("get", "--raw", f"{service}/v2/models/{NAME}/stats"))
    (found,) = answer["model_stats"]
    sizes = {each["batch_size"]: each["compute_infer"]["count"] for each in found["batch_stats"]}
    return found["inference_stats"]["success"]["count"], sizes


def executed(before, after):
    """Return the sizes of the batches that were executed between two readings."""
    return {size for size, count in after[1].items() if count > before[1].get(size, 0)}


def annotation(cluster):
    (pod,) = models.pods(cluster, NAME)
    return pod["metadata"].get("annotations", {}).get(ANNOTATION_MAX_BATCH_SIZE)


def wait_annotated(cluster, bound):
    installation.wait_for(
        f"the annotation {bound}",
        lambda: annotation(cluster) == str(bound),
        timeout_s=30,
        period_s=0.1,
        explain=lambda: models.describe(cluster, NAME),
    )


def wait_effective(cluster, bound):
    """Wait until the kubelet has projected the annotation, and the batches of before are done."""
    annotated, where = time.monotonic(), f"--namespace={models.NAMESPACE}"
    read = ("exec", f"deploy/{NAME}-triton", where, "-c", "triton", "--", "cat", LIVE_CAP_FILE)
    installation.wait_for(
        f"a projected bound of {bound}",
        lambda: cluster.kubectl(*read).strip() == str(bound),
        timeout_s=PROJECTED_S,
        period_s=0.1,
        explain=lambda: models.describe(cluster, NAME),
    )
    print(f"a bound of {bound} was projected after {time.monotonic() - annotated:.1f} s")
    time.sleep(SETTLED_S)


def sizes_of_a_while(cluster, seconds):
    before = statistics(cluster)
    time.sleep(seconds)
    return executed(before, statistics(cluster))


def wait_for_larger_batches(cluster):
    """Watch until requests have come in such a way that they were batched."""
    installation.wait_for(
        "batches of more than one",
        lambda: max(sizes_of_a_while(cluster, 1.0), default=0) > 1,
        timeout_s=LARGER_S,
        period_s=0.0,
        explain=lambda: models.describe(cluster, NAME),
    )


def test_the_annotation_changes_the_batches_without_a_reload(ferryman, namespace, digits_input):
    installation.apply(ferryman, at_most(16))
    ready = models.wait_ready(ferryman, NAME)
    assert ready["status"]["batching"]["liveCap"]["reason"] == "LiveCap"
    (pod_before,) = models.pods(ferryman, NAME)
    job = LoadJob(
        ferryman, LoadSpec(NAME, namespace, RATE_PER_S, DURATION_S, digits_input), "load-capped"
    )
    job.start()
    begun = statistics(ferryman)
    wait_for_larger_batches(ferryman)  # or the rest proves nothing

    installation.apply(ferryman, at_most(1))
    wait_annotated(ferryman, 1)
    wait_effective(ferryman, 1)
    bound_to_one = sizes_of_a_while(ferryman, WATCHED_S)

    # Somebody edits it by hand: it is brought back.
    edit = f"{ANNOTATION_MAX_BATCH_SIZE}=7"
    pod_name, where = pod_before["metadata"]["name"], f"--namespace={namespace}"
    ferryman.kubectl("annotate", "pod", pod_name, where, edit, "--overwrite")
    wait_annotated(ferryman, 1)

    installation.apply(ferryman, at_most(16))
    wait_annotated(ferryman, 16)
    wait_effective(ferryman, 16)
    wait_for_larger_batches(ferryman)
    ended = statistics(ferryman)
    summary = loads.end(job)
    last = statistics(ferryman)
    job.delete()

    assert bound_to_one == {1}
    # A reload would have set the counters back.
    assert begun[0] < ended[0] < last[0]
    assert last[0] >= summary["sent"] - summary["failed"]
    assert all(last[1][size] >= count for size, count in begun[1].items())
    assert (summary["failed"], summary["accuracy"] >= 0.95) == (0, True)
    (pod_after,) = models.pods(ferryman, NAME)
    assert pod_after["metadata"]["uid"] == pod_before["metadata"]["uid"]
    batching = models.get(ferryman, NAME)["status"]["batching"]
    assert {change["actuator"] for change in batching["changes"]} == {"LiveCap"}
    assert {change["reason"] for change in batching["changes"]} >= {"SpecChanged", "Drifted"}
    assert not batching.get("recentReloads")
