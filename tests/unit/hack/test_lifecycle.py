"""Which clusters `up` makes, keeps, and leaves alone."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from hack.cluster import __main__ as command
from hack.cluster import lifecycle
from hack.cluster.shell import ClusterError

THREE = ["ferryman-control-plane", "ferryman-worker", "ferryman-worker2"]


@dataclass
class _Kind:
    """A cluster of so many containers, and what is done to it."""

    nodes: list[str]
    healthy: bool
    done: list[str] = field(default_factory=list)
    engine: object = field(default_factory=lambda: SimpleNamespace(docker_host="unix:///x"))

    def recovers(self):
        return self.healthy

    def containers(self):
        return self.nodes

    def create(self, _progress):
        self.done.append("create")

    def repair(self):
        self.done.append("repair")

    def verify_services(self):
        self.done.append("verify")


@pytest.fixture
def found(monkeypatch, tmp_path):
    """Let `up` find a cluster."""
    monkeypatch.setenv("FERRYMAN_CACHE", str(tmp_path))
    monkeypatch.delenv("CONTEXT", raising=False)

    def find(nodes, *, healthy):
        cluster = _Kind(nodes, healthy)
        monkeypatch.setattr(lifecycle, "_kind", lambda _progress: cluster)
        return cluster

    return find


@pytest.mark.parametrize(
    ("nodes", "healthy", "replace", "done"),
    [
        pytest.param([], False, False, ["create", "verify"], id="none is there: it is made"),
        pytest.param(THREE, True, False, ["repair", "verify"], id="a healthy one is kept"),
        pytest.param(THREE, True, True, ["repair", "verify"], id="also where one may replace it"),
        pytest.param(
            THREE, False, True, ["create", "verify"], id="told to, it replaces an ill one"
        ),
    ],
)
def test_up_makes_or_keeps(found, nodes, healthy, replace, done):
    cluster = found(nodes, healthy=healthy)
    lifecycle.ensure_up(progress=lambda _: None, replace=replace)
    assert cluster.done == done


@pytest.mark.parametrize("nodes", [THREE, THREE[:1]], ids=["all nodes", "what is left of one"])
def test_an_ill_one_is_left_as_it_is_unless_told(found, nodes):
    cluster = found(nodes, healthy=False)
    with pytest.raises(ClusterError, match=r"ferryman-control-plane.*left as it is.*up --replace"):
        lifecycle.ensure_up(progress=lambda _: None)
    assert cluster.done == []


def test_the_command_says_so_in_one_sentence_and_takes_the_flag(found, monkeypatch, capsys):
    cluster = found(THREE, healthy=False)
    assert command.main(["up"]) == 1
    assert capsys.readouterr().err.count("error: The cluster ferryman is there") == 1
    assert cluster.done == []
    monkeypatch.setattr(lifecycle.Cluster, "how_to_use", lambda _: "up")
    assert command.main(["up", "--replace"]) == 0
    assert cluster.done == ["create", "verify"]
