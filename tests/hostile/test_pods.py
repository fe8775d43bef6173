"""Pods that never answer, whose loads never return, or that are somebody else's."""

from functools import partial

import pytest

from ferryman.handlers.session import WORKERS
from tests.hostile.servers import Triton, config_of, serving, silent
from tests.integration.operator_process import wait_for
from tests.integration.operators import await_served

pytestmark = pytest.mark.integration

#: More than the operator has workers.
HUNG = WORKERS + 4
#: So many that one after the other they would take longer than another tenant may wait.
SILENT = 800


def fixed(bound):
    """Return a batching that the specification states."""
    initial = {"maxBatchSize": bound, "maxQueueDelayMicroseconds": 0, "instances": 1}
    return {"mode": "Fixed", "initial": initial}


def loaded(objects, name, namespace):
    """Say whether a model's Triton was asked, and answered."""
    return objects.condition(name, "ModelLoaded", namespace) == ("True", "ModelLoaded")


@pytest.fixture
def served(tenants, reconciled):
    """Have the other tenant's model served by a pod that answers; fail if that takes over 10 s."""

    def check(triton, address):
        reconciled()
        await_served(tenants.objects, "theirs", tenants.other)
        triton.configs["theirs"] = config_of(tenants.objects, "theirs", tenants.other)
        owner = tenants.replica_set("theirs", tenants.other)
        tenants.pod("theirs-1", tenants.other, "theirs", address, owner)
        wait_for(
            "the other tenant's pod is looked at",
            lambda: loaded(tenants.objects, "theirs", tenants.other),
            10,
        )

    return check


def test_loads_that_never_return_keep_nobody_waiting(tenants, operator, reconciled):
    names = [f"hung-{number}" for number in range(HUNG)]
    addresses = [f"127.89.0.{number + 1}" for number in range(HUNG)]
    with serving(Triton(loads_return=False), *addresses) as triton:
        for name, address in zip(names, addresses, strict=True):
            tenants.objects.model(name, tenants.hostile, batching=fixed(8))
            await_served(tenants.objects, name, tenants.hostile)
            triton.configs[name] = config_of(tenants.objects, name, tenants.hostile)
            owner = tenants.replica_set(name, tenants.hostile)
            tenants.pod(f"{name}-1", tenants.hostile, name, address, owner)
        for name in names:
            wait_for(name, partial(loaded, tenants.objects, name, tenants.hostile))
        for name in names:
            tenants.objects.model(name, tenants.hostile, batching=fixed(16))
        wait_for(
            "as many loads hang as there are workers", lambda: len(triton.loads) >= WORKERS, 60
        )
        reconciled()
        assert operator.get("/healthz")[0] == 200


@pytest.mark.long
def test_hundreds_of_silent_pods_do_not_delay_another_tenants_look(tenants, operator, served):
    addresses = [f"127.88.{number // 200}.{number % 200 + 1}" for number in range(SILENT)]
    with silent(*addresses), serving(Triton(), "127.90.0.1") as triton:
        names = [f"silent-{turn}" for turn in range(4)]
        for name in names:
            tenants.objects.model(name, tenants.hostile, replicas=100)
            await_served(tenants.objects, name, tenants.hostile)
        for turn, name in enumerate(names):
            owner = tenants.replica_set(name, tenants.hostile)
            for number in range(turn, SILENT, 4):
                tenants.pod(f"pod-{number}", tenants.hostile, name, addresses[number], owner)
        with tenants.poking([f"pod-{turn}" for turn in range(4)]):
            served(triton, "127.90.0.1")


def test_a_pod_that_only_has_our_label_is_not_asked_for_anything(tenants, operator, served):
    foreign = Triton()
    with (
        serving(foreign, *(f"127.91.0.{number}" for number in (1, 2, 3))),
        serving(Triton(), "127.90.0.1") as triton,
    ):
        served(triton, "127.90.0.1")
        foreign.configs["theirs"] = triton.configs["theirs"]
        tenants.pod("of-nobody", tenants.other, "theirs", "127.91.0.1")
        # A ReplicaSet of that name, but of no Deployment of ours.
        own = tenants.replica_set("theirs", tenants.other, name="theirs-triton-2", foreign=True)
        tenants.pod("of-another", tenants.other, "theirs", "127.91.0.2", own)
        invented = {"metadata": {"name": "theirs-triton-1", "uid": "invented"}}
        tenants.pod("of-the-invented", tenants.other, "theirs", "127.91.0.3", invented)
        # Every event of a pod has the model looked at; so has this one.
        asked = len(triton.callers)
        tenants.objects.plane.kubectl(
            "label", "pod", "theirs-1", "looked-at=again", "-n", tenants.other
        )
        wait_for("the model is looked at again", lambda: len(triton.callers) > asked + 3)
    assert any("triton-grpc-protocol" in key for _, said in triton.callers for key in said)
    assert foreign.callers == []
