"""Live changes of batching under open-loop load: no failed request, every answer correct."""

import pytest

from benchmarks import live_changes
from benchmarks.live_changes import IN_PLACE, RELOAD, Plan
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

#: The deadline is that of a machine on which other tests run beside.
PLAN = Plan(
    rate_per_s=100, blocks=2, changes=5, every_s=2.0, steady_s=1.0, around_s=0.5, deadline_s=30
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    live_changes.write_model(repository)
    with TritonServer(repository, models=[live_changes.MODEL]) as running:
        yield running


@pytest.mark.parametrize("actuator", [IN_PLACE, RELOAD], ids=lambda actuator: actuator.name)
async def test_changes_under_load_fail_no_request_and_keep_the_server_ready(
    server, tmp_path, actuator
):
    pictures = live_changes.write_pictures(tmp_path / "in.npz")
    run = await live_changes.measure(server, pictures, actuator, PLAN, seed=7)
    summary = run["summary"]
    print(summary, run["readiness"], run["latency_ms"])

    assert (summary["failed"], summary["examples"]) == (0, {})
    assert summary["accuracy"] == 1.0
    assert live_changes.is_clean(run)
    # Each was in force afterwards, and none but a reload set the counters back.
    assert len(run["changes"]) == PLAN.blocks * PLAN.changes
    assert summary["sent"] > PLAN.rate_per_s * PLAN.every_s * (len(run["changes"]) - 1) * 0.8
    counted = sum(group["requests"] for group in run["latency_ms"].values())
    assert counted == pytest.approx(summary["sent"], abs=PLAN.rate_per_s)
    assert {key.rpartition(" ")[2] for key in run["readiness"]} == {"200"}
    assert min(run["readiness"].values()) > 60
