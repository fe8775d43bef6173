"""A node that dies without a word takes its models with it for less than a minute."""

import pytest

from hack import installation, nodes
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAME = "survivor"
RATE_PER_S = 20
#: At most: the load is ended once answers came again.
DURATION_S = 240
WITHIN_S = 60
#: The benchmark alone decides: the faster node is chosen however busy it is.
WEIGHTS = {"benchmark": 1, "memory": 0, "utilisation": 0}


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
    nodes.send_operator_away(ferryman, node)

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
        with nodes.dead(node) as died_s:
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
    nodes.await_ready(ferryman, node)
    models.wait_ready(ferryman, NAME)

    assert served_s - died_s <= WITHIN_S
    assert moved["nodeType"] != before["nodeType"]
    assert f"because {node} is not ready" in moved["message"]
    assert models.get(ferryman, NAME)["status"]["placement"]["nodeType"] == moved["nodeType"]
