"""A cache that pods share: it saves the way to the source, and is neither believed nor needed."""

import os
import subprocess
import sys
import time

import pytest

from ferryman.core.fetching.cache import FILE, FILES, entry_name
from ferryman.core.fetching.report import Problem
from tests.integration.fetching import Authority, Pod, Server
from tests.integration.test_fetch import MODEL, WEIGHTS, sha256, tar
from tests.integration.test_fetch_disk import ended, mounts
from tests.integration.test_fetch_hub import COMMIT, REPO, URI, hub  # noqa: F401
from tests.integration.test_fetch_hub import FILES as HUB_FILES
from tests.integration.test_fetch_s3 import listed

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ARCHIVE = tar(MODEL)
DIGEST = sha256(ARCHIVE)
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority):
    server = Server(authority)
    server.files |= {"/m.tar.gz": ARCHIVE, "/other/name.tgz": ARCHIVE, "/model.onnx": WEIGHTS}
    yield server
    server.close()


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def pods(tmp_path, authority):
    """Return what makes pods, each with folders of its own."""

    def make(name):
        (tmp_path / name).mkdir()
        return Pod(tmp_path / name, authority)

    return make


def run(pod, server, root, name="m.tar.gz", digest=DIGEST, **fields):
    stated = {"cache": str(root), "cache_bytes": LIMIT, "sha256": digest, **fields}
    return pod.run(f"{server.url}/{name}", **stated)


def asked(server):
    return [path for path, _ in server.asked]


def kept(root):
    return sorted(path.name for path in root.iterdir())


def test_the_next_pod_needs_no_source(pods, server, root):
    first, second = pods("first"), pods("second")
    assert run(first, server, root).detail == ""
    server.close()
    report = run(second, server, root, "other/name.tgz")
    assert (report.detail, second.files()) == ("", MODEL)
    assert report.fetched[0].digest == f"sha256:{DIGEST}"
    assert kept(root) == [entry_name(DIGEST)]


def test_several_files_are_kept_by_the_digest_of_their_list(pods, hub, root):  # noqa: F811
    stated = {"cache": str(root), "cache_bytes": LIMIT, "sha256": listed(HUB_FILES)}
    first, second = pods("first"), pods("second")
    assert first.run(URI, endpoint=hub.url, **stated).detail == ""
    before = len(hub.asked)
    assert second.run(URI, endpoint=hub.url, **stated).detail == ""
    assert (second.files(), len(hub.asked)) == (HUB_FILES, before)


def test_without_a_digest_nothing_is_kept_or_taken(pods, server, root):
    assert run(pods("first"), server, root, digest="").detail == ""
    assert kept(root) == []


def test_another_digest_than_the_sources_is_not_kept(pods, server, root):
    report = run(pods("first"), server, root, digest="0" * 64)
    assert (report.problem, kept(root)) == (Problem.MISMATCH, [])


def poison(entry, **files):
    """Put something else under the name of what is good."""
    for name, content in files.items():
        path = entry / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def linked(entry):
    entry.mkdir()
    (entry / FILE).symlink_to("/etc/passwd")


def piped(entry):
    entry.mkdir()
    os.mkfifo(entry / FILE)


def leading_out(entry):
    (entry / FILES).mkdir(parents=True)
    (entry / FILES / "passwd").symlink_to("/etc/passwd")
    (entry / FILES / "etc").symlink_to("/etc")


POISONS = {
    "another archive": lambda entry: poison(entry, **{FILE: tar({"1/model.onnx": b"evil"})}),
    "half of it": lambda entry: poison(entry, **{FILE: ARCHIVE[:100]}),
    "several files": lambda entry: poison(entry, **{f"{FILES}/1/model.onnx": b"evil"}),
    "a link": linked,
    "a pipe": piped,
    "links among files": leading_out,
    "a link to nothing": lambda entry: entry.symlink_to("/nowhere"),
    "a link to a folder": lambda entry: entry.symlink_to("/etc"),
    "an empty folder": lambda entry: entry.mkdir(),
    "a file": lambda entry: entry.write_bytes(b"evil"),
    "more than the limit": lambda entry: poison(entry, **{FILE: bytes(60 << 20)}),
    "a name with odd characters": lambda entry: poison(entry, **{f"{FILES}/a\nb": b"x"}),
}


@pytest.mark.parametrize("spoil", POISONS.values(), ids=POISONS)
def test_nothing_else_is_served_whoever_put_it_there(pods, server, root, spoil):
    spoil(root / entry_name(DIGEST))
    first, second = pods("first"), pods("second")
    assert run(first, server, root).detail == ""
    assert (first.files(), asked(server)) == (MODEL, ["/m.tar.gz"])
    assert kept(root) == [entry_name(DIGEST)]
    assert run(second, server, root).detail == ""
    assert (second.files(), len(server.asked)) == (MODEL, 1)


