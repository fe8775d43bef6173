"""A watch that fails for a while, whatever the reason, must not be missed for ever."""

import json

import pytest

from tests.integration.operator_process import wait_for

pytestmark = pytest.mark.integration

ROLE = "ferryman-operator"


@pytest.fixture
def without_pods(plane):
    """Take away that pods may be listed; yield what gives it back."""
    role = json.loads(plane.kubectl("get", "clusterrole", ROLE, "-o", "json"))
    whole = {key: role[key] for key in ("apiVersion", "kind", "rules")}
    whole["metadata"] = {"name": ROLE}
    less = [rule for rule in whole["rules"] if "pods" not in rule.get("resources", ())]
    assert len(less) < len(whole["rules"])

    def put(rules):
        plane.kubectl("replace", "-f", "-", stdin=json.dumps({**whole, "rules": rules}))

    put(less)
    yield lambda: put(whole["rules"])
    put(whole["rules"])


def test_after_a_session_that_failed_the_next_one_works(
    without_pods, tenants, new_operator, reconciled
):
    operator = new_operator().start(wait_until_ready=False)

    def ended():
        said = [line.get("message", "") for line in operator.lines()]
        return [line for line in said if line.startswith("watching the cluster ended")]

    wait_for("two sessions fail", lambda: len(ended()) >= 2, 120)
    without_pods()
    tenants.others_model("theirs")
    wait_for(
        "the operator is at work, or says that it must start anew",
        lambda: (
            (
                operator.get("/readyz")[0] == 200
                and tenants.objects.condition("theirs", "Placed", tenants.other)
            )
            or operator.get("/healthz")[0] == 503
        ),
        60,
    )
    assert operator.get("/healthz")[0] == 200, "here the next session mends it"
    status, took_s = operator.terminate()
    assert (status, took_s < 15) == (0, True)
