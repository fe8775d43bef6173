"""What a pod fetches over https, from a real server with an authority of its own.

And what can go wrong, each with what the container says of it. The program runs as a process.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from ferryman.core.fetching.report import Problem, read_report
from ferryman.core.fetching.task import TASKS_ENV, encode
from ferryman.core.render.fetching import COMMAND
from ferryman.fetch.folder import DOWNLOAD
from ferryman.fetch.run import TERMINATION_LOG_ENV
from tests.integration.fetching import HOST, Authority, Pod, Server, Silence

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

WEIGHTS = b"weights" * 1000
MODEL = {"1/model.onnx": WEIGHTS, "labels.txt": b"cat\ndog\n"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority):
    server = Server(authority)
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    return Pod(tmp_path, authority)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def tar(files, mode="w:gz", **special):
    """Return an archive; special entries are TarInfo fields by name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, fields in special.items():
            info = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(info, field, value)
            archive.addfile(info)
    return packed.getvalue()


def zipped(files, link=None):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if link:
            info = zipfile.ZipInfo(link)
            info.external_attr = 0o120777 << 16
            archive.writestr(info, "/etc/passwd")
    return packed.getvalue()


def test_a_file_is_there_as_it_is_and_its_digest_is_told(pod, server):
    server.files["/models/model.onnx"] = WEIGHTS
    report = pod.run(f"{server.url}/models/model.onnx", sha256=sha256(WEIGHTS))
    assert report.fetched[0].digest == f"sha256:{sha256(WEIGHTS)}"
    assert pod.files() == {"model.onnx": WEIGHTS}


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        pytest.param("m.tar", tar(MODEL, "w:"), id="tar"),
        pytest.param("m.tar.gz", tar(MODEL), id="tar.gz"),
        pytest.param("m.tgz", tar({f"./{name}": v for name, v in MODEL.items()}), id="./ in it"),
        pytest.param("m.tar.xz", tar(MODEL, "w:xz"), id="tar.xz"),
        pytest.param("m.tar.bz2", tar(MODEL, "w:bz2"), id="tar.bz2"),
        pytest.param("m.zip", zipped(MODEL), id="zip"),
        pytest.param(
            "m.zip", zipped({f"resnet50/{n}": v for n, v in MODEL.items()}), id="in one folder"
        ),
    ],
)
def test_archives_are_unpacked(pod, server, name, archive):
    server.files[f"/{name}"] = archive
    report = pod.run(f"{server.url}/{name}")
    assert (report.detail, pod.files()) == ("", MODEL)
    assert report.fetched[0].digest == f"sha256:{sha256(archive)}"


def test_what_an_earlier_try_left_is_removed_first(pod, server):
    server.files["/model.onnx"] = WEIGHTS
    (pod.model / "half").mkdir()
    (pod.model / "half" / "file").write_text("half")
    (pod.model / DOWNLOAD).symlink_to("/etc")
    pod.run(f"{server.url}/model.onnx")
    assert pod.files() == {"model.onnx": WEIGHTS}


def test_another_checksum_ends_it_before_anything_is_unpacked(pod, server):
    server.files["/m.tar.gz"] = archive = tar(MODEL)
    report = pod.run(f"{server.url}/m.tar.gz", sha256="0" * 64)
    assert report.problem == Problem.MISMATCH
    assert sha256(archive) in report.detail
    assert pod.files() == {}


def test_a_file_that_is_not_there(pod, server):
    report = pod.run(f"{server.url}/nothing.onnx")
    assert (report.problem, "no https://" in report.detail) == (Problem.NOT_FOUND, True)


SECRET = "hunter2-and-more"  # noqa: S105  of a test


@pytest.mark.parametrize(
    ("entries", "header"),
    [
        pytest.param({"token": SECRET}, f"Bearer {SECRET}", id="token"),
        pytest.param(
            {"username": "team", "password": SECRET},
            "Basic dGVhbTpodW50ZXIyLWFuZC1tb3Jl",
            id="username and password",
        ),
    ],
)
def test_a_secret_is_shown_to_the_server(pod, server, entries, header):
    pod.give(**entries)
    server.files["/model.onnx"] = WEIGHTS
    assert pod.run(f"{server.url}/model.onnx").problem is None
    assert server.asked == [("/model.onnx", header)]


def test_a_wrong_credential_is_said_and_not_shown(pod, server):
    pod.give(token=SECRET)
    server.answer = lambda request: request.give(f"not {SECRET}".encode(), 403)
    report = pod.run(f"{server.url}/model.onnx")
    assert report.problem == Problem.FORBIDDEN
    assert "refuses the credentials" in report.detail
    assert SECRET not in report.detail + pod.output


