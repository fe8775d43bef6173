"""An operator that is installed for some namespaces has no rights in the others, and needs none."""

import json

import pytest
import yaml

from hack.manifests import render_chart
from tests.integration.controlplane import ControlPlane
from tests.integration.operator_process import (
    NAMESPACE,
    PERMISSIONS,
    POLICIES,
    ROOT,
    Operator,
    now,
    wait_for,
)
from tests.integration.operators import SERVING, Objects, await_served

pytestmark = pytest.mark.integration

SAMPLES = yaml.safe_load_all((ROOT / "manifests" / "samples" / "pipeline.yaml").read_text())
[PIPELINE] = [each for each in SAMPLES if each["kind"] == "InferencePipeline"]


@pytest.fixture(scope="module")
def plane():
    with ControlPlane.start() as plane:
        plane.kubectl("apply", "--server-side", "-f", ROOT / "crds")
        plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", ROOT / "crds")
        for namespace in (NAMESPACE, "team-a", "team-b"):
            plane.kubectl("create", "namespace", namespace)
        installed = render_chart("--set", "namespaces={team-a}")
        granted = [d for d in installed if d["kind"] in PERMISSIONS | POLICIES]
        plane.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(granted))
        yield plane


def may(plane, verb, kind, namespace):
    account = f"--as=system:serviceaccount:{NAMESPACE}:ferryman-operator"
    try:
        said = plane.kubectl("auth", "can-i", verb, kind, "-n", namespace, account)
    except RuntimeError:  # kubectl says no by its status
        return False
    return said.strip() == "yes"


@pytest.mark.parametrize("kind", ["secrets", "deployments.apps", "pods", "services", "configmaps"])
def test_there_are_rights_in_the_named_namespaces_alone(plane, kind):
    assert may(plane, "patch", kind, "team-a")
    assert not may(plane, "patch", kind, "team-b")
    assert not may(plane, "list", kind, "team-b")


def operator_for_team_a(plane, folder, *arguments):
    token = plane.kubectl("create", "token", "ferryman-operator", "-n", NAMESPACE).strip()
    kubeconfig = plane.kubeconfig_for(token, "operator")
    return Operator(kubeconfig, folder / "operator.log", "--namespaced=team-a", *arguments)


def looked_at(objects):
    """Return what is said of the sample of a pipeline, which is written where there is none."""
    name = PIPELINE["metadata"]["name"]
    found = objects.get("inferencepipeline", name, "team-a")
    if found is None:
        objects.apply({**PIPELINE, "metadata": {"name": name, "namespace": "team-a"}})
        return None
    return found.get("status", {}).get("conditions")


def test_its_models_are_served_with_these_rights(plane, tmp_path):
    objects = Objects(plane)
    objects.node("node-1")
    objects.profile("node-1", "cpu-small")
    objects.runtime()
    operator = operator_for_team_a(plane, tmp_path)
    try:
        operator.start()
        objects.model("mine", "team-a")
        objects.model("theirs", "team-b")
        await_served(objects, "mine", "team-a")
        there = {kind for kind in SERVING if objects.get(kind, "mine-triton", "team-a")}
        assert there == set(SERVING)
        wait_for("an event", lambda: objects.list("events", "team-a"))
        wait_for("its pipeline is looked at, too", lambda: looked_at(objects))
        assert objects.served("theirs", "team-b") is None
        forbidden = [line for line in operator.lines() if "forbidden" in json.dumps(line)]
        assert not forbidden
    finally:
        operator.close()


def test_a_benchmark_that_ended_is_told_of_and_its_job_removed(plane, tmp_path):
    """In the operator's own namespace, where it has rights by a Role."""
    objects = Objects(plane)
    objects.node("node-1")
    objects.profile("node-1", "cpu-small", images_per_second=0)
    objects.runtime("measuring", benchmark=True)
    operator = operator_for_team_a(plane, tmp_path, "--image=ferryman.dev/ferryman:test")
    try:
        operator.start()
        [job] = wait_for("a Job", lambda: objects.list("jobs", NAMESPACE), 60)
        end(plane, job["metadata"]["name"])

        def told():
            status = objects.get("nodeprofile", "node-1")["status"]
            return [each for each in status.get("benchmarks", ()) if "error" in each]

        [table] = wait_for("the profile tells of it", told, 60)
        assert (table["runtime"], table["nodeType"]) == ("measuring", "cpu-small")
        name = job["metadata"]["name"]
        wait_for("the Job is gone", lambda: objects.get("job", name, NAMESPACE) is None, 60)
    finally:
        operator.close()
        objects.delete("inferenceruntime", "measuring")


def end(plane, job):
    """Have a Job failed, as its controller would say."""
    begun = {"startTime": now(), "uncountedTerminatedPods": {}}
    for kind in ("FailureTarget", "Failed"):
        conditions = [
            {"type": each, "status": "True", "reason": "DeadlineExceeded", "message": "too long"}
            for each in ("FailureTarget", "Failed")[: 1 if kind == "FailureTarget" else 2]
        ]
        patch = json.dumps({"status": {**begun, "conditions": conditions}})
        how = ("--subresource=status", "--type=merge", f"-p={patch}")
        plane.kubectl("patch", "job", job, "-n", NAMESPACE, *how)
