"""A rollout of two replicas loses nothing of clients that keep their connections."""

import pytest

from hack import endings, installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAME = "ending"
RATE_PER_S = 100.0
#: At most: the load is ended after the rollout.
DURATION_S = 400


@pytest.fixture
def model(ferryman, namespace):
    """Serve two replicas, and note how their servers exit."""
    spec = {"batching": models.fixed(8), "replicas": 2, **endings.PLACED}
    installation.apply(ferryman, models.model(NAME, **spec))
    models.wait_ready(ferryman, NAME)
    served = endings.Model(ferryman, NAME, namespace)
    served.watch()
    yield served
    served.close()


@pytest.fixture
def jobs(model, digits_input):
    """Put load on the model, over HTTP and over gRPC."""
    made = {}
    for scheme in ("http", "grpc"):
        spec = LoadSpec(
            NAME, model.namespace, RATE_PER_S, DURATION_S, digits_input, scheme=scheme, clients=4
        )
        made[scheme] = LoadJob(model.cluster, spec, f"load-ending-{scheme}")
        made[scheme].start()
    yield made
    for job in made.values():
        job.delete()


def test_a_rollout_loses_no_request_and_its_servers_exit_cleanly(model, jobs):
    assert models.get(model.cluster, NAME)["status"]["drain"]["reason"] == "Drains"
    gone = endings.end(model, "rollout")
    summaries = {scheme: loads.end(job) for scheme, job in jobs.items()}
    for scheme, summary in summaries.items():
        assert summary["failures"] == {}, (scheme, summary["examples"])
        assert summary["ok"] > 0, scheme
    assert {pod: model.exits.get(pod) for pod in gone} == dict.fromkeys(gone, "0")
    assert len(gone) == 2
