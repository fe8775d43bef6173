"""Servers, archives and Secrets that are odd or mean harm: what is said of them, and not more."""

import io
import stat
import tarfile
import time

import pytest

from ferryman.core.fetching.report import Problem
from tests.integration.fetching import Authority, Pod, Server
from tests.integration.test_fetch import MODEL, WEIGHTS, redirecting, tar

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SECRET = "hunter2-and-more"  # noqa: S105  of a test


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority):
    server = Server(authority)
    server.files["/model.onnx"] = WEIGHTS
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    return Pod(tmp_path, authority)


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        pytest.param("token", "https", id="a token"),
        pytest.param("HF_TOKEN", "hf", id="a token of the hub"),
        pytest.param("AWS_ACCESS_KEY_ID", "s3", id="a key's name"),
        pytest.param("AWS_SESSION_TOKEN", "s3", id="a session"),
    ],
)
@pytest.mark.parametrize("odd", [f"{SECRET}\nX-Evil: 1", f"{SECRET}€"], ids=["lines", "characters"])
def test_a_secret_that_fits_no_header_is_not_shown(pod, server, name, uri, odd):
    """The client's own words for it repeat it."""
    pod.give(**{"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "key", name: odd})
    uris = {"https": f"{server.url}/model.onnx", "hf": "hf://a/b", "s3": "s3://models/m"}
    endpoint = "" if uri == "https" else server.url
    report = pod.run(uris[uri], endpoint=endpoint)
    assert report.problem == Problem.MISCONFIGURED, report.detail
    assert f"entry {name} has several lines" in report.detail
    assert SECRET not in report.detail + pod.output
    assert server.asked == []


@pytest.mark.parametrize(
    "to",
    ["https://h:port/x", "https://h:99999/x", "https://[::1/x", "https://a..b/x", "https://a b/x"],
)
def test_a_redirect_to_no_address(pod, server, to):
    server.answer = redirecting(to)
    report = pod.run(f"{server.url}/model.onnx")
    assert report.problem == Problem.UNREACHABLE, report.detail


def test_credentials_are_not_shown_to_a_server_that_the_first_leads_back_from(
    pod, server, authority
):
    """There and back again: the first sees them twice, the other never."""
    pod.give(token=SECRET)
    other = Server(authority, redirecting(f"{server.url}/model.onnx"))

    def away(request):
        if len(server.asked) == 1:
            request.give(b"", 302, Location=f"{other.url}/x")
        else:
            server._file(request)

    server.answer = away
    assert pod.run(f"{server.url}/model.onnx").problem is None
    other.close()
    assert [shown for _, shown in other.asked] == [None]


@pytest.mark.parametrize("status", [302, 404, 503], ids=["elsewhere", "not there", "busy"])
def test_a_long_answer_that_is_no_success_is_not_read(pod, server, status):
    sent = []

    def endless(request):
        request.send_response(status)
        request.send_header("Location", "/model.onnx")
        request.send_header("Connection", "close")
        request.end_headers()
        try:
            for _ in range(10_000):
                request.wfile.write(bytes(100_000))
                sent.append(100_000)
        except OSError:  # it went away
            return

    server.answer = endless
    assert pod.run(f"{server.url}/model.onnx").problem in {Problem.UNREACHABLE, Problem.NOT_FOUND}
    assert sum(sent) < 100 << 20


def test_a_slow_trickle_is_ended_by_the_deadline(pod, server):
    def trickle(request):
        request.send_response(200)
        request.send_header("Content-Length", "1000000")
        request.end_headers()
        for _ in range(100):
            try:
                request.wfile.write(b"x")
            except OSError:
                return
            time.sleep(0.2)

    server.answer = trickle
    report = pod.run(f"{server.url}/model.onnx", deadline_s=3)
    assert (report.problem, "within 3 s" in report.detail) == (Problem.TOO_SLOW, True)


@pytest.mark.parametrize(
    ("announced", "problem"),
    [
        pytest.param("100000000000000000000", Problem.TOO_LARGE, id="more than any disk has"),
        pytest.param("9" * 5000, None, id="no number that anyone reads"),
        pytest.param("7001", Problem.UNREACHABLE, id="more than comes"),
        pytest.param("-1", None, id="a negative number"),
        pytest.param("7000, 7001", Problem.UNREACHABLE, id="two numbers"),
    ],
)
def test_a_length_that_is_a_lie(pod, server, announced, problem):
    def lie(request):
        request.give(WEIGHTS, Content_Length=announced, Connection="close")

    server.answer = lie
    report = pod.run(f"{server.url}/model.onnx")
    assert report.problem == problem, report.detail
    assert pod.files() == ({"model.onnx": WEIGHTS} if problem is None else {})


def breaking(server, *, tag='"1"', other=None, ranges=True, begins=None, less=0):
    """Answer 3000 bytes of a file a time, and break; then the rest, if it is asked for.

    The rest may be of another file, begin elsewhere, or be said to be less than it is.
    """

    def answer(request):
        asked = request.headers.get("Range")
        begin = int(asked[6:-1]) if asked and ranges else 0
        fields = {"ETag": tag if len(server.asked) == 1 or other is None else other}
        if asked and ranges:
            told = begin if begins is None else begins
            fields["Content-Range"] = f"bytes {told}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"
        request.send_response(206 if asked and ranges else 200)
        request.send_header("Content-Length", str(len(WEIGHTS) - begin - (less if asked else 0)))
        for name, value in fields.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(WEIGHTS[begin : begin + 3000])
        request.close_connection = True

    return answer


def test_what_breaks_in_between_is_gone_on_with(pod, server):
    pod.give(token=SECRET)
    server.answer = breaking(server)
    report = pod.run(f"{server.url}/model.onnx")
    assert (report.detail, pod.files()) == ("", {"model.onnx": WEIGHTS})
    assert [shown for _, shown in server.asked] == [f"Bearer {SECRET}"] * 3


@pytest.mark.parametrize(
    ("how", "asked"),
    [
        pytest.param({"tag": ""}, 1, id="without a tag"),
        pytest.param({"tag": 'W/"1"'}, 1, id="a tag of other bytes that mean the same"),
        pytest.param({"other": '"2"'}, 2, id="another file since then"),
        pytest.param({"ranges": False}, 2, id="a server without ranges"),
        pytest.param({"begins": 7}, 2, id="another part of it"),
        pytest.param({"less": 3000}, 2, id="less than the rest"),
    ],
)
def test_what_may_be_another_file_is_not_gone_on_with(pod, server, how, asked):
    server.answer = breaking(server, **how)
    report = pod.run(f"{server.url}/model.onnx")
    assert (report.problem, pod.files()) == (Problem.UNREACHABLE, {})
    assert len(server.asked) == asked


def test_a_server_that_always_breaks_is_given_up(pod, server):
    def nothing(request):
        request.send_response(206 if request.headers.get("Range") else 200)
        request.send_header("Content-Length", "100")
        request.send_header("Content-Range", "bytes 0-99/100")
        request.send_header("ETag", '"1"')
        request.end_headers()
        request.close_connection = True

    server.answer = nothing
    assert pod.run(f"{server.url}/model.onnx").problem == Problem.UNREACHABLE
    assert len(server.asked) == 4


def special(name="1/model.onnx", **fields):
    """Return an archive with a file of these fields."""
    packed = io.BytesIO()
    info = tarfile.TarInfo(name)
    info.size = len(WEIGHTS)
    for field, value in fields.items():
        setattr(info, field, value)
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.addfile(info, io.BytesIO(WEIGHTS))
    return packed.getvalue()


def test_modes_and_owners_of_an_archive_count_for_nothing(pod, server):
    server.files["/m.tar.gz"] = special(mode=0o6777, uid=0, gid=0, mtime=2**33)
    assert pod.run(f"{server.url}/m.tar.gz").detail == ""
    assert stat.S_IMODE((pod.model / "1" / "model.onnx").stat().st_mode) & 0o7133 == 0


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        pytest.param(special("a\nb"), "odd", id="a line break"),
        pytest.param(special("a\\b"), "odd", id="a backslash"),
        pytest.param(special("\udcff"), "odd", id="no text"),
        pytest.param(special("\u202eabc"), "odd", id="right to left"),
        pytest.param(special("/".join("a" * 20)), "too deep", id="deep"),
        pytest.param(special("a" * 300), "too long", id="long"),
        pytest.param(special(".ferryman-download"), "one path", id="its own name"),
        pytest.param(special(pax_headers={"size": "-512"}), "there twice", id="a negative size"),
    ],
)
def test_names_and_sizes_that_no_file_has(pod, server, archive, words):
    server.files["/m.tar.gz"] = archive
    report = pod.run(f"{server.url}/m.tar.gz")
    assert report.problem == Problem.UNSAFE, report.detail
    assert words.replace("odd", "characters that no path") in report.detail
    assert (pod.output.count("\n"), pod.files()) == (1, {})