def test_the_least_recently_used_goes(pods, server, root):
    """Each takes 100 KiB of 250: what was used between stays."""
    contents = {f"{n}.onnx": bytes([n]) * 100_000 for n in range(3)}
    server.files |= {f"/{name}": content for name, content in contents.items()}
    names = {name: entry_name(sha256(content)) for name, content in contents.items()}

    def fetch(pod, name):
        digest = sha256(contents[name])
        assert run(pods(pod), server, root, name, digest, cache_bytes=250_000).detail == ""

    for index, name in enumerate(("0.onnx", "1.onnx")):
        fetch(f"first-{index}", name)
        past_s = time.time() - 100 + index
        os.utime(root / names[name], (past_s, past_s))
    fetch("again", "0.onnx")
    fetch("last", "2.onnx")
    assert kept(root) == sorted([names["0.onnx"], names["2.onnx"]])


def test_what_was_left_behind_long_ago_goes(pods, server, root):
    for name, days in ((".new-old", 3), (".new-young", 0), ("lost+found", 9)):
        (root / name).mkdir()
        past_s = time.time() - days * 86_400
        os.utime(root / name, (past_s, past_s))
    assert run(pods("pod"), server, root).detail == ""
    assert kept(root) == [".new-young", "lost+found", entry_name(DIGEST)]


def test_a_cache_that_is_not_there_or_too_small_costs_the_time(pods, server, root):
    missing, small = pods("missing"), pods("small")
    assert run(missing, server, root / "nowhere").detail == ""
    assert run(small, server, root, cache_bytes=10).detail == ""
    assert (missing.files(), small.files(), kept(root)) == (MODEL, MODEL, [])


#: Mounts a small file system, does something to it, runs the program, and lists what is kept.
_MOUNTED = """\
set -e
cache=$1 listing=$3
mount -t tmpfs -o size=64k none "$cache"
eval "$2"
shift 3
"$@"
ls -A "$cache" > "$listing"
"""
SPOILED = {
    "full": 'head -c 65536 /dev/zero > "$cache/theirs" || true',
    "read-only": 'mount -o remount,ro "$cache"',
}


def on_small_disk(tmp_path, root, spoil, *tasks):
    """Fetch with a cache of 64 KiB, whatever its limit says; return what it keeps."""
    if not mounts():
        pytest.skip("this machine lets nobody mount a file system in a namespace of their own")
    log, listing = tmp_path / "log", tmp_path / "listing"
    script = ["unshare", "-rm", "sh", "-c", _MOUNTED, "sh", str(root), spoil, str(listing)]
    report = ended(tmp_path, [*script, sys.executable, "-m", "ferryman.fetch"], *tasks)
    assert report.problem is None, log.read_text()
    return listing.read_text().split()


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_disk_that_takes_nothing_costs_the_time(pods, server, root, tmp_path, spoil):
    pod = pods("pod")
    task = pod.task(f"{server.url}/m.tar.gz", cache=str(root), cache_bytes=LIMIT, sha256=DIGEST)
    assert entry_name(DIGEST) not in on_small_disk(tmp_path, root, spoil, task)
    assert pod.files() == MODEL


def test_a_small_disk_makes_room_whatever_the_limit_says(pods, server, root, tmp_path):
    """Two files do not fit on it: the first goes for the second."""
    contents = [bytes([n]) * 40_000 for n in range(2)]
    server.files |= {f"/{n}.onnx": content for n, content in enumerate(contents)}
    stated = {"cache": str(root), "cache_bytes": LIMIT}
    tasks = [
        pods(f"pod-{n}").task(f"{server.url}/{n}.onnx", sha256=sha256(content), **stated)
        for n, content in enumerate(contents)
    ]
    assert on_small_disk(tmp_path, root, "true", *tasks) == [entry_name(sha256(contents[1]))]


_WRITER = """\
import sys, time
from pathlib import Path
from ferryman.core.fetching.task import FetchTask
from ferryman.fetch.cache import Cache
from ferryman.fetch.folder import Folder
from hashlib import sha256
root, own, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
taken = 0
for number in range(rounds):
    content = bytes([number % 5]) * 50_000
    digest = sha256(content).hexdigest()
    stated = {"sha256": digest, "cache": root, "cache_bytes": 120_000}
    task = FetchTask("https://h/m.onnx", str(own), 1 << 20, 100, **stated)
    cache = Cache(task, time.monotonic() + 100)
    folder = Folder(own, 1 << 20)
    if cache.take(folder) == "m.onnx":
        taken += 1
        assert (own / "m.onnx").read_bytes() == content
        continue
    folder = Folder(own, 1 << 20)
    folder.write("m.onnx", [content])
    cache.put(folder, "m.onnx")
print(taken)
"""


def test_many_pods_at_once_take_and_put_and_evict(tmp_path, root):
    """Of five entries two fit: whatever is found meanwhile is whole, and nothing is left behind."""
    paths = os.pathsep.join(path for path in sys.path if path)
    writers = []
    for number in range(4):
        (own := tmp_path / f"own-{number}").mkdir()
        command = [sys.executable, "-c", _WRITER, str(root), str(own), "60"]
        writers.append(
            subprocess.Popen(
                command, env={"PYTHONPATH": paths}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    said = [writer.communicate(timeout=200) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, said
    assert sum(int(out) for out, _ in said) > 0
    assert 1 <= len(kept(root)) <= 5
    for entry in root.iterdir():
        assert entry.name == entry_name(sha256((entry / FILE).read_bytes()))
