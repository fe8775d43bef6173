"""Shared by tests of the operator on a real API server; nothing starts until it is asked for."""

from itertools import count

import pytest

from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import NAMESPACE, Operator, install
from tests.integration.operators import Objects

_numbers = count(1)


@pytest.fixture(scope="module")
def plane():
    """Yield a control plane with Ferryman's kinds, its namespace and its permissions."""
    with ControlPlane.start() as plane:
        install(plane)
        yield plane


@pytest.fixture(scope="module")
def objects(plane):
    """Yield access to the objects of the control plane, as its administrator."""
    return Objects(plane)


@pytest.fixture(scope="module")
def cluster(objects):
    """Yield two node types and a runtime under which both were measured."""
    for name, node_type in (("node-1", "cpu-small"), ("node-2", "cpu-large")):
        objects.node(name)
        speed = 100.0 if node_type == "cpu-small" else 200.0
        objects.profile(name, node_type, images_per_second=speed)
    objects.runtime()
    return objects


@pytest.fixture
def fresh(cluster):
    """Make the profiles as fresh as agents would keep them."""
    cluster.heartbeat("node-1", "node-2")


@pytest.fixture(scope="module")
def new_operator(plane, tmp_path_factory):
    """Make operators that act as the ServiceAccount of the installation, and end them."""
    made = []

    def make(*arguments):
        token = plane.kubectl(
            "create", "token", "ferryman-operator", "-n", NAMESPACE, "--duration=1h"
        ).strip()
        number = next(_numbers)
        kubeconfig = plane.kubeconfig_for(token, f"operator-{number}")
        log = tmp_path_factory.mktemp("operator") / f"operator-{number}.log"
        operator = Operator(kubeconfig, log, *arguments)
        made.append(operator)
        return operator

    yield make
    for operator in made:
        operator.close()


@pytest.fixture(scope="module")
def operator(new_operator):
    """Yield a running operator for all namespaces."""
    return new_operator().start()
