"""A stolen control key, on a real Triton that is started as serving pods start it."""

import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ferryman.api.names import CONTROL_KEY_ENV, CONTROL_KEY_NAME
from ferryman.clients.triton import METADATA_PREFIX
from ferryman.core.render import pod
from ferryman.core.render.slots import ServedModel
from hack.models import sleeper
from tests.factories import runtime_processor
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

KEY = "0123456789abcdef"
CODE = base64.b64encode(b"import os; os.abort()").decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    repository = tmp_path_factory.mktemp("models")
    sleeper.write(repository / "sleeper")
    triton = pod.triton_container(
        (ServedModel("sleeper", "oci://models/sleeper"),),
        runtime_processor(),
        control_secret="s",  # noqa: S106  a name
    )
    *started_by, program = triton["command"]
    assert program == "tritonserver"
    with TritonServer(
        repository,
        models=["sleeper"],
        started_by=started_by,
        environment={CONTROL_KEY_ENV: KEY},
    ) as running:
        yield running


def post(server, path, body):
    """Ask over HTTP with the stolen key; return the status."""
    headers = {CONTROL_KEY_NAME: KEY, "Content-Type": "application/json"}
    url = f"http://{server.http_url}/v2/{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def index(server, *metadata):
    with grpc.insecure_channel(server.grpc_url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        try:
            request = service_pb2.RepositoryIndexRequest()
            stub.RepositoryIndex(request, metadata=metadata, timeout=10)
        except grpc.RpcError as refused:
            return refused.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("repository/index", {}, id="the repository"),
        pytest.param("repository/models/sleeper/unload", {}, id="an unload"),
        pytest.param(
            "repository/models/evil/load",
            {"parameters": {"config": '{"backend": "python"}', "file:1/model.py": CODE}},
            id="a model of one's own code",
        ),
        pytest.param("logging", {"log_verbose_level": 9}, id="the log"),
        pytest.param("trace/setting", {"trace_level": ["TIMESTAMPS"]}, id="the trace"),
        pytest.param(
            "systemsharedmemory/region/x/register",
            {"key": "/x", "byte_size": 1},
            id="shared memory",
        ),
    ],
)
def test_over_http_the_key_opens_nothing(server, path, body):
    assert post(server, path, body) == 403


def test_over_grpc_the_key_alone_opens_what_is_restricted(server):
    assert index(server, (f"{METADATA_PREFIX}{CONTROL_KEY_NAME}", KEY)) == grpc.StatusCode.OK
    assert index(server) == grpc.StatusCode.UNAVAILABLE


def test_the_key_is_in_the_arguments_of_the_server_alone(server):
    """Where Triton wants it; what it starts is told nothing, and no variable holds it."""
    process = Path(f"/proc/{server._process.pid}")
    assert KEY.encode() in (process / "cmdline").read_bytes()
    assert KEY.encode() not in (process / "environ").read_bytes()
    started = [
        Path(f"/proc/{child}")
        for task in (process / "task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    assert started, "the stub of a Python model"
    for each in started:
        assert KEY.encode() not in (each / "cmdline").read_bytes()
        assert KEY.encode() not in (each / "environ").read_bytes()


def test_the_model_serves_on(server):
    url = f"http://{server.http_url}/v2/models/sleeper/ready"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.status == 200
