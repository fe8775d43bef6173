"""One synchronous client: what it asks, and in whose words it fails. The server is on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ferryman.clients.cluster import ApiServer, ApiServerError, NoCredentialsError


class Server:
    """Gives one answer to everything, and keeps what it was asked."""

    def __init__(self):
        self.status, self.body, self.asked = 200, b"{}", []
        own = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                """Answer whatever is asked."""
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                headers = self.headers
                own.asked.append((self.command, self.path, headers, body))
                self.send_response(own.status)
                self.send_header("Content-Length", str(len(own.body)))
                self.end_headers()
                self.wfile.write(own.body)

            do_GET = do_PATCH = answer  # noqa: N815  http.server's names

            def log_message(self, *_):
                """Keep the test's output clean."""

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)


@pytest.fixture
def server():
    found = Server()
    found.thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()
    found.thread.join(5)


def kubeconfig(folder, port, **context):
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", **context}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(config))
    return path


@pytest.fixture
def api(server, tmp_path):
    return ApiServer.as_agent(str(kubeconfig(tmp_path, server.http.server_port)))


def test_an_object_is_read_as_json_with_the_credentials(api, server):
    server.body = b'{"kind": "Node"}'
    assert api.get("/api/v1/nodes/n") == {"kind": "Node"}
    [(method, path, headers, body)] = server.asked
    assert (method, path, body) == ("GET", "/api/v1/nodes/n", b"")
    assert headers["Authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("selector", "asked"),
    [("", "/api/v1/pods"), ("a=b,c", "/api/v1/pods?labelSelector=a%3Db%2Cc")],
    ids=["all", "those with labels"],
)
def test_a_list_is_its_items(api, server, selector, asked):
    server.body = b'{"items": [{"kind": "Pod"}]}'
    assert api.items("/api/v1/pods", selector) == [{"kind": "Pod"}]
    assert server.asked[0][1] == asked


def test_a_log_is_text_as_it_stands(api, server):
    server.body = '{"a": 1}\n± \xff'.encode("latin-1")
    assert api.text("/log", [("container", "c")]).startswith('{"a": 1}\n')
    assert server.asked[0][1] == "/log?container=c"


def test_fields_are_merged_into_what_is_there(api, server):
    api.merge("/x", {"metadata": {"annotations": {"a": "b"}}})
    [(method, path, headers, body)] = server.asked
    assert (method, path, headers["Content-Type"]) == (
        "PATCH",
        "/x",
        "application/merge-patch+json",
    )
    assert json.loads(body) == {"metadata": {"annotations": {"a": "b"}}}


def test_what_is_applied_is_the_managers(api, server):
    api.apply("/x", {"kind": "X"}, "me")
    [(method, path, headers, body)] = server.asked
    assert (method, path) == ("PATCH", "/x?fieldManager=me&force=true")
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert json.loads(body) == {"kind": "X"}


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        pytest.param(403, b'{"message": "you may not"}', "you may not", id="its own words"),
        pytest.param(
            404,
            b"404 page not found",
            "the API server answers 404 Not Found: are Ferryman's CRDs installed?",
            id="a kind that is not served",
        ),
        pytest.param(502, b"", "the API server answers 502 Bad Gateway", id="no words"),
        pytest.param(500, b"[]", "the API server answers 500 Internal Server Error", id="a list"),
    ],
)
def test_a_request_that_is_refused_fails_in_the_api_servers_words(api, server, status, body, words):
    server.status, server.body = status, body
    with pytest.raises(ApiServerError) as caught:
        api.get("/x")
    error = caught.value
    assert (str(error), error.status, error.request) == (words, status, "GET /x")
    assert error.is_missing == (status == 404)


def test_an_answer_that_is_no_json_is_an_error(api, server):
    server.body = b"<html>"
    with pytest.raises(ApiServerError, match="the answer is no JSON"):
        api.get("/x")


def test_a_server_that_is_gone_gives_no_status(tmp_path):
    api = ApiServer.as_agent(str(kubeconfig(tmp_path, 9)))
    with pytest.raises(ApiServerError, match="Connection") as caught:
        api.get("/x")
    assert (caught.value.status, caught.value.is_missing) == (None, False)


@pytest.mark.parametrize(
    ("context", "namespace"),
    [({"namespace": "vision"}, "vision"), ({}, "default")],
    ids=["that of the context", "none is stated"],
)
def test_as_kubectl_it_knows_the_contexts_namespace(monkeypatch, tmp_path, context, namespace):
    path = kubeconfig(tmp_path, 9, **context)
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(path))
    assert ApiServer.as_kubectl(None).namespace == namespace
    assert ApiServer.as_kubectl("x").namespace == namespace
    with pytest.raises(NoCredentialsError, match="other"):
        ApiServer.as_kubectl("other")


def test_without_a_kubeconfig_there_are_no_credentials(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(
        "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none")
    )
    with pytest.raises(NoCredentialsError):
        ApiServer.as_agent(None)
    with pytest.raises(NoCredentialsError):
        ApiServer.as_kubectl(None)


@pytest.mark.parametrize("levels", [100, 5_000], ids=lambda levels: f"{levels} levels")
def test_an_object_of_others_that_is_too_deep_is_a_stub(server, tmp_path, monkeypatch, levels):
    path = str(kubeconfig(tmp_path, server.http.server_port))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", path)
    api = ApiServer.as_kubectl(None)
    poisoned = b'{"metadata":{"name":"x"},"spec":' + b'{"a":' * levels + b"1" + b"}" * (levels + 1)
    server.body = poisoned
    found = api.get("/apis/x")
    assert (found["metadata"], found["spec"]) == ({"name": "x"}, {})
    assert "levels deep" in found["unread"]
    server.body = b'{"kind":"List","metadata":{},"items":[%b,{"metadata":{"name":"y"}}]}' % poisoned
    deep, plain = api.items("/apis/x")
    assert "levels deep" in deep["unread"]
    assert plain == {"metadata": {"name": "y"}}
