"""A pipeline with a real API server, the shipped permissions, and a real tritonserver.

Only the kubelet is missing (``pipeline_parts``).
"""

import os
import signal

import pytest
import tritonclient.grpc as triton

from ferryman.cli import main
from tests.integration.operators import wait_for
from tests.integration.pipeline_parts import (
    ADDRESS,
    NAME,
    Kubelet,
    Load,
    condition,
    create,
    delete,
    specification,
    status,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture
def pipeline(objects, fresh, operator):
    """Yield what is rendered of a pipeline on a runtime that serves Python models."""
    yield create(objects, specification())
    delete(objects)


def test_the_slow_step_gets_workers_under_load_and_no_request_fails(
    objects, pipeline, tmp_path, monkeypatch, capsys
):
    kubelet = Kubelet(objects, tmp_path)
    kubelet.lay_out(pipeline)
    assert kubelet.project()["chain.pbtxt"] == "", "nothing is known of the outputs yet"
    with kubelet.run(pipeline) as server:
        kubelet.pod(pipeline, ready=False)
        wait_for(
            "the ensemble is loaded", lambda: condition(objects, "ModelLoaded")[0] == "True", 60
        )
        assert 'platform: "ensemble"' in kubelet.project()["chain.pbtxt"]
        kubelet.pod(pipeline, ready=True)
        wait_for("it is ready", lambda: condition(objects, "Ready") == ("True", "Serving"), 60)

        with Load() as load:
            wait_for(
                "the objectives are met",
                lambda: (
                    condition(objects, "ObjectivesMet")[0] == "True"
                    and status(objects)["observed"]["requestsPerSecond"] > 80
                ),
                120,
            )
        found = status(objects)
        assert (load.failed, load.words) == (0, "")
        assert load.answered > 500
        workers = {each["name"]: each["instances"]["observed"] for each in found["steps"]}
        assert workers["detect"] >= 3, workers
        assert workers["detect"] > max(workers["prepare"], workers["read"]), workers
        assert {each["outcome"] for each in found["balancing"]["changes"]} == {"Applied"}
        detect = next(each for each in found["steps"] if each["name"] == "detect")
        assert detect["serviceTimeMilliseconds"] == pytest.approx(30, rel=0.3)
        assert detect["rowsPerRequest"] == pytest.approx(1, abs=0.1)

        objects.plane.make_default(monkeypatch)
        assert main.main(["explain", "chain", "--pipeline", "--namespace=default"]) == 0
        told = capsys.readouterr().out
        assert "OneServerFits" in told
        steps = told[told.index("Steps") :].splitlines()
        assert any("detect" in line for line in steps[1:])

        # A container that restarts comes up with the ensemble by itself, as it is in the ConfigMap.
        kubelet.project()
        os.kill(server.pid, signal.SIGKILL)
        # Of a node whose pods are silent the operator asks whether its kubelet is alive.
        log = objects.plane.folder / "audit.log"
        lease = "/namespaces/kube-node-lease/leases/node-2"
        wait_for("its node is looked at", lambda: lease in log.read_text(), 30)
        server.restart()
        with triton.InferenceServerClient(f"{ADDRESS}:8001") as client:
            assert client.is_model_ready("chain")


def variant(name, accuracy, speedup):
    speeds = [{"processor": "cpu", "speedup": speedup}]
    files = {"storageUri": f"pvc://weights/{name}"}
    return {"name": name, **files, "accuracy": accuracy, "speeds": speeds}


def test_a_variant_below_the_floor_is_refused_with_the_reason_while_another_serves(
    objects, pipeline
):
    wanted = specification() | {"accuracyFloor": "0.95"}
    wanted["steps"][1]["variants"] = [
        variant("int8", "0.889", "2.2"),
        variant("half", "0.999", "1.3"),
        variant("pruned", "0.99", "0.98"),
    ]
    change(objects, wanted)
    wait_for("weights are chosen", lambda: weights(objects).get("name") == "half")
    assert {each["name"]: each["reason"] for each in weights(objects)["refused"]} == {
        "int8": "BelowAccuracyFloor",
        "pruned": "NotFaster",
    }
    assert mounted(objects) == {"steps/prepare", "weights/half", "steps/read"}

    change(objects, wanted | {"accuracyFloor": "0.8"})
    wait_for("the quickest serves", lambda: weights(objects).get("name") == "int8")
    wait_for("pods get it", lambda: "weights/int8" in mounted(objects))


def change(objects, spec):
    """Apply another specification."""
    now = objects.get("inferencepipeline", "chain", "default")
    header = {key: now[key] for key in ("apiVersion", "kind")}
    identity = {"name": "chain", "namespace": "default"}
    objects.apply({**header, "metadata": identity, "spec": spec})


def weights(objects):
    """Return what is said of the weights of the middle step."""
    found = {each["name"]: each for each in status(objects).get("steps", ())}
    return found.get("detect", {}).get("variant", {})


def mounted(objects):
    """Return the claims and folders from which the pods' models come."""
    spec = objects.get("deployment", NAME, "default")["spec"]["template"]["spec"]
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in spec["volumes"]
        if "persistentVolumeClaim" in each
    }
    containers = (*spec["initContainers"], *spec["containers"])
    return {
        f"{claims[mount['name']]}/{mount.get('subPath', '')}"
        for container in containers
        for mount in container["volumeMounts"]
        if mount["name"] in claims
    }
