"""A disk that takes no more, really: what is said of it, and that nothing half-written stays.

The disks are small file systems in memory, mounted where no other process sees them.
"""

import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from ferryman.core.fetching.report import Problem, read_report
from ferryman.core.fetching.task import TASKS_ENV, encode
from ferryman.fetch.run import TERMINATION_LOG_ENV
from tests.integration.fetching import Authority, Pod, Server
from tests.integration.test_fetch import MODEL, WEIGHTS, tar

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

#: Arguments: a folder, options of its file system, a file for what is in it at the end, a command.
_ON_A_DISK = """\
folder=$1 listing=$3
mount -t tmpfs -o "$2" none "$folder"
shift 3
"$@"
status=$?
(cd "$folder" && find . -type f) > "$listing"
exit $status
"""
#: A limit on files' sizes is there without any privilege.
_LIMITED = "import resource, runpy, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
_PROGRAM = 'runpy.run_module("ferryman.fetch", run_name="__main__")'


@cache
def mounts():
    """Whether this machine lets a process mount a file system that it alone sees."""
    program = shutil.which("unshare")
    command = [program, "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    if program is None:
        return False
    done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority):
    server = Server(authority)
    server.files |= {"/model.onnx": WEIGHTS, "/large.onnx": WEIGHTS * 100}
    server.files["/many.tar.gz"] = tar({f"1/{n}": b"x" for n in range(60)})
    server.files["/m.tar.gz"] = tar(MODEL)
    yield server
    server.close()


@pytest.fixture
def pod(tmp_path, authority):
    return Pod(tmp_path, authority)


def ended(tmp_path, command, *tasks):
    """Run the container's program by a command; return its report."""
    log = tmp_path / "log"
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        TERMINATION_LOG_ENV: str(log),
        TASKS_ENV: encode(tasks),
    }
    subprocess.run(command, env=environ, timeout=120, check=False)
    return read_report(log.read_text())


def on_disk(tmp_path, pod, task, options):
    """Fetch onto a disk; return the report, and the files that are there at the end."""
    if not mounts():
        pytest.skip("this machine lets nobody mount a file system in a namespace of their own")
    listing = tmp_path / "listing"
    script = ["unshare", "-rm", "sh", "-c", _ON_A_DISK, "sh", str(pod.model), options, str(listing)]
    report = ended(tmp_path, [*script, sys.executable, "-m", "ferryman.fetch"], task)
    return report, listing.read_text().split()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        pytest.param("large.onnx", "size=64k", "no space is left", id="a file"),
        pytest.param("many.tar.gz", "size=128k", "no space is left", id="an archive's files"),
        pytest.param("many.tar.gz", "size=1m,nr_inodes=30", "no inodes left", id="no inodes"),
    ],
)
def test_a_disk_that_is_full(tmp_path, pod, server, name, options, words):
    report, files = on_disk(tmp_path, pod, pod.task(f"{server.url}/{name}"), options)
    assert (report.problem, words in report.detail) == (Problem.NOT_STORED, True), report
    assert files == []


def test_a_disk_with_room(tmp_path, pod, server):
    """Of the same size as one above: it is not the disk that fails there."""
    report, files = on_disk(tmp_path, pod, pod.task(f"{server.url}/m.tar.gz"), "size=64k")
    assert report.problem is None
    assert sorted(files) == ["./1/model.onnx", "./labels.txt"]


def test_a_file_larger_than_the_disk_takes(tmp_path, pod, server):
    command = [sys.executable, "-c", f"{_LIMITED}{_PROGRAM}"]
    report = ended(tmp_path, command, pod.task(f"{server.url}/model.onnx"))
    assert (report.problem, "larger than the node's disk" in report.detail) == (
        Problem.NOT_STORED,
        True,
    )
    assert pod.files() == {}


@pytest.mark.parametrize("max_bytes", [100_000, 300_000], ids=["too few", "enough"])
def test_what_a_disk_takes_of_small_files_counts_as_the_kubelet_does(pod, server, max_bytes):
    """60 files of a byte take a block each: a volume of less would have its pod evicted."""
    report = pod.run(f"{server.url}/many.tar.gz", max_bytes=max_bytes)
    assert (report.problem == Problem.TOO_LARGE) == (max_bytes == 100_000)
    taken = sum(path.stat().st_blocks for path in pod.model.rglob("*")) * 512
    assert taken <= max_bytes


def test_a_report_that_cannot_be_written_is_no_reason_not_to_serve(tmp_path, pod, server):
    environ = {TASKS_ENV: encode((pod.task(f"{server.url}/model.onnx"),))}
    paths = {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-m", "ferryman.fetch"],
        env={**paths, **environ, TERMINATION_LOG_ENV: "/dev/full"},
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert b"the report cannot be written" in done.stderr
    assert pod.files() == {"model.onnx": WEIGHTS}
