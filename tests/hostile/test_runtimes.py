"""Requests without credentials that end a tritonserver, and which runtimes are on by default.

What can be written by hand of what is published, and its neighbours, against a real Triton 2.51
that is locked as pods are. Whatever ends it keeps `triton-cpu` off unless somebody asks for it.
"""

import json
import socket
import subprocess

import pytest
import yaml

from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.core.triton import advisories
from hack.manifests import render_chart
from hack.models import sleeper
from tests.integration.tritonserver import TritonServer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

MODEL = "sleeper"
INFER = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: triton\r\n"
TINY_CHUNKS = b"1\r\nA\r\n" * 600_000 + b"0\r\n\r\n"
DIES_WITHIN_S = 30.0


def chunked(path):
    head = f"POST {path} HTTP/1.1\r\nHost: triton\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + TINY_CHUNKS


def post(body, fields=""):
    return f"{INFER}Content-Length: {len(body)}\r\n{fields}\r\n".encode() + body


def tensor(**fields):
    values = {"name": "input", "shape": [1, 1], "datatype": "FP32", **fields}
    return json.dumps({"inputs": [values]}).encode()


def deep_data(levels):
    return tensor(data=[0]).replace(b"[0]", b"[" * levels + b"1" + b"]" * levels)


ENDS_IT = {
    "CVE-2025-23310, a request in 600,000 chunks": chunked(f"/v2/models/{MODEL}/infer"),
    "the same for a text to be generated": chunked(f"/v2/models/{MODEL}/generate"),
    "lists, two million deep": post(b"[" * 2_000_000),
    "objects, 600,000 deep": post(b'{"a":' * 600_000),
    "data, a million deep": post(deep_data(1_000_000)),
}
SHARED = {"shared_memory_region": "triton_python_backend_shm_region_1"}
LEAVES_IT = {
    "chunks of what is restricted": chunked("/v2/repository/index"),
    "more elements than there are numbers": post(tensor(shape=[2**62, 4], data=[1.0])),
    "fewer elements than none": post(tensor(shape=[-1, -1], data=[1.0])),
    "bytes that do not come": post(tensor(parameters={"binary_data_size": 2**62})),
    "less than no bytes": post(tensor(parameters={"binary_data_size": -1})),
    "a header beyond the body": post(tensor(), "Inference-Header-Content-Length: 99999999999\r\n"),
    "a header of less than nothing": post(tensor(), "Inference-Header-Content-Length: -5\r\n"),
    "the shared memory of a backend": post(
        tensor(parameters={**SHARED, "shared_memory_byte_size": 2**62})
    ),
    "a body of less than nothing": f"{INFER}Content-Length: -1\r\n\r\nxx".encode(),
    "what is no gzip": post(b"\x1f\x8bjunk", "Content-Encoding: gzip\r\n"),
    "a name of half a megabyte": b"GET /v2/models/" + b"a" * 500_000 + b" HTTP/1.1\r\n\r\n",
    "300,000 headers": b"GET /v2 HTTP/1.1\r\n" + b"A: b\r\n" * 300_000 + b"\r\n",
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    sleeper.write(folder / MODEL)
    return folder


@pytest.fixture(scope="module")
def server(repository):
    with TritonServer(repository, models=[MODEL], control_key="secret") as running:
        yield running


def send(server, data):
    """Send a request, and wait for an answer or an end."""
    host, _, port = server.http_url.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        try:
            connection.sendall(data)
            connection.recv(1000)
        except OSError:
            return  # it was refused on the way, or nobody is left


@pytest.mark.parametrize("data", ENDS_IT.values(), ids=ENDS_IT)
def test_a_request_ends_the_server_of_the_light_image(repository, data):
    """Where this fails the server has become sound: the runtime may be on by default."""
    server = TritonServer(repository, models=[MODEL], control_key="secret")
    server.start()
    try:
        process = server._process
        send(server, data)
        try:
            status = process.wait(DIES_WITHIN_S)
        except subprocess.TimeoutExpired:
            pytest.fail("it lives")
        assert status < 0, "by a signal"
    finally:
        server.stop()


@pytest.mark.parametrize("data", LEAVES_IT.values(), ids=LEAVES_IT)
def test_a_request_is_refused_and_the_server_lives(server, data):
    send(server, data)
    server.wait_ready()


def installed(*arguments):
    """Return the runtimes that an installation brings."""
    [rendered] = render_chart("--show-only", "templates/runtimes.yaml", *arguments)
    texts = rendered["data"].values()
    return [InferenceRuntime.model_validate(yaml.safe_load(text)) for text in texts]


def known(runtimes):
    """Return the published vulnerabilities of their images."""
    images = [entry.image for runtime in runtimes for entry in runtime.spec.processors]
    return [each for image in images for each in advisories.of_image(image)]


def test_no_runtime_with_published_vulnerabilities_is_on_by_default():
    assert [runtime.name for runtime in installed()] == ["triton"]
    assert not known(installed())
    assert known(installed("--set", "runtimes.triton-cpu.enabled=true")), "which the light one has"