def test_names_that_differ_by_case_are_two_files(pod, server):
    """As they are to Triton; where a file system makes them one, the second is refused."""
    files = {"1/model.onnx": b"a", "1/Model.onnx": b"b"}
    server.files["/m.tar.gz"] = tar(files)
    assert pod.run(f"{server.url}/m.tar.gz").detail == ""
    assert pod.files() == files


def test_a_folder_on_top_whose_name_is_as_long_as_names_can_be(pod, server):
    server.files["/m.tar.gz"] = tar({f"{'ä' * 127}/{name}": each for name, each in MODEL.items()})
    assert pod.run(f"{server.url}/m.tar.gz").detail == ""
    assert pod.files() == MODEL


def listing(*entries):
    """Answer as an S3 store with these objects: key and size."""
    each = "".join(
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f'<ETag>"x"</ETag><Size>{size}</Size></Contents>'
        for key, size in entries
    )
    body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{each}</ListBucketResult>"

    def answer(request):
        if "list-type" in request.path:
            request.give(body.encode())
        else:
            content = b"x" if not request.path.endswith("empty") else b""
            when = "Thu, 01 Jan 2026 00:00:00 GMT"
            request.give(content, ETag='"x"', Last_Modified=when)

    return answer


@pytest.mark.parametrize("key", ["m/a//b", "m/../b", "m/./b", "m/a&#10;b"])
def test_objects_whose_names_no_file_can_have(pod, server, key):
    server.answer = listing((key, 1))
    report = pod.run("s3://models/m", endpoint=server.url)
    assert report.problem == Problem.UNSAFE, report.detail
    assert "no file can have" in report.detail


