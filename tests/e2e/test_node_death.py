"""A node that dies without a word takes its models with it for less than a minute."""

import time
from contextlib import contextmanager

import pytest

from hack import installation
from hack.cluster import engine
from hack.load_job import LoadJob, LoadSpec
from hack.manifests import NAMESPACE
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAME = "survivor"
RATE_PER_S = 20
#: At most: the load is ended once answers came again.
DURATION_S = 240
WITHIN_S = 60
#: The benchmark alone decides: the faster node is chosen however busy it is.
WEIGHTS = {"benchmark": 1, "memory": 0, "utilisation": 0}


@contextmanager
def dead(node):
    """Stop everything on a node of the kind cluster, as a power cut would, and start it again."""
    docker = engine.ensure().docker
    docker("pause", node)
    try:
        yield time.time()
    finally:
        docker("unpause", node)


@contextmanager
def cordoned(cluster, node):
    """Let nothing new come to a node."""
    cluster.kubectl("cordon", node)
    try:
        yield
    finally:
        cluster.kubectl("uncordon", node)


def send_operator_away(cluster, node):
    """Have the operator run on another node: what it needs to come back is not measured here."""
    where = (f"--namespace={NAMESPACE}", "-l=app.kubernetes.io/component=operator")
    with cordoned(cluster, node):
        cluster.kubectl("delete", "pod", *where, timeout_s=120)
        cluster.kubectl("rollout", "status", "deploy/ferryman-operator", where[0], timeout_s=180)


def first_good_second(job, since_s):
    """Return when requests were answered again as a matter of course, or None."""
    return next(
        (
            second["time"]
            for second in job.seconds
            # What was on its way when the node died is counted in the seconds after it.
            if second["time"] > since_s + 3 and second["ok"] >= RATE_PER_S / 4
        ),
        None,
    )


def is_ready(cluster, node):
    return (installation.condition(installation.get(cluster, "node", node), "Ready") or {}).get(
        "status"
    ) == "True"


def test_requests_are_served_again_within_a_minute_and_the_model_stays_where_it_went(
    ferryman, namespace, digits_input
):
    if ferryman.slow_node is None:
        pytest.skip("no node of a given context is stopped")
    wanted = models.model(
        NAME,
        batching=models.fixed(8),
        replicas=2,
        placement={"weights": WEIGHTS},
        resources={"requests": {"cpu": "100m", "memory": "256Mi"}},  # two fit on the slow node
    )
    installation.apply(ferryman, wanted)
    before = models.wait_ready(ferryman, NAME)["status"]["placement"]
    node = before["preferredNode"]
    assert {pod["spec"]["nodeName"] for pod in models.pods(ferryman, NAME)} == {node}
    assert node != ferryman.slow_node
    send_operator_away(ferryman, node)

    spec = LoadSpec(
        NAME,
        namespace,
        RATE_PER_S,
        DURATION_S,
        digits_input,
        deadline_ms=2_000,
        new_connections=True,
    )
    job = LoadJob(ferryman, spec, "load-survivor")
    job.start()
    try:
        with dead(node) as died_s:
            served_s = installation.wait_for(
                "answers to come again",
                lambda: first_good_second(job, died_s),
                timeout_s=WITHIN_S + 60,
                explain=lambda: models.describe(ferryman, NAME),
            )
            moved = models.get(ferryman, NAME)["status"]["placement"]
        loads.end(job)
    finally:
        job.delete()
    installation.wait_for(f"{node} to be ready", lambda: is_ready(ferryman, node), timeout_s=120)
    models.wait_ready(ferryman, NAME)

    assert served_s - died_s <= WITHIN_S
    assert moved["nodeType"] != before["nodeType"]
    assert f"because {node} is not ready" in moved["message"]
    assert models.get(ferryman, NAME)["status"]["placement"]["nodeType"] == moved["nodeType"]
