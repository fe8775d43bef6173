"""Several pods of one model: the Service spreads over them while they come, go and are replaced.

Every request opens a connection of its own, since a Service balances connections.
"""

import json
import time
from dataclasses import dataclass

import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "spread"
RATE_PER_S = 40
#: At most: the load is ended after the last step.
DURATION_S = 300
#: Long enough for 160 requests: of three pods the least lucky then gets a fifth by far.
WATCHED_S = 4.0
LEAST_SHARE = 0.5
"""Of an equal share, which no pod falls below by chance (four deviations and more)."""
#: From the death of a pod without a word until its endpoint is gone on every node.
NOTICED_S = 10


def with_limit(memory):
    """Return the model; another limit of memory rolls its pods."""
    return models.model(
        NAME, batching=models.fixed(8), replicas=2, resources={"limits": {"memory": memory}}
    )


@dataclass
class Story:
    """The load, and when a pod was killed under it (Unix time)."""

    job: LoadJob
    killed_s: float = 0.0


@pytest.fixture(scope="module")
def story(ferryman, namespace, digits_input):
    """Serve two replicas under load; all tests see the same load, and the last one ends it."""
    installation.apply(ferryman, with_limit("1Gi"))
    models.wait_ready(ferryman, NAME)
    spec = LoadSpec(NAME, namespace, RATE_PER_S, DURATION_S, digits_input, new_connections=True)
    job = LoadJob(ferryman, spec, "load-spread")
    job.start()
    yield Story(job)
    job.delete()


def answered(cluster):
    """Return how many requests each ready pod has answered, by its name."""
    where = f"/api/v1/namespaces/{models.NAMESPACE}/pods"
    counts = {}
    for pod in ready_pods(cluster):
        raw = cluster.kubectl("get", "--raw", f"{where}/{pod}:8000/proxy/v2/models/{NAME}/stats")
        (found,) = json.loads(raw)["model_stats"]
        counts[pod] = found["inference_stats"]["success"]["count"]
    return counts


def ready_pods(cluster):
    """Return the names of the pods that serve and are not about to end."""
    return {
        pod["metadata"]["name"]
        for pod in models.pods(cluster, NAME)
        if "deletionTimestamp" not in pod["metadata"]
        and (installation.condition(pod, "Ready") or {}).get("status") == "True"
    }


def wait_serving(cluster, replicas, *, without=frozenset()):
    """Wait until exactly so many pods serve, none of those to be gone among them."""

    def serving():
        ready = ready_pods(cluster)
        return ready if len(ready) == replicas and not ready & without else None

    return installation.wait_for(
        f"{replicas} pods of {NAME}",
        serving,
        timeout_s=models.READY_TIMEOUT_S,
        explain=lambda: models.describe(cluster, NAME),
    )


def assert_all_get_traffic(cluster, replicas):
    """See that each of so many pods gets at least half of an equal share."""
    before = answered(cluster)
    time.sleep(WATCHED_S)
    after = answered(cluster)
    shares = {pod: after[pod] - before[pod] for pod in before}

    assert len(shares) == replicas
    assert sum(shares.values()) >= 0.5 * RATE_PER_S * WATCHED_S, shares
    for pod, count in shares.items():
        assert count >= LEAST_SHARE * sum(shares.values()) / replicas, (pod, shares)


def scale(cluster, replicas):
    where = f"--namespace={models.NAMESPACE}"
    cluster.kubectl("scale", f"inferencemodel/{NAME}", f"--replicas={replicas}", where)


def test_two_replicas_share_the_traffic(ferryman, story):
    assert_all_get_traffic(ferryman, 2)


def test_replicas_that_are_rolled_hand_over(ferryman, story):
    before = ready_pods(ferryman)
    installation.apply(ferryman, with_limit("1100Mi"))
    wait_serving(ferryman, 2, without=before)

    assert_all_get_traffic(ferryman, 2)


def test_a_third_one_gets_its_share(ferryman, story):
    scale(ferryman, 3)
    wait_serving(ferryman, 3)

    assert_all_get_traffic(ferryman, 3)


def test_a_pod_killed_without_a_word_is_replaced_while_the_others_go_on(ferryman, story):
    victim = min(ready_pods(ferryman))
    where = f"--namespace={models.NAMESPACE}"
    story.killed_s = time.time()
    ferryman.kubectl("delete", "pod", victim, where, "--grace-period=0", "--force")
    wait_serving(ferryman, 3, without={victim})

    assert_all_get_traffic(ferryman, 3)


def test_one_replica_takes_all_when_the_others_are_scaled_away(ferryman, story):
    scale(ferryman, 1)
    wait_serving(ferryman, 1)

    assert_all_get_traffic(ferryman, 1)
    models.wait_ready(ferryman, NAME)


def test_no_request_failed_but_those_of_the_pod_that_was_killed(ferryman, story):
    summary = loads.end(story.job)
    seconds = [second for second in story.job.seconds if second["failed"]]
    noticed_s = story.killed_s + NOTICED_S

    assert [s for s in seconds if not story.killed_s <= s["time"] <= noticed_s] == []
    assert summary["failed"] <= RATE_PER_S * NOTICED_S / 3, summary
    assert summary["accuracy"] >= 0.95
