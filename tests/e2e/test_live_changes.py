"""Twenty live changes of batching under load lose no request."""

import time

import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CHANGES = 20
RATE_PER_S = 100
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
    duration_s = 6 * CHANGES
    spec = LoadSpec("changing", namespace, RATE_PER_S, duration_s, digits_input)
    job = LoadJob(ferryman, spec, "load-changing")
    job.start()
    time.sleep(3)
    actuators = [_change(ferryman, step) for step in STEPS]
    assert not job.finished, "the load ended before the changes did"
    summary = job.wait()
    job.delete()

    assert set(actuators) == {"InPlace", "Reload"}
    assert summary["failed"] == 0
    assert summary["sent"] >= 0.95 * RATE_PER_S * duration_s
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
