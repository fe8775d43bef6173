"""One cluster, one installation, for all end-to-end tests of a run."""

import os
from pathlib import Path

import pytest

from hack import installation
from hack.cluster import daemon, ensure_up, lifecycle
from hack.demo import scenario
from tests.e2e.models import NAMESPACE
from tests.e2e.traces import Traces

#: The kustomize installation and the removal of CRDs disturb the others: they come last, and
#: after them only the removal of the cluster.
ORDER = (
    "test_cluster_lifecycle",
    "test_install",
    "test_serving",
    "test_replicas",
    "test_placement",
    "test_tuning",
    "test_live_changes",
    "test_live_cap",
)
LAST = ("test_faults", "test_chart", "test_reinstall", "test_cluster_removal")


def pytest_collection_modifyitems(items):
    """Run the files in the order in which a user would live through them."""
    items.sort(key=lambda item: _rank(Path(item.path).stem))


def _rank(module):
    if module in ORDER:
        return ORDER.index(module)
    return len(ORDER) + (1 + LAST.index(module) if module in LAST else 0)


@pytest.fixture(scope="session")
def machine_before():
    """Return what is on the machine before this run makes a cluster; None if it will make none.

    What it makes is removed afterwards, also if it never came up.
    """
    if os.environ.get("CONTEXT") or lifecycle.exists():
        yield None
        return
    daemon.remove()  # an engine without a cluster is a trace as well
    yield Traces.now()
    lifecycle.down()


@pytest.fixture
def before(machine_before):
    """Return what is on the machine before this run makes a cluster; skip if it makes none."""
    if machine_before is None:
        pytest.skip("the cluster was there before, or was given: it is not this run's to test")
    return machine_before


@pytest.fixture(scope="session")
def cluster(machine_before):
    """Return the cluster of CONTEXT, or kind."""
    return ensure_up(os.environ.get("CONTEXT") or None)


@pytest.fixture(scope="session")
def ferryman(cluster):
    """Return the cluster with Ferryman installed by Helm and every worker measured."""
    installation.load_images(cluster)
    installation.install(cluster)
    installation.wait_for_benchmarks(cluster)
    # An agent that has just begun has nothing yet to compare with.
    installation.wait_for(
        "every node's utilisation", lambda: _utilisation_is_known(cluster), timeout_s=120
    )
    return cluster


def _utilisation_is_known(cluster):
    profiles = installation.get(cluster, "nodeprofiles")["items"]
    known = {
        profile["metadata"]["name"]
        for profile in profiles
        for entry in profile["status"]["processors"]
        if entry["class"] == "cpu" and "utilisation" in entry
    }
    return known >= set(cluster.nodes)


@pytest.fixture(scope="module")
def namespace(ferryman):
    """Make a namespace for the module's models and remove it afterwards."""
    _remove_namespace(ferryman)
    installation.apply(
        ferryman, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    yield NAMESPACE
    _remove_namespace(ferryman)


def _remove_namespace(cluster):
    """Remove the namespace; its pods are not given the time to end that they would take."""
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")
    where = f"--namespace={NAMESPACE}"
    cluster.kubectl("delete", "pods", "--all", where, "--grace-period=0", "--force", "--wait=false")
    cluster.kubectl(
        "wait", "--for=delete", f"namespace/{NAMESPACE}", "--timeout=180s", timeout_s=190
    )


@pytest.fixture(scope="session")
def digits_input(tmp_path_factory):
    """Write the held-out digits with their labels."""
    return scenario.write_digits_input(tmp_path_factory.mktemp("input") / "digits.npz")
