"""After `helm install`: operator and agents run, every node type is known and measured."""

import json

import pytest

from ferryman.cli import main
from hack import installation

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]


def test_every_worker_has_a_profile_of_its_own_processors(ferryman):
    listed = installation.get(ferryman, "nodeprofiles")["items"]
    profiles = {item["metadata"]["name"]: item for item in listed}

    for node in ferryman.nodes:
        status = profiles[node]["status"]
        owner = profiles[node]["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"]) == ("Node", node)
        assert 0 <= _cpu(profiles[node])["utilisation"] <= 1
        labels = installation.get(ferryman, "node", node)["metadata"]["labels"]
        assert labels["serving.ferryman.dev/node-type"] == status["nodeType"]


def _cpu(profile):
    return next(entry for entry in profile["status"]["processors"] if entry["class"] == "cpu")


def test_the_slowed_node_measures_slower(ferryman):
    if ferryman.slow_node is None:
        pytest.skip("the nodes of a given context may be alike")
    peaks = installation.benchmarked_nodes(ferryman)
    slow = peaks.pop(ferryman.slow_node)

    assert slow < 0.75 * min(peaks.values()), peaks


def test_unlike_nodes_are_two_node_types(ferryman):
    if ferryman.slow_node is None:
        pytest.skip("the nodes of a given context may be alike")
    profiles = installation.get(ferryman, "nodeprofiles")["items"]

    assert len({profile["status"]["nodeType"] for profile in profiles}) == 2


def test_operator_and_agents_run_unprivileged(ferryman):
    pods = installation.get(ferryman, "pods", namespace="ferryman-system")["items"]
    running = [pod for pod in pods if pod["status"]["phase"] == "Running"]

    assert len(running) >= 1 + len(ferryman.nodes)
    for pod in running:
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["capabilities"]["drop"] == ["ALL"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_doctor_finds_nothing_but_the_published_faults_of_the_light_runtime(
    ferryman, monkeypatch, capsys
):
    if not ferryman.kind:
        pytest.skip("what is wrong with a given cluster is not known")
    monkeypatch.setenv("KUBECONFIG", str(ferryman.kubeconfig))
    main.main(["doctor", "-o", "json"])
    found = json.loads(capsys.readouterr().out)

    assert len(found) > 20
    wrong = [each for each in found if each["verdict"] != "ok"]
    assert [each["check"] for each in wrong] == ["advisories"], wrong