def test_an_object_that_is_a_folder_of_others_is_not_left_out_without_a_word(pod, server):
    server.answer = listing(("m/a", 1), ("m/a/b", 1))
    report = pod.run("s3://models/m", endpoint=server.url)
    assert (report.problem, pod.files()) == (Problem.UNSAFE, {})


def test_an_empty_object_that_a_console_made_for_a_folder_is_none(pod, server):
    server.answer = listing(("m/a", 0), ("m/a/b", 1), ("m/empty", 0))
    report = pod.run("s3://models/m", endpoint=server.url)
    assert (report.detail, pod.files()) == ("", {"a/b": b"x", "empty": b""})


def test_a_list_of_objects_that_is_none(pod, server):
    server.answer = lambda request: request.give(b"<a>")
    report = pod.run("s3://models/m", endpoint=server.url)
    assert (report.problem, "cannot be read" in report.detail) == (Problem.UNREACHABLE, True)


def test_more_objects_than_a_model_may_have_are_not_begun(pod, server):
    server.answer = listing(*((f"m/{n}", 1) for n in range(20_000)))
    report = pod.run("s3://models/m", endpoint=server.url)
    assert (report.problem, "more than 10000" in report.detail) == (Problem.TOO_LARGE, True)
    assert len(server.asked) == 1
