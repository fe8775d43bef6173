import asyncio

import pytest

from ferryman.clients.kubernetes import KubernetesApi
from ferryman.clients.kubernetes_errors import TemporaryError
from ferryman.handlers.audit import CONFIRM_AFTER_S, PERIOD_S, wait_for_stale_objects
from ferryman.handlers.watch import OURS, WATCHED
from tests import factories
from tests.fakes import FakeKubernetes, node_object, run_virtually, seconds, wire

#: Kinds that others use as well: only objects with our label are watched, and kept.
SHARED = {
    "deployments",
    "pods",
    "services",
    "configmaps",
    "networkpolicies",
    "poddisruptionbudgets",
}


class Listing(FakeKubernetes):
    """An API server that notes with which labels it was asked for which kind."""

    def __init__(self):
        super().__init__()
        self.asked = {}
        self.namespaces = {}

    async def list_uids(self, group, version, plural, selector="", namespaces=()):
        """Answer as ever."""
        self.asked[plural] = selector
        self.namespaces[plural] = namespaces
        return await super().list_uids(group, version, plural)


def compare(script, for_s=PERIOD_S * 3, namespaces=()):
    """Compare while a script changes the cluster; return (stale ones, second), or None."""

    async def main():
        api = Listing()
        api.put("nodes", node_object())
        api.put("models", wire(factories.model()))
        script(api)
        try:
            async with asyncio.timeout(for_s):
                return await wait_for_stale_objects(api, api.indices, namespaces), seconds()
        except TimeoutError:
            return None

    return run_virtually(main())


def vanish(api):
    """Delete the Node without telling the watches."""
    del api.objects["nodes", "", "node-1"]


def test_a_deletion_that_no_watch_told_of_is_found():
    assert compare(vanish) == ({("nodes", "uid-node-1")}, PERIOD_S + CONFIRM_AFTER_S)


@pytest.mark.parametrize("index", WATCHED)
def test_it_is_found_of_every_kind(index):
    def script(api):
        body = {"metadata": {"name": "gone", "namespace": "", "uid": "uid-gone"}}
        api.indices[index]["gone"] = [body]

    stale, _ = compare(script)
    assert stale == {(index, "uid-gone")}


def test_of_kinds_that_others_use_as_well_only_our_objects_are_listed():
    asked = {}

    def script(api):
        api.asked = asked

    compare(script)
    expected = {
        watched.plural: OURS if index in SHARED else "" for index, watched in WATCHED.items()
    }
    assert asked == expected


def test_an_operator_for_some_namespaces_lists_these_alone():
    asked = {}

    def script(api):
        api.namespaces = asked

    compare(script, namespaces=("a", "b"))
    everywhere = {plural for plural, namespaces in asked.items() if not namespaces}
    assert everywhere == {"inferenceruntimes", "nodeprofiles", "nodes"}
    assert {namespaces for namespaces in asked.values() if namespaces} == {("a", "b")}


def test_where_indices_and_cluster_agree_there_are_no_stale_objects():
    assert compare(lambda _api: None) is None


def test_a_deletion_that_is_on_its_way_is_not_stale():
    def script(api):
        asyncio.get_running_loop().call_later(PERIOD_S - 1, vanish, api)
        asyncio.get_running_loop().call_later(PERIOD_S + 1, api.indices["nodes"].clear)

    assert compare(script) is None


def test_while_the_api_server_is_gone_nothing_is_concluded():
    def script(api):
        vanish(api)
        api.fail_next = [TemporaryError("down")]

    assert compare(script)[1] == 2 * PERIOD_S + CONFIRM_AFTER_S


class Pages:
    """A transport to an API server that has two pages of objects."""

    def __init__(self):
        self.requests = []

    async def send(self, request):
        """Answer with the page that is asked for."""
        self.requests.append(request)
        uid, more = ("a", "next") if dict(request.query)["continue"] == "" else ("b", "")
        return {"metadata": {"continue": more}, "items": [{"metadata": {"uid": uid}}]}


def test_of_namespaces_what_there_is_is_listed_one_after_the_other():
    transport = Pages()
    api = KubernetesApi(transport)
    found = asyncio.run(api.list_uids("", "v1", "pods", OURS, ("team-a", "team-b")))
    assert found == {"a", "b"}
    paths = [request.path for request in transport.requests]
    assert paths[::2] == ["/api/v1/namespaces/team-a/pods", "/api/v1/namespaces/team-b/pods"]


def test_what_there_is_is_listed_by_pages_and_without_specifications():
    transport = Pages()
    found = asyncio.run(KubernetesApi(transport).list_uids("apps", "v1", "deployments", OURS))
    assert found == {"a", "b"}
    assert [request.path for request in transport.requests] == ["/apis/apps/v1/deployments"] * 2
    assert {dict(request.query)["labelSelector"] for request in transport.requests} == {OURS}
    assert all("PartialObjectMetadataList" in request.accept for request in transport.requests)
