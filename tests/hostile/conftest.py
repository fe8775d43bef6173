"""A hostile tenant beside another one, on a real API server with the operator as a process."""

import pytest
import yaml

from tests.hostile.tenants import Tenants

# The same fixtures on another control plane.
from tests.integration.conftest import cluster, fresh, new_operator, objects  # noqa: F401
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import ROOT, install, wait_for
from tests.integration.operators import Objects

MODELS_CRD = ROOT / "crds" / "serving.ferryman.dev_inferencemodels.yaml"


def _as_before(crd):
    """Return the definition as it was when nothing bounded an overlay."""
    for version in crd["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        model = spec["properties"]["model"]["properties"]
        free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        model["config"] = free
        model["variants"]["items"]["properties"]["config"] = free
    return crd


@pytest.fixture(scope="module")
def plane(request):
    """Yield a control plane; with ``controllers`` in the module, Deployments have pods."""
    controllers = getattr(request.module, "CONTROLLERS", False)
    with ControlPlane.start(controllers=controllers) as plane:
        install(plane)
        yield plane


@pytest.fixture
def without_bounds(plane):
    """Let objects in that stand in etcd from before overlays were bounded."""
    crd = _as_before(yaml.safe_load(MODELS_CRD.read_text()))
    plane.kubectl("replace", "-f", "-", stdin=yaml.safe_dump(crd))
    yield
    plane.kubectl("replace", "-f", MODELS_CRD)


@pytest.fixture
def tenants(plane, objects, fresh):  # noqa: F811
    """Yield the two tenants, each with an empty namespace; what they wrote goes afterwards."""
    found = Tenants(plane, Objects(plane))
    yield found
    found.leave()


@pytest.fixture
def operator(new_operator):  # noqa: F811
    """Yield an operator that runs from before the test."""
    found = new_operator().start()
    yield found
    found.close()


@pytest.fixture
def reconciled(tenants):
    """Return a function that fails unless the other tenant's model is reconciled within 10 s."""

    def check(name="theirs"):
        tenants.others_model(name)
        wait_for(
            "the other tenant's model is reconciled",
            lambda: tenants.objects.condition(name, "Placed", tenants.other),
            10,
        )

    return check