def test_no_credential_where_one_is_wanted(pod, server):
    server.answer = lambda request: request.give(b"", 401)
    report = pod.run(f"{server.url}/model.onnx")
    assert (report.problem, "wants credentials" in report.detail) == (Problem.FORBIDDEN, True)


def test_a_secret_that_does_not_exist(pod, server, tmp_path):
    """An optional volume is an empty folder then."""
    (tmp_path / "empty").mkdir()
    report = pod.run(f"{server.url}/model.onnx", secret=str(tmp_path / "empty"))
    assert (report.problem, server.asked) == (Problem.MISCONFIGURED, [])
    assert "does not exist" in report.detail


def test_a_secret_of_another_kind(pod, server):
    pod.give(HF_TOKEN=SECRET)
    report = pod.run(f"{server.url}/model.onnx")
    assert report.problem == Problem.MISCONFIGURED
    assert "neither token nor" in report.detail


def test_an_authority_that_nobody_stated(pod, server):
    report = pod.run(f"{server.url}/model.onnx", ca="")
    assert report.problem == Problem.UNREACHABLE
    assert "not trusted" in report.detail
    assert server.asked == []


def test_an_authority_that_is_not_there(pod, server, tmp_path):
    report = pod.run(f"{server.url}/model.onnx", ca=str(tmp_path / "ca.crt"))
    assert (report.problem, "no ca.crt" in report.detail) == (Problem.MISCONFIGURED, True)


def test_nothing_listens(pod, server):
    server.close()
    report = pod.run(f"{server.url}/model.onnx")
    assert (report.problem, "refuses the connection" in report.detail) == (
        Problem.UNREACHABLE,
        True,
    )


def test_a_name_that_is_not_found(pod):
    report = pod.run("https://nowhere.invalid/model.onnx")
    assert (report.problem, "nowhere.invalid" in report.detail) == (Problem.UNREACHABLE, True)


def test_a_source_that_hangs(pod):
    silence = Silence()
    report = pod.run(f"{silence.url}/model.onnx", deadline_s=2)
    silence.close()
    assert (report.problem, "within 2 s" in report.detail) == (Problem.TOO_SLOW, True)


def test_a_source_that_stops_in_between(pod, server):
    def half(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 10)
        request.close_connection = True

    server.answer = half
    assert pod.run(f"{server.url}/model.onnx").problem == Problem.UNREACHABLE


def test_a_server_that_is_busy_is_asked_again(pod, server):
    def busy_once(request):
        request.give(WEIGHTS, 503 if len(server.asked) == 1 else 200)

    server.answer = busy_once
    assert pod.run(f"{server.url}/model.onnx").problem is None


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
def test_more_than_the_limit(pod, server, announced):
    def endless(request):
        request.send_response(200)
        if announced:
            request.send_header("Content-Length", str(10**12))
        else:
            request.send_header("Connection", "close")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x" * 100_000)

    server.answer = endless
    report = pod.run(f"{server.url}/model.onnx", max_bytes=1_000_000)
    assert report.problem == Problem.TOO_LARGE
    assert sum(map(len, pod.files().values())) <= 1_000_000


def redirecting(to):
    return lambda request: request.give(b"", 302, Location=to)


def test_a_redirect_is_followed_and_another_server_gets_no_credentials(pod, server, authority):
    pod.give(token=SECRET)
    other = Server(authority)
    other.files["/there"] = WEIGHTS
    server.answer = redirecting(f"{other.url}/there")
    assert pod.run(f"{server.url}/model.onnx").problem is None
    assert other.asked == [("/there", None)]
    other.close()


@pytest.mark.parametrize(
    "to", [f"http://{HOST}:1/x", "file:///etc/passwd", "ftp://x/y"], ids=["http", "file", "ftp"]
)
def test_a_redirect_away_from_https_is_not_followed(pod, server, to):
    server.answer = redirecting(to)
    report = pod.run(f"{server.url}/model.onnx")
    assert (report.problem, "away from https" in report.detail) == (Problem.UNREACHABLE, True)


def test_a_redirect_in_circles(pod, server):
    server.answer = redirecting("/model.onnx")
    assert "in circles" in pod.run(f"{server.url}/model.onnx").detail
    assert len(server.asked) == 6


BOMB = gzip.compress(b"\0" * (64 << 20))
HUGE = tarfile.TarInfo("1/model.onnx")
HUGE.size = 1 << 40


