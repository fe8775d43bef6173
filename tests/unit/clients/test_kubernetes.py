import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager
from urllib.parse import unquote

import pytest
from aiohttp import web
from kubernetes_asyncio.client import Configuration

from ferryman.clients.kubernetes import KubernetesApi, ObjectReference
from ferryman.clients.kubernetes_errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    NotOwnedError,
    PermanentError,
    TemporaryError,
)
from ferryman.clients.kubernetes_transport import Transport
from ferryman.clients.leases import Leases

MODEL = ObjectReference("serving.ferryman.dev/v1alpha1", "InferenceModel", "team", "m", "u-1")
CONFIG_MAP = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "m-triton", "namespace": "team"},
}


class Server:
    """An API server on loopback that answers as it is told and notes what it is asked."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []

    async def handle(self, request):
        """Answer with the next (status, body[, headers]); the last one stands for all others."""
        text = await request.text()
        self.requests.append((request.method, request.path_qs, request.content_type, text))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        status, body, headers = (*answer, {})[:3]
        return web.json_response(body, status=status, headers=headers)


def talk(server, script, **options):
    """Run a script with a client of the server; return its result and the counted writes."""
    writes = []

    @asynccontextmanager
    async def listening():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", server.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield runner.addresses[0][1]
        finally:
            await runner.cleanup()

    async def main():
        async with listening() as port:
            configuration = Configuration(host=f"http://127.0.0.1:{port}")
            options.setdefault("backoff_s", (0.001,) * 4)
            transport = Transport(
                configuration, on_write=lambda *write: writes.append(write), **options
            )
            async with transport:
                return await script(KubernetesApi(transport))

    return asyncio.run(main()), writes


OK = (200, {"metadata": {"resourceVersion": "1"}})
OWNED_SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {
        "name": "m-triton",
        "namespace": "team",
        "labels": {"a": "b"},
        "ownerReferences": [{"apiVersion": "g/v1", "kind": "K", "name": "m", "uid": "u-1"}],
    },
    "data": {"key": "a2V5"},
}


def refusal(status, message="no"):
    return status, {"kind": "Status", "message": message}


def test_an_apply_is_server_side_with_our_field_manager_and_is_counted():
    server = Server(OK)
    _, writes = talk(server, lambda api: api.apply(CONFIG_MAP))
    method, path, content_type, body = server.requests[0]
    assert (method, content_type) == ("PATCH", "application/apply-patch+yaml")
    assert path == ("/api/v1/namespaces/team/configmaps/m-triton?fieldManager=ferryman&force=true")
    assert json.loads(body) == CONFIG_MAP
    assert writes == [("apply", "ConfigMap")]


@pytest.mark.parametrize(
    "items",
    [
        pytest.param([], id="it is not there"),
        pytest.param([{"metadata": {"name": "m-triton"}}], id="it is"),
    ],
)
def test_an_object_is_looked_for_by_its_name_in_a_list_of_metadata(items):
    server = Server((200, {"items": items}))
    found, writes = talk(server, lambda api: api.find(CONFIG_MAP))
    method, path, _, _ = server.requests[0]
    assert method == "GET"
    path = unquote(path)
    assert path == "/api/v1/namespaces/team/configmaps?fieldSelector=metadata.name=m-triton"
    assert (found, writes) == (items[0] if items else None, [])


def test_a_status_is_applied_as_a_whole_to_this_very_object():
    server = Server(OK)
    talk(server, lambda api: api.apply_status(MODEL, {"observedGeneration": 1}))
    _, path, content_type, body = server.requests[0]
    assert path.startswith(
        "/apis/serving.ferryman.dev/v1alpha1/namespaces/team/inferencemodels/m/status?"
    )
    assert content_type == "application/apply-patch+yaml"
    assert json.loads(body)["metadata"]["uid"] == "u-1", "not to a namesake"


def test_a_label_is_applied_to_this_very_node_and_cannot_create_one():
    server = Server(OK)
    talk(server, lambda api: api.label_node("n", "uid-n", {"a": "b"}))
    assert json.loads(server.requests[0][3])["metadata"] == {
        "name": "n",
        "uid": "uid-n",
        "labels": {"a": "b"},
    }


def test_a_nodes_lease_is_asked_for_once():
    server = Server((200, {"spec": {"renewTime": "now"}}))
    found, writes = talk(server, lambda api: api.node_lease("n"))
    method, path, _, _ = server.requests[0]
    assert (method, path) == (
        "GET",
        "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n",
    )
    assert (found["spec"]["renewTime"], writes) == ("now", [])


def test_a_pods_annotations_are_merged_and_no_pod_is_created():
    server = Server((200, {"kind": "Pod"}))
    answer, writes = talk(server, lambda api: api.annotate_pod("team", "m-1", {"a": "8"}))
    method, path, content_type, text = server.requests[0]
    assert (method, content_type) == ("PATCH", "application/merge-patch+json")
    assert path == "/api/v1/namespaces/team/pods/m-1?fieldManager=ferryman"
    assert json.loads(text) == {"metadata": {"annotations": {"a": "8"}}}
    assert (answer, writes) == ({"kind": "Pod"}, [("patch", "Pod")])


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(status):
    server = Server(refusal(status), refusal(status), OK)
    _, writes = talk(server, lambda api: api.apply(CONFIG_MAP))
    assert len(server.requests) == 3
    assert len(writes) == 1, "only what was accepted counts"


def test_the_server_says_how_long_to_wait():
    server = Server((429, {"message": "slow down"}, {"Retry-After": "1"}), OK)

    async def script(api):
        began = asyncio.get_running_loop().time()
        await api.apply(CONFIG_MAP)
        return asyncio.get_running_loop().time() - began

    assert talk(server, script)[0] >= 1.0


def test_patience_ends():
    server = Server(refusal(503, "etcd is down"))
    with pytest.raises(TemporaryError, match="etcd is down") as caught:
        talk(server, lambda api: api.apply(CONFIG_MAP))
    assert len(server.requests) == 5
    assert caught.value.fault == "cluster"


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        pytest.param(400, PermanentError, "operator", id="a request that no server would take"),
        pytest.param(403, ForbiddenError, "user", id="a permission or an admission rule"),
        pytest.param(404, NotFoundError, "user", id="the object is gone"),
        pytest.param(409, ConflictError, "cluster", id="the object is another one by now"),
        pytest.param(422, PermanentError, "operator", id="the object is not valid"),
    ],
)
def test_an_answer_is_not_asked_for_again_and_says_whose_fault_it_is(status, kind, fault):
    server = Server(refusal(status, "in the server's words"))
    with pytest.raises(kind, match="in the server's words") as caught:
        talk(server, lambda api: api.apply(CONFIG_MAP))
    assert len(server.requests) == 1
    assert (type(caught.value), caught.value.fault) == (kind, fault)


def test_a_server_that_is_not_there_is_a_temporary_error():
    async def main():
        transport = Transport(Configuration(host="http://127.0.0.1:9"), backoff_s=(0.001,))
        async with transport:
            with pytest.raises(TemporaryError, match="apply ConfigMap"):
                await KubernetesApi(transport).apply(CONFIG_MAP)

    asyncio.run(main())


def test_whoever_does_not_lead_asks_and_writes_nothing():
    server = Server((200, {"items": []}))

    async def script(api):
        assert await api.find(CONFIG_MAP) is None
        with pytest.raises(TemporaryError, match="this operator does not lead now"):
            await api.apply(CONFIG_MAP)

    _, writes = talk(server, script, may_write_for_s=lambda: 0.0)
    assert [request[0] for request in server.requests] == ["GET"]
    assert writes == []


def test_no_write_waits_for_its_answer_longer_than_this_operator_leads():
    async def slow(_request):
        await asyncio.sleep(5)

    server = Server(OK)
    server.handle = slow
    left_s = iter((0.2, 0.0))

    async def script(api):
        began_s = time.monotonic()
        with pytest.raises(TemporaryError, match="does not lead"):
            await api.apply(CONFIG_MAP)
        return time.monotonic() - began_s

    took_s, _ = talk(server, script, may_write_for_s=lambda: next(left_s), backoff_s=(0.001,))
    assert 0.2 <= took_s < 4


def test_the_lease_is_created_read_and_changed_as_it_was_read():
    server = Server(refusal(404), (201, {"a": 1}), (200, {"a": 2}), (200, {"a": 3}), refusal(409))

    async def script(api):
        leases = Leases(api._transport, "team", "operators")
        assert await leases.read() is None
        assert await leases.create({"holderIdentity": "me"}) == {"a": 1}
        assert await leases.read() == {"a": 2}
        assert await leases.change("7", {"holderIdentity": ""}) == {"a": 3}
        with pytest.raises(ConflictError):
            await leases.change("7", {})

    talk(server, script)
    path = "/apis/coordination.k8s.io/v1/namespaces/team/leases"
    asked = [(method, where) for method, where, *_ in server.requests]
    assert asked[:2] == [("GET", f"{path}/operators"), ("POST", path)]
    created, changed = (json.loads(server.requests[n][3]) for n in (1, 3))
    assert (created["metadata"], created["spec"]) == (
        {"name": "operators", "namespace": "team"},
        {"holderIdentity": "me"},
    )
    assert changed == {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": ""}}


def test_a_lease_that_is_too_large_to_be_read_is_nobodys_to_take():
    large = {"metadata": {"annotations": {"a": "x" * 200_000}}, "spec": {"holderIdentity": "they"}}
    server = Server((200, large), (200, large))

    async def script(api):
        leases = Leases(api._transport, "team", "operators")
        for asked in (leases.read(), leases.change("7", {"holderIdentity": "me"})):
            with pytest.raises(
                PermanentError, match="whose turn it is is not known: it is too large"
            ):
                await asked

    talk(server, script)


def test_an_event_that_is_repeated_is_counted_up_instead_of_added():
    present = (200, {"count": 4})
    server = Server((201, {}), refusal(409), present, OK)

    async def script(api):
        await api.post_event(MODEL, "Normal", "Placed", "on cpu-small")
        await api.post_event(MODEL, "Normal", "Placed", "on cpu-small")

    talk(server, script)
    first, second, read, patch = server.requests
    assert json.loads(first[3])["metadata"]["name"] == json.loads(second[3])["metadata"]["name"]
    assert read[0] == "GET"
    assert (patch[0], patch[2]) == ("PATCH", "application/merge-patch+json")
    assert json.loads(patch[3])["count"] == 5


@pytest.mark.parametrize("other", [("Warning", "Placed", "x"), ("Normal", "Placed", "y")])
def test_another_event_has_another_name(other):
    server = Server((201, {}))

    async def script(api):
        await api.post_event(MODEL, "Normal", "Placed", "x")
        await api.post_event(MODEL, *other)

    talk(server, script)
    names = {json.loads(request[3])["metadata"]["name"] for request in server.requests}
    assert len(names) == 2


SECRET = {"data": {"key": base64.b64encode(b"k" * 32).decode()}}


@pytest.mark.parametrize(
    ("answers", "methods"),
    [
        pytest.param([(200, SECRET)], ["GET"], id="it is there"),
        pytest.param([refusal(404), (201, SECRET)], ["GET", "POST"], id="it is created"),
        pytest.param(
            [refusal(404), refusal(409), (200, SECRET)],
            ["GET", "POST", "GET"],
            id="another operator created it first: theirs counts",
        ),
    ],
)
def test_the_master_key_is_one_for_all_operators(answers, methods):
    server = Server(*answers)
    key, _ = talk(server, lambda api: api.ensure_master_key("ferryman-system"))
    assert key == b"k" * 32
    assert [request[0] for request in server.requests] == methods


def test_a_secret_without_a_proper_key_is_refused_in_words():
    with pytest.raises(ConflictError, match="delete it"):
        talk(Server((200, {"data": {}})), lambda api: api.ensure_master_key("ferryman-system"))


def test_a_new_master_key_is_random():
    server = Server(refusal(404), (201, SECRET), refusal(404), (201, SECRET))

    async def script(api):
        await api.ensure_master_key("a")
        await api.ensure_master_key("b")

    talk(server, script)
    keys = {json.loads(r[3])["data"]["key"] for r in server.requests if r[0] == "POST"}
    assert len(keys) == 2
    assert all(len(base64.b64decode(key)) == 32 for key in keys)


def test_a_job_that_exists_and_a_job_that_is_gone_are_as_wanted():
    job = {"metadata": {"name": "j", "namespace": "n"}}
    talk(Server(refusal(409)), lambda api: api.create_job(job))
    talk(Server(refusal(404)), lambda api: api.delete_job("n", "j"))


@pytest.mark.parametrize(
    ("answer", "served"),
    [
        pytest.param(refusal(404), False, id="the group is unknown"),
        pytest.param((200, {"resources": [{"name": "inferencemodels"}]}), False, id="some miss"),
        pytest.param(
            (
                200,
                {
                    "resources": [
                        {"name": name}
                        for name in (
                            "inferencemodels",
                            "inferencepipelines",
                            "inferenceruntimes",
                            "nodeprofiles",
                        )
                    ]
                },
            ),
            True,
            id="all are there",
        ),
    ],
)
def test_discovery_tells_whether_our_kinds_are_served(answer, served):
    assert talk(Server(answer), lambda api: api.serves_kinds())[0] is served


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        pytest.param(200, {"metadata": {"uid": "rs"}}, {"metadata": {"uid": "rs"}}, id="there"),
        pytest.param(404, {"message": "not found"}, None, id="not there"),
    ],
)
def test_of_a_replica_set_the_metadata_is_asked_for(status, body, found):
    server = Server((status, body))

    async def script(api):
        return await api.replica_set("team", "m-triton-1")

    assert talk(server, script)[0] == found
    [(method, path, _, _)] = server.requests
    assert (method, path) == ("GET", "/apis/apps/v1/namespaces/team/replicasets/m-triton-1")


def test_answers_that_are_too_deep_are_not_parsed():
    deep = {}
    for _ in range(300):
        deep = {"a": deep}
    item = {"metadata": {"name": "m", "uid": "u", "managedFields": deep}}
    server = Server((200, {"items": [item], "metadata": {}}), (200, item))

    async def script(api):
        listed = await api.find(CONFIG_MAP)
        return listed, await api.replica_set("team", "m")

    (listed, got), _ = talk(server, script)
    for found in (listed, got):
        assert found["metadata"] == {"name": "m", "uid": "u"}
        assert "levels deep" in found["unread"]


def test_a_secret_is_changed_only_where_its_owner_is_the_same():
    server = Server(OK)
    _, writes = talk(server, lambda api: api.write_secret(OWNED_SECRET))
    [(method, path, content_type, text)] = server.requests
    assert (method, content_type) == ("PATCH", "application/json-patch+json")
    assert path == "/api/v1/namespaces/team/secrets/m-triton?fieldManager=ferryman"
    steps = json.loads(text)
    first = "/metadata/ownerReferences/0"
    assert steps[:3] == [
        {"op": "test", "path": f"{first}/apiVersion", "value": "g/v1"},
        {"op": "test", "path": f"{first}/kind", "value": "K"},
        {"op": "test", "path": f"{first}/name", "value": "m"},
    ]
    assert writes == [("patch", "Secret")]


def test_a_secret_that_is_not_there_is_created():
    server = Server(refusal(404), OK)
    _, writes = talk(server, lambda api: api.write_secret(OWNED_SECRET))
    assert [request[0] for request in server.requests] == ["PATCH", "POST"]
    assert json.loads(server.requests[1][3]) == OWNED_SECRET
    assert writes == [("create", "Secret")]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(422, NotOwnedError, id="a test of the owner that fails: it is another's"),
        pytest.param(403, ForbiddenError, id="a missing permission stays one"),
    ],
)
def test_a_secret_that_cannot_be_changed(status, error):
    with pytest.raises(error):
        talk(Server(refusal(status)), lambda api: api.write_secret(OWNED_SECRET))
