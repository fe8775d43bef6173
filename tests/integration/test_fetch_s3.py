"""What a pod fetches from a real S3 server that speaks TLS with an authority of its own."""

import hashlib

import pytest

from ferryman.core.fetching.report import Problem
from tests.integration.fetching import Authority, Pod, Silence
from tests.integration.s3_server import KEY, SECRET, S3Server
from tests.integration.test_fetch import MODEL, sha256, tar

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory, authority):
    server = S3Server(tmp_path_factory.mktemp("s3"), authority)
    server.put("models", {f"resnet50/{name}": content for name, content in MODEL.items()})
    server.put("models", {"resnet50-int8/1/model.onnx": b"another", "m.tar.gz": tar(MODEL)})
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    pod = Pod(tmp_path, authority)
    pod.give(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
    return pod


def listed(files):
    """Return the digest of several files, as a person gets it by sha256sum."""
    lines = "".join(f"{sha256(files[name])}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize("slash", ["", "/"])
def test_what_lies_below_a_prefix(pod, server, slash):
    report = pod.run(f"s3://models/resnet50{slash}", endpoint=server.endpoint, sha256=listed(MODEL))
    assert (report.detail, pod.files()) == ("", MODEL)
    assert report.fetched[0].digest == f"sha256:{listed(MODEL)}"


def test_an_archive(pod, server):
    report = pod.run("s3://models/m.tar.gz", endpoint=server.endpoint)
    assert (report.detail, pod.files()) == ("", MODEL)


def test_another_digest(pod, server):
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint, sha256="0" * 64)
    assert report.problem == Problem.MISMATCH
    assert listed(MODEL) in report.detail


@pytest.mark.parametrize(
    ("uri", "problem", "words"),
    [
        pytest.param("s3://models/nothing", Problem.NOT_FOUND, "no s3://models/n", id="prefix"),
        pytest.param("s3://nothing/x", Problem.NOT_FOUND, "no s3://nothing", id="bucket"),
    ],
)
def test_what_is_not_there(pod, server, uri, problem, words):
    report = pod.run(uri, endpoint=server.endpoint)
    assert report.problem == problem, report.detail
    assert words in report.detail


def test_a_wrong_key_is_said_and_not_shown(pod, server):
    wrong = "not-the-secret-key-0123"
    pod.give(AWS_SECRET_ACCESS_KEY=wrong)
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint)
    assert report.problem == Problem.FORBIDDEN, report.detail
    assert "refuses the credentials" in report.detail
    assert not {wrong, KEY} & set(pod.output.split())
    assert wrong not in pod.output + report.detail


def test_no_key(pod, server):
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint, secret="")
    assert report.problem == Problem.FORBIDDEN, report.detail
    assert "wants credentials" in report.detail


def test_half_a_key(pod, server):
    (pod.secret / "AWS_SECRET_ACCESS_KEY").unlink()
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint)
    assert report.problem == Problem.MISCONFIGURED


def test_more_than_the_limit_is_not_begun(pod, server):
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint, max_bytes=100)
    assert (report.problem, pod.files()) == (Problem.TOO_LARGE, {})


def test_an_authority_that_nobody_stated(pod, server):
    report = pod.run("s3://models/resnet50", endpoint=server.endpoint, ca="")
    assert report.problem == Problem.UNREACHABLE, report.detail
    assert "certificate" in report.detail


def test_a_server_that_hangs(pod):
    silence = Silence()
    report = pod.run("s3://models/resnet50", endpoint=silence.url, deadline_s=3)
    silence.close()
    assert report.problem == Problem.TOO_SLOW, report.detail


def test_a_store_without_tls_where_it_is_stated(tmp_path, pod):
    server = S3Server(tmp_path / "s3")
    server.put("models", {"m/1/model.onnx": b"x"})
    report = pod.run("s3://models/m", endpoint=server.endpoint)
    server.close()
    assert (report.detail, pod.files()) == ("", {"1/model.onnx": b"x"})