@pytest.mark.parametrize(
    ("name", "archive", "problem", "words"),
    [
        pytest.param(
            "m.tar.gz", tar({"../out": b"x"}), Problem.UNSAFE, "leaves the folder", id="dots"
        ),
        pytest.param("m.tar.gz", tar({"a/../../x": b"x"}), Problem.UNSAFE, "leaves", id="up again"),
        pytest.param("m.tar.gz", tar({"/etc/x": b"x"}), Problem.UNSAFE, "leaves", id="absolute"),
        pytest.param(
            "m.zip", zipped({"../out": b"x"}), Problem.UNSAFE, "leaves", id="dots in a zip"
        ),
        pytest.param(
            "m.tar.gz",
            tar({}, link={"type": tarfile.SYMTYPE, "linkname": "/etc"}),
            Problem.UNSAFE,
            "a link or a device",
            id="symbolic link",
        ),
        pytest.param(
            "m.tar.gz",
            tar(MODEL, hard={"type": tarfile.LNKTYPE, "linkname": "labels.txt"}),
            Problem.UNSAFE,
            "a link or a device",
            id="hard link",
        ),
        pytest.param(
            "m.tar.gz",
            tar({}, device={"type": tarfile.CHRTYPE, "devmajor": 1}),
            Problem.UNSAFE,
            "a link or a device",
            id="device",
        ),
        pytest.param(
            "m.zip", zipped(MODEL, link="link"), Problem.UNSAFE, "a link or", id="link in a zip"
        ),
        pytest.param(
            "m.tar.gz",
            tar(MODEL, **{"labels.txt": {}}),
            Problem.UNSAFE,
            "twice",
            id="a file twice",
        ),
        pytest.param(
            "m.tar.gz",
            tar({"a": b"x", "a/b": b"x"}),
            Problem.UNSAFE,
            "one path",
            id="a file that is a folder",
        ),
        pytest.param(
            "m.tar.gz",
            gzip.compress(HUGE.tobuf() + b"\0" * 10_000),
            Problem.TOO_LARGE,
            "the limit is",
            id="a file of a tebibyte",
        ),
        pytest.param("m.tar.gz", b"no archive", Problem.UNSAFE, "cannot be read", id="no archive"),
        pytest.param("m.zip", b"no archive", Problem.UNSAFE, "cannot be read", id="no zip"),
        pytest.param(
            "m.zip", zipped({"bomb": b"\0" * (64 << 20)}), Problem.TOO_LARGE, "limit", id="zip bomb"
        ),
        pytest.param(
            "m.tar.gz",
            tar({"bomb": b"\0" * (64 << 20)}),
            Problem.TOO_LARGE,
            "the limit is",
            id="tar bomb",
        ),
        pytest.param(
            "m.tar.gz",
            tar({f"{n:05}": b"" for n in range(10_050)}),
            Problem.TOO_LARGE,
            "more than 10000 files",
            id="too many files",
        ),
        pytest.param(
            "m.zip",
            zipped({f"{n:05}": b"" for n in range(10_050)}),
            Problem.TOO_LARGE,
            "more than 10000 files",
            id="too many files in a zip",
        ),
    ],
)
def test_an_archive_that_means_harm(pod, server, tmp_path, name, archive, problem, words):
    before = {path for path in tmp_path.rglob("*") if pod.model not in path.parents}
    server.files[f"/{name}"] = archive
    report = pod.run(f"{server.url}/{name}")
    assert report.problem == problem, report.detail
    assert words in report.detail
    after = {path for path in tmp_path.rglob("*") if pod.model not in path.parents}
    assert {path.name for path in after - before} == {"termination-log", "output"}
    assert sum(map(len, pod.files().values())) <= 50 << 20


def test_a_header_of_many_bytes_is_not_held_in_memory(pod, server):
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 60 << 20
    server.files["/m.tar.gz"] = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(60 << 20))
    report = pod.run(f"{server.url}/m.tar.gz")
    assert (report.problem, "of many bytes" in report.detail) == (Problem.UNSAFE, True)


def test_several_models_each_say_what_they_are(pod, server, tmp_path):
    server.files |= {"/a.onnx": b"a", "/b.onnx": b"b"}
    (tmp_path / "second").mkdir()
    report = pod.run_all(
        pod.task(f"{server.url}/a.onnx"),
        pod.task(f"{server.url}/b.onnx", into=str(tmp_path / "second")),
    )
    assert [each.into for each in report.fetched] == [str(pod.model), str(tmp_path / "second")]
    assert (tmp_path / "second" / "b.onnx").read_bytes() == b"b"


def test_the_command_of_the_container(pod, server, tmp_path):
    """The others run the same program, which is imported once for all of them."""
    server.files["/model.onnx"] = WEIGHTS
    log = tmp_path / "log"
    subprocess.run(
        [sys.executable, "-m", *COMMAND[2:]],
        env={
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            TERMINATION_LOG_ENV: str(log),
            TASKS_ENV: encode((pod.task(f"{server.url}/model.onnx"),)),
        },
        check=True,
        timeout=120,
    )
    assert read_report(log.read_text()).fetched[0].digest == f"sha256:{sha256(WEIGHTS)}"
