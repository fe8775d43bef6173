import pytest

from ferryman.api.node_profile import NodeProfile
from ferryman.api.resources import model_key
from ferryman.core.placement.prices import NO_PRICES
from ferryman.handlers.cache import Cache
from ferryman.handlers.gather import Nodes
from ferryman.handlers.reservations import Reservations
from tests import factories
from tests.fakes import FakeKubernetes, node_object, pod_object, wire


@pytest.fixture
def api():
    return FakeKubernetes()


@pytest.fixture
def cache(api):
    """Return a cache that is told of deletions as in a session."""
    cache = Cache(api.indices)

    def on_event(index, body, deleted):
        cache.note_event(index)
        if deleted:
            cache.forget(index, body)

    api.on_event = on_event
    return cache


def join(api, cache, name):
    """Let a node join that carries something, and compare the nodes."""
    api.put("nodes", node_object(name))
    body = wire(factories.profile(name))
    body["metadata"]["uid"] = f"uid-profile-{name}"
    api.put("profiles", body)
    reservations = Reservations()
    reservations.update(
        model_key("default", "m"), [pod_object("p", node=name, requests={"cpu": "500m"})]
    )
    views = Nodes(cache, reservations, NO_PRICES).views((), 0.0)
    return {view.name: view for view in views}


def leave(api, name):
    api.drop("nodes", name)
    api.drop("profiles", name)


def test_nothing_is_kept_of_nodes_that_come_and_go(api, cache):
    join(api, cache, "stays")
    before = len(cache._made), len(cache._parsed)
    for turn in range(5):
        name = f"autoscaled-{turn}"
        assert join(api, cache, name)[name].reserved_cpu_millicores == 500
        leave(api, name)
    assert (len(cache._made), len(cache._parsed)) == before


def test_what_is_made_of_the_other_nodes_stays(api, cache):
    join(api, cache, "a-1")
    view = join(api, cache, "1")["a-1"]
    leave(api, "1")
    assert Nodes(cache, Reservations(), NO_PRICES).views((), 0.0)[0] is view


def test_the_deletion_of_other_kinds_costs_nothing(api, cache):
    api.put("profiles", wire(factories.profile()))
    profile = cache.profile("node-1")
    parsed = cache.parse(NodeProfile, profile)
    pod = pod_object("node-1")
    api.put("pods", {**pod, "metadata": {**pod["metadata"], "uid": profile["metadata"]["uid"]}})
    api.drop("pods", "node-1", "default")
    assert cache.parse(NodeProfile, profile) is parsed


def test_a_session_forgets_a_node_that_is_deleted(cluster, play, monkeypatch):
    gone = []
    monkeypatch.setattr(Cache, "forget", lambda _self, index, _body: gone.append(index))

    async def script(cluster):
        cluster.node()
        await cluster.settle()
        cluster.api.drop("nodes", "node-1")

    play(script)
    assert gone == ["nodes"]
