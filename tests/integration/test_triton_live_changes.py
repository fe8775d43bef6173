"""Live changes of batching under open-loop load: no failed request, every answer correct."""

from collections import Counter

import pytest

from benchmarks import live_changes
from benchmarks.live_changes import CHANGES, PAUSE_S, RATE_PER_S
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    live_changes.write_model(repository)
    with TritonServer(repository, models=[live_changes.MODEL]) as running:
        yield running


async def test_twenty_changes_under_load_fail_no_request_and_keep_the_server_ready(
    server, tmp_path
):
    pictures = live_changes.write_pictures(tmp_path / "in.npz")
    run = await live_changes.measure(server, pictures, seed=7, pause_s=PAUSE_S)
    summary = run["summary"]
    print(summary, run["readiness"])

    assert (summary["failed"], summary["examples"]) == (0, {})
    assert summary["accuracy"] == 1.0
    assert summary["sent"] > RATE_PER_S * PAUSE_S * len(CHANGES)
    actuators = [change["actuator"] for change in run["changes"]]
    assert Counter(actuators) == {"Reload": 10, "InPlace": 10}
    assert [c["instances"] == 2 for c in run["changes"]] == [a == "InPlace" for a in actuators]
    assert {key.rpartition(" ")[2] for key in run["readiness"]} == {"200"}
    assert min(run["readiness"].values()) > 200
