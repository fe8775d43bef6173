"""Twenty live changes of batching under load lose no request."""

import time

import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHANGES = 20
RATE_PER_S = 100
#: The load lasts so long for each change at most: it is ended after the last.
SLOWEST_CHANGE_S = 15
#: Bound, queue delay and instances of each change: every third one changes instances alone.
STEPS = [
    models.fixed(
        bound=(4, 4, 16, 8, 8, 32)[i % 6], delay_us=500 * (i // 3 % 2), instances=1 + (i % 3 == 1)
    )
    for i in range(CHANGES)
]


def test_twenty_live_changes_under_load_lose_no_request(ferryman, namespace, digits_input):
    installation.apply(ferryman, models.model("changing", batching=models.fixed(64)))
    models.wait_ready(ferryman, "changing")
    duration_s = SLOWEST_CHANGE_S * CHANGES
    # The deadline is that of a machine on which much else runs.
    spec = LoadSpec("changing", namespace, RATE_PER_S, duration_s, digits_input, deadline_ms=30_000)
    job = LoadJob(ferryman, spec, "load-changing")
    job.start()
    time.sleep(3)
    actuators = [_change(ferryman, step) for step in STEPS]
    summary = loads.end(job)
    job.delete()

    assert set(actuators) == {"InPlace", "Reload"}
    assert summary["failed"] == 0
    assert summary["sent"] >= 0.95 * RATE_PER_S * summary["duration_s"]
    assert summary["accuracy"] >= 0.95


def _change(ferryman, batching) -> str:
    """Ask for a batching, wait until it is in force, and return the actuator that did it."""
    installation.apply(ferryman, models.model("changing", batching=batching))
    wanted = batching["initial"]

    def applied():
        changes = models.get(ferryman, "changing")["status"]["batching"].get("changes")
        latest = changes[0] if changes else {}
        done = latest.get("outcome") == "Applied" and latest["after"] == wanted
        return latest if done else None

    found = installation.wait_for(
        f"batching {wanted}",
        applied,
        timeout_s=60,
        period_s=0.3,
        explain=lambda: models.describe(ferryman, "changing"),
    )
    return found["actuator"]
