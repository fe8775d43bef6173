"""Uninstalling leaves what serves alone; installing with plain kubectl takes over again."""

import pytest

from hack import installation
from hack.manifests import ROOT, load_all
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_models_keep_serving_without_the_operator_and_a_kustomize_installation_takes_over(
    ferryman, namespace
):
    if not ferryman.kind:
        pytest.skip("the dev overlay's images exist on the kind cluster alone")
    installation.apply(ferryman, models.model("lasting", batching=models.fixed(8)))
    before = models.wait_ready(ferryman, "lasting")
    installation.uninstall(ferryman)

    assert _ready_pods(ferryman) == 1
    assert models.get(ferryman, "lasting")["metadata"]["uid"] == before["metadata"]["uid"]

    ferryman.kubectl("apply", "-k", str(ROOT / "manifests" / "overlays" / "dev"), timeout_s=120)
    where = "--namespace=ferryman-system"
    ferryman.kubectl("rollout", "status", "deploy/ferryman-operator", where, timeout_s=120)
    installation.apply(ferryman, models.model("lasting", batching=models.fixed(16)))

    models.wait_applied(ferryman, "lasting", 16)
    assert _ready_pods(ferryman) == 1


def test_installing_with_helm_again_works(ferryman, namespace):
    if not ferryman.kind:
        pytest.skip("the dev overlay's images exist on the kind cluster alone")
    overlay = str(ROOT / "manifests" / "overlays" / "dev")
    rendered = ferryman.kubectl("kustomize", overlay)
    kept = ("CustomResourceDefinition", "Namespace")
    objects = [item for item in load_all(rendered) if item["kind"] not in kept]
    installation.delete(ferryman, *objects)
    installation.install(ferryman)
    installation.apply(ferryman, models.model("lasting", batching=models.fixed(4)))

    models.wait_applied(ferryman, "lasting", 4)


def _ready_pods(ferryman) -> int:
    found = models.pods(ferryman, "lasting")
    return sum(pod["status"]["containerStatuses"][0]["ready"] for pod in found)
