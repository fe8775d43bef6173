"""A model is placed, served, told of, scaled and removed."""

import json
import time

import pytest

from hack import installation
from hack.load_job import LoadJob, LoadSpec
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


#: As OpenShift assigns it to a namespace: no image has such a user.
ASSIGNED_USER = 1_000_650_000
SETTINGS = {
    "labels": {"team": "e2e"},
    "annotations": {"sidecar.istio.io/inject": "false"},
    "priorityClassName": "system-cluster-critical",
    "securityContext": {"runAsUser": ASSIGNED_USER, "runAsGroup": 0, "fsGroup": ASSIGNED_USER},
    "env": [{"name": "OMP_NUM_THREADS", "value": "$(HOME)"}],
}


@pytest.fixture(scope="module")
def served(ferryman, namespace):
    wanted = models.model("digits", batching=models.fixed(8), pod=SETTINGS)
    installation.apply(ferryman, wanted)
    return models.wait_ready(ferryman, "digits")


def test_the_model_goes_to_the_faster_node_and_says_why(ferryman, served):
    placement = served["status"]["placement"]
    peaks = installation.benchmarked_nodes(ferryman)
    candidates = [entry for entry in placement["candidates"] if "workload" in entry]

    assert placement["preferredNode"] == max(peaks, key=lambda node: peaks[node])
    assert len(candidates) == len({entry["nodeType"] for entry in candidates}) >= 2
    chosen = next(entry for entry in candidates if entry["chosen"])
    assert chosen["workload"] == min(entry["workload"] for entry in candidates)
    for entry in candidates:
        assert entry["workload"] == pytest.approx(
            entry["benchmark"] + entry["memory"] + entry["utilisation"], abs=0.02
        )
    pods = models.pods(ferryman, "digits")
    assert {pod["spec"]["nodeName"] for pod in pods} == {placement["preferredNode"]}


def test_its_answers_are_right(ferryman, served, digits_input):
    spec = LoadSpec("digits", models.NAMESPACE, rate_per_s=50, duration_s=10, inputs=digits_input)
    job = LoadJob(ferryman, spec, "load-answers")
    job.start()
    summary = job.wait()

    assert (summary["failed"], summary["sent"] >= 400) == (0, True)
    assert summary["accuracy"] >= 0.95
    job.delete()


def test_kubectl_tells_its_story(ferryman, served):
    where = f"--namespace={models.NAMESPACE}"
    header, line = ferryman.kubectl("get", "imodel", "-o", "wide", where).splitlines()
    story = ferryman.kubectl("describe", "imodel", "digits", where)

    for column in ("READY", "NODE TYPE", "BATCH", "LATENCY", "TARGET", "MET", "AGE"):
        assert column in header
    assert served["status"]["placement"]["nodeType"] in line
    assert "True" in line
    for word in ("Candidates", "Workload", "Placed", "ModelLoaded", "ObjectivesMet", "Events"):
        assert word in story, story


def test_everything_it_runs_is_owned_and_locked_down(ferryman, served):
    kinds = "deployment,service,configmap,secret,networkpolicy,poddisruptionbudget"
    where = f"--namespace={models.NAMESPACE}"
    objects = json.loads(
        ferryman.kubectl(
            "get", kinds, where, "-l", "app.kubernetes.io/managed-by=ferryman", "-o", "json"
        )
    )["items"]

    assert {item["kind"] for item in objects} == {
        "Deployment",
        "Service",
        "ConfigMap",
        "Secret",
        "NetworkPolicy",
        "PodDisruptionBudget",
    }
    for item in objects:
        owner = item["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == (
            "InferenceModel",
            "digits",
            True,
        )
    deployment = next(item for item in objects if item["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_its_pod_has_what_its_owner_adds_and_serves_under_any_user(ferryman, served):
    (pod,) = models.pods(ferryman, "digits")
    (triton,) = pod["spec"]["containers"]
    where = f"--namespace={models.NAMESPACE}"
    exec_in = ("exec", pod["metadata"]["name"], where, "--container=triton", "--")
    user = ferryman.kubectl(*exec_in, "id", "-u")
    variable = ferryman.kubectl(*exec_in, "sh", "-c", 'printf %s "$OMP_NUM_THREADS"')

    assert pod["metadata"]["labels"]["team"] == "e2e"
    assert pod["metadata"]["annotations"]["sidecar.istio.io/inject"] == "false"
    assert pod["spec"]["priorityClassName"] == "system-cluster-critical"
    assert triton["securityContext"]["readOnlyRootFilesystem"] is True
    assert int(user) == ASSIGNED_USER
    assert variable == "$(HOME)", "values are literal"


def test_an_idle_model_causes_no_writes(ferryman, served):
    def versions():
        where = f"--namespace={models.NAMESPACE}"
        listed = ferryman.kubectl("get", "imodel,deploy,svc,cm,netpol", where, "-o", "json")
        return {
            (item["kind"], item["metadata"]["name"]): item["metadata"]["resourceVersion"]
            for item in json.loads(listed)["items"]
        }

    time.sleep(10)
    before = versions()
    time.sleep(20)

    assert versions() == before


def test_deleting_it_removes_everything(ferryman, served):
    where = f"--namespace={models.NAMESPACE}"
    ferryman.kubectl("delete", "imodel", "digits", where)
    kinds = "deployment,service,secret,networkpolicy,pod"
    selector = "--selector=app.kubernetes.io/managed-by=ferryman"
    installation.wait_for(
        "the end of all it ran",
        lambda: not ferryman.kubectl("get", kinds, where, selector, "-o", "name"),
        timeout_s=120,
    )
