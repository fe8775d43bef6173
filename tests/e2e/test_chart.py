"""The chart's own commands beside a model that serves: test, upgrade, failover and rollback."""

import time

import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from hack.manifests import NAMESPACE as SYSTEM
from tests.e2e import loads, models

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(600)]

NAME = "steady"
RATE_PER_S = 40
#: At most: the load is ended after the last step.
DURATION_S = 550
FAILOVER_S = 30
#: Of the operator's Lease.
LEASE = ("lease/ferryman-operator", f"--namespace={SYSTEM}")


@pytest.fixture(scope="module")
def load(ferryman, namespace, digits_input):
    """Serve a model under load while all tests of this module run."""
    installation.apply(ferryman, models.model(NAME, batching=models.fixed(8)))
    models.wait_ready(ferryman, NAME)
    spec = LoadSpec(NAME, namespace, RATE_PER_S, DURATION_S, digits_input)
    job = LoadJob(ferryman, spec, "load-steady")
    job.start()
    yield job
    job.delete()


def holder(cluster):
    """Return the name of the operator's pod that leads; empty while none does."""
    return cluster.kubectl("get", *LEASE, "--output=jsonpath={.spec.holderIdentity}").strip()


def operators(cluster):
    """Return the names of the operator's pods that are not about to end."""
    pods = installation.get(cluster, "pods", namespace=SYSTEM)["items"]
    return {
        pod["metadata"]["name"]
        for pod in pods
        if pod["metadata"]["labels"].get("app.kubernetes.io/component") == "operator"
        and "deletionTimestamp" not in pod["metadata"]
    }


def wait_led(cluster, *, without=frozenset(), timeout_s=FAILOVER_S):
    """Wait until one of the pods that run leads, none of those to be gone; return its name."""

    def led():
        name = holder(cluster)
        return name if name in operators(cluster) - without else None

    def explain():
        logs = ("logs", f"--namespace={SYSTEM}", "deploy/ferryman-operator", "--tail=40")
        return cluster.kubectl("get", *LEASE, "--output=yaml") + cluster.kubectl(*logs)

    return installation.wait_for(
        "a leader", led, timeout_s=timeout_s, period_s=0.3, explain=explain
    )


def wait_obeyed(cluster, bound):
    """See that an operator carries out what is asked for now."""
    installation.apply(cluster, models.model(NAME, batching=models.fixed(bound)))
    models.wait_applied(cluster, NAME, bound)


def test_helm_test_serves_a_model(ferryman, load):
    if not ferryman.kind:
        pytest.skip("its model is in the kind cluster's images alone")
    told = installation.helm(ferryman, "test", installation.RELEASE, f"--namespace={SYSTEM}")

    assert "Succeeded" in told
    assert "Failed" not in told
    assert installation.get(ferryman, "inferencemodels", namespace=SYSTEM)["items"] == []


def test_an_upgrade_to_two_operators_goes_on_with_what_serves(ferryman, load):
    before = operators(ferryman)
    installation.install(ferryman, "operator.replicas=2", "operator.podLabels.tier=gold")

    assert len(operators(ferryman) - before) == 2
    # Helm may return while the one of before still ends.
    wait_led(ferryman, without=before, timeout_s=2 * FAILOVER_S)
    wait_obeyed(ferryman, 16)


def test_the_other_operator_follows_one_that_is_killed(ferryman, load):
    first = wait_led(ferryman)
    where = f"--namespace={SYSTEM}"
    killed_s = time.monotonic()
    ferryman.kubectl("delete", "pod", first, where, "--grace-period=0", "--force")
    wait_led(ferryman, without={first})

    assert time.monotonic() - killed_s <= FAILOVER_S
    wait_obeyed(ferryman, 4)


def test_a_rollback_goes_back_to_one(ferryman, load):
    where = f"--namespace={SYSTEM}"
    installation.helm(ferryman, "rollback", installation.RELEASE, where, "--wait", "--timeout=180s")

    def alone():
        return len(operators(ferryman)) == 1

    installation.wait_for("one operator", alone, timeout_s=60)
    wait_led(ferryman)
    wait_obeyed(ferryman, 8)


def test_no_request_failed_meanwhile(ferryman, load):
    summary = loads.end(load)

    assert summary["failed"] == 0, summary
    assert summary["accuracy"] >= 0.95
