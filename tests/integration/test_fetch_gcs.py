"""What a pod fetches from a server that speaks Google Cloud Storage's protocol.

Where it is stands in the service account's key, as the client takes it, or in its environment.
"""

import json
import subprocess

import pytest

from ferryman.core.fetching.report import Problem
from ferryman.fetch.objects import GOOGLE_KEY
from tests.integration.fetching import Authority, Pod, Server
from tests.integration.gcs_server import GoogleServer
from tests.integration.test_fetch import MODEL, sha256, tar
from tests.integration.test_fetch_s3 import listed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ARCHIVE = tar(MODEL)
ENTRY = GOOGLE_KEY.replace(".", "__")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def key():
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    return subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    objects = {f"models/resnet50/{name}": content for name, content in MODEL.items()}
    objects |= {"models/resnet50-int8/1/model.onnx": b"another", "models/m.tar.gz": ARCHIVE}
    objects |= {f"many/m/{n}": b"" for n in range(2500)}
    server = GoogleServer(tmp_path_factory.mktemp("gcs"), authority, objects)
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    return Pod(tmp_path, authority)


def account(url, key, **fields):
    """Return a service account's key, as Google hands it out, for another server."""
    stated = {"type": "service_account", "client_email": "reader@project", "private_key_id": "1"}
    return json.dumps({**stated, "private_key": key, "gcs_base_url": url, **fields})


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_lies_below_a_prefix(pod, server, key, slash):
    pod.give(**{ENTRY: account(server.url, key)})
    report = pod.run(f"gs://models/resnet50{slash}", sha256=listed(MODEL))
    assert (report.detail, pod.files()) == ("", MODEL)
    assert report.fetched[0].digest == f"sha256:{listed(MODEL)}"


def test_an_archive(pod, server, key):
    pod.give(**{ENTRY: account(server.url, key)})
    report = pod.run("gs://models/m.tar.gz", sha256=sha256(ARCHIVE))
    assert (report.detail, pod.files()) == ("", MODEL)


def test_without_a_key_nothing_is_shown(pod, server):
    report = pod.run("gs://models/resnet50", environ={"GOOGLE_BASE_URL": server.url})
    assert (report.detail, pod.files()) == ("", MODEL)


def test_many_objects_come_in_pages(pod, server):
    report = pod.run("gs://many/m", environ={"GOOGLE_BASE_URL": server.url})
    assert (report.detail, len(pod.files())) == ("", 2500)


def test_a_prefix_that_is_not_there(pod, server, key):
    pod.give(**{ENTRY: account(server.url, key)})
    report = pod.run("gs://models/nothing")
    assert report.problem == Problem.NOT_FOUND, report.detail
    assert "gs://models/nothing" in report.detail


def test_a_bucket_that_is_not_there(pod, authority):
    """As Google says it: the server above fails at it."""
    server = Server(authority, lambda request: request.give(b"<Code>NoSuchBucket</Code>", 404))
    report = pod.run("gs://nothing/x", environ={"GOOGLE_BASE_URL": server.url})
    server.close()
    assert (report.problem, "NoSuchBucket" in report.detail) == (Problem.NOT_FOUND, True)


def test_a_key_that_is_refused_is_not_shown(pod, authority, key):
    server = Server(authority, lambda request: request.give(b"<Code>AccessDenied</Code>", 403))
    pod.give(**{ENTRY: account(server.url, key)})
    report = pod.run("gs://models/resnet50")
    server.close()
    assert report.problem == Problem.FORBIDDEN, report.detail
    assert "refuses the credentials" in report.detail
    assert server.asked[0][1].startswith("Bearer ")
    assert server.asked[0][1][7:] not in report.detail + pod.output
    assert not any(line in pod.output + report.detail for line in key.split("\n")[1:-2])


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param("{}", id="an empty object"),
        pytest.param("not JSON: hunter2", id="no JSON"),
        pytest.param(account("https://h", "hunter2"), id="no key"),
    ],
)
def test_a_key_that_is_none(pod, entry):
    pod.give(**{ENTRY: entry})
    report = pod.run("gs://models/resnet50")
    assert report.problem == Problem.MISCONFIGURED, report.detail
    assert "hunter2" not in report.detail + pod.output


def test_a_secret_of_another_kind(pod):
    pod.give(token="hunter2-and-more")  # noqa: S106  of a test
    report = pod.run("gs://models/resnet50")
    assert (report.problem, GOOGLE_KEY in report.detail) == (Problem.MISCONFIGURED, True)
