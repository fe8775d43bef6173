"""A Secret of somebody else's keeps its content and its owner, whatever a model is called.

Without the admission policies: what holds must hold where they are switched off.
"""

import base64
import json

import pytest

from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, Operator, install, wait_for
from tests.integration.operators import Objects

pytestmark = pytest.mark.integration

PASSWORD = base64.b64encode(b"hunter2").decode()


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as plane:
        install(plane)
        policies = "validatingadmissionpolicies,validatingadmissionpolicybindings"
        plane.kubectl("delete", policies, "--all")
        yield plane


@pytest.fixture(scope="module")
def objects(plane):
    found = Objects(plane)
    found.node("node-1")
    found.profile("node-1", "cpu-small")
    found.runtime()
    return found


@pytest.fixture(scope="module")
def operator(plane, objects, tmp_path_factory):
    token = plane.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    running = Operator(plane.kubeconfig_for(token, "operator"), log).start()
    yield running
    running.close()


def secret(plane, name):
    return json.loads(plane.kubectl("get", "secret", name, "-n", "default", "-o", "json"))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("password", id="with entries of its own"),
        pytest.param("key", id="with an entry that is called like ours"),
    ],
)
def test_a_foreign_secret_is_neither_overwritten_nor_owned(plane, objects, operator, entry):
    model = f"prod-{entry}"
    name = f"{model}-triton"
    plane.kubectl(
        "create", "secret", "generic", name, "-n=default", f"--from-literal={entry}=hunter2"
    )
    before = secret(plane, name)
    objects.heartbeat("node-1")
    objects.model(model)
    wait_for(
        "the model says so", lambda: objects.condition(model, "Ready") == ("False", "NameTaken")
    )
    after = secret(plane, name)
    assert after["data"] == {entry: PASSWORD}
    assert "ownerReferences" not in after["metadata"], "it would be deleted with the model"
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert objects.served(model) is None

    plane.kubectl("delete", "secret", name, "-n=default")
    objects.heartbeat("node-1")
    wait_for("the model is served", lambda: objects.served(model), 90)


def test_our_own_secret_is_put_right(plane, objects, operator):
    objects.heartbeat("node-1")
    objects.model("mine")
    wait_for("it is served", lambda: objects.served("mine"))
    key = secret(plane, "mine-triton")["data"]
    plane.kubectl(
        "patch", "secret", "mine-triton", "-n=default", "-p", '{"data": {"key": "bm9uZQ=="}}'
    )
    operator.kill()
    operator.start()
    wait_for("the key is back", lambda: secret(plane, "mine-triton")["data"] == key)
