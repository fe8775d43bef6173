import json

import pytest

from ferryman.clients.cluster import ClusterError, KubernetesCluster, Node, profile_body

BODY = {
    "metadata": {"name": "worker", "uid": "u-1", "labels": {"zone": "a"}},
    "status": {
        "allocatable": {"cpu": "1930m", "memory": "15Gi"},
        "nodeInfo": {"architecture": "arm64"},
    },
}

#: Nobody listens on the discard port.
KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "gone", "cluster": {"server": "http://127.0.0.1:9"}}],
    "users": [{"name": "nobody", "user": {"token": "x"}}],
    "contexts": [{"name": "gone", "context": {"cluster": "gone", "user": "nobody"}}],
    "current-context": "gone",
}


def test_a_node_is_read_with_what_it_can_allocate():
    assert Node.from_body(BODY) == Node("worker", "u-1", "arm64", 1_930, 15 * 2**30, {"zone": "a"})


@pytest.mark.parametrize("allocatable", [{}, {"cpu": "two", "memory": "1Gi"}])
def test_a_node_without_allocatable_resources_is_refused(allocatable):
    with pytest.raises((KeyError, ValueError)):
        Node.from_body({**BODY, "status": {"allocatable": allocatable}})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({}, id="nothing"),
        pytest.param(None, id="null"),
        pytest.param({**BODY, "status": None}, id="no status"),
        pytest.param({**BODY, "status": {"allocatable": None}}, id="null allocatable"),
        pytest.param(
            {**BODY, "status": {"allocatable": {"cpu": 1.5, "memory": []}}}, id="no words"
        ),
        pytest.param({**BODY, "metadata": ["worker"]}, id="a list of metadata"),
    ],
)
def test_a_node_object_of_any_shape_is_refused_by_the_same_errors(body):
    with pytest.raises((KeyError, ValueError)):
        Node.from_body(body)


def test_what_a_node_does_not_say_of_itself_is_unknown_or_empty():
    sparse = {
        "metadata": {"name": "worker", "uid": "u-1", "labels": None},
        "status": {"allocatable": {"cpu": 2, "memory": "1Gi"}, "nodeInfo": None},
    }
    assert Node.from_body(sparse) == Node("worker", "u-1", "unknown", 2_000, 2**30)


def test_the_profile_is_named_like_the_node_and_deleted_with_it():
    body = profile_body(Node.from_body(BODY))
    assert body["metadata"] == {
        "name": "worker",
        "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "worker", "uid": "u-1"}],
    }
    assert "status" not in body


def test_outside_a_pod_and_without_a_kubeconfig_it_says_so(monkeypatch):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ClusterError, match="no credentials for the API server"):
        KubernetesCluster()


def test_a_server_that_is_gone_is_an_error_to_try_again(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps(KUBECONFIG))
    with pytest.raises(ClusterError, match=r"GET /api/v1/nodes/worker: .*Connection"):
        KubernetesCluster(str(kubeconfig)).node("worker")
