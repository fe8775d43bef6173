"""What a pod fetches from a server that speaks the two addresses of the hub."""

import json

import pytest

from ferryman.core.fetching.report import Problem
from tests.integration.fetching import Authority, Pod, Server
from tests.integration.test_fetch import MODEL, WEIGHTS, sha256
from tests.integration.test_fetch_s3 import listed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

COMMIT = "c0ffee" + "0" * 34
REPO = "/api/models/onnx-community/resnet-50/revision"
URI = "hf://onnx-community/resnet-50"
TOKEN = "hf_0123456789"  # noqa: S105  of a test
FILES = {**{f"onnx/{name}": content for name, content in MODEL.items()}, "README.md": b"read"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def hub(authority):
    server = Server(authority)
    listing = {"sha": COMMIT, "siblings": [{"rfilename": name} for name in FILES]}
    for revision in ("main", "v1"):
        server.files[f"{REPO}/{revision}"] = json.dumps(listing).encode()
    for name, content in FILES.items():
        server.files[f"/onnx-community/resnet-50/resolve/{COMMIT}/{name}"] = content
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    return Pod(tmp_path, authority)


def test_a_repository_by_the_commit_that_its_branch_has(pod, hub):
    report = pod.run(URI, endpoint=hub.url)
    assert (report.detail, pod.files()) == ("", FILES)
    assert report.fetched[0].revision == COMMIT
    assert report.fetched[0].digest == f"sha256:{listed(FILES)}"


def test_a_folder_of_a_revision(pod, hub):
    report = pod.run(f"{URI}@v1/onnx", endpoint=hub.url)
    assert (report.detail, pod.files()) == ("", MODEL)
    assert hub.asked[0][0] == f"{REPO}/v1"


def test_one_file(pod, hub):
    report = pod.run(f"{URI}/onnx/1/model.onnx", endpoint=hub.url, sha256=sha256(WEIGHTS))
    assert (report.detail, pod.files()) == ("", {"model.onnx": WEIGHTS})


def test_the_token_is_shown_to_the_hub_and_not_to_where_files_lie(pod, hub, authority):
    pod.give(HF_TOKEN=TOKEN)
    store = Server(authority)
    store.files["/blob"] = WEIGHTS

    def answer(request):
        if "/resolve/" in request.path:
            request.give(b"", 302, Location=f"{store.url}/blob")
        else:
            hub._file(request)

    hub.answer = answer
    assert pod.run(f"{URI}/onnx/1/model.onnx", endpoint=hub.url).detail == ""
    store.close()
    assert {shown for _, shown in hub.asked} == {f"Bearer {TOKEN}"}
    assert store.asked == [("/blob", None)]


@pytest.mark.parametrize(
    ("uri", "problem", "words"),
    [
        pytest.param("hf://no/repo", Problem.NOT_FOUND, "no hf://no/repo", id="repository"),
        pytest.param(f"{URI}@v2", Problem.NOT_FOUND, "v2", id="revision"),
        pytest.param(f"{URI}/other", Problem.NOT_FOUND, "other", id="folder"),
    ],
)
def test_what_is_not_there(pod, hub, uri, problem, words):
    report = pod.run(uri, endpoint=hub.url)
    assert report.problem == problem, report.detail
    assert words in report.detail


def test_a_wrong_token(pod, hub):
    pod.give(HF_TOKEN=TOKEN)
    hub.answer = lambda request: request.give(b"", 401)
    report = pod.run(URI, endpoint=hub.url)
    assert (report.problem, TOKEN in report.detail + pod.output) == (Problem.FORBIDDEN, False)


@pytest.mark.parametrize(
    ("listing", "problem"),
    [
        pytest.param({"sha": COMMIT, "siblings": [{"rfilename": "../x"}]}, Problem.UNSAFE, id="up"),
        pytest.param({"sha": "../x", "siblings": []}, Problem.UNREACHABLE, id="no commit"),
        pytest.param([], Problem.UNREACHABLE, id="no listing"),
        pytest.param({"sha": COMMIT, "siblings": 1}, Problem.NOT_FOUND, id="no files"),
        pytest.param(
            {"sha": COMMIT, "siblings": [{"rfilename": f"{n}"} for n in range(10_001)]},
            Problem.TOO_LARGE,
            id="too many files",
        ),
        pytest.param([{}] * 2_000_000, Problem.TOO_LARGE, id="a list that would fill the memory"),
    ],
)
def test_a_hub_that_means_harm(pod, hub, listing, problem):
    hub.answer = lambda request: request.give(json.dumps(listing).encode())
    assert pod.run(URI, endpoint=hub.url).problem == problem
    assert pod.files() == {}
