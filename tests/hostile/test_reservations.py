"""Pods that are asked for and never come keep nobody out."""

from unittest.mock import ANY

import pytest

from tests.integration.operator_process import wait_for
from tests.integration.operators import await_served

pytestmark = pytest.mark.integration

#: Deployments have a controller here, and quotas are counted.
CONTROLLERS = True


def test_a_quota_of_no_pods_reserves_nothing(tenants, operator, reconciled):
    objects = tenants.objects
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    tenants.post(tenants.hostile, "/api/v1/resourcequotas", quota)
    wait_for(
        "the quota is counted",
        lambda: "hard" in objects.get("resourcequota", "none", tenants.hostile).get("status", {}),
    )
    # More than both nodes have.
    objects.model("greedy", tenants.hostile, replicas=1000)
    await_served(objects, "greedy", tenants.hostile)

    def refused():
        deployment = objects.get("deployment", "greedy-triton", tenants.hostile)
        conditions = deployment.get("status", {}).get("conditions", ())
        return [c for c in conditions if (c["type"], c["status"]) == ("ReplicaFailure", "True")]

    wait_for("no pod may be created", refused)
    reconciled()
    placed = objects.status("theirs", tenants.other)["placement"]
    assert (placed.get("nodeType"), placed["message"]) == ("cpu-large", ANY), "it has all room"
    assert objects.list("pods", tenants.hostile) == []
