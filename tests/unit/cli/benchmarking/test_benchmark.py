# ruff: noqa: D102  the double is described by the protocol it stands in for
import json
from datetime import timedelta

import pytest
from rich.console import Console

from ferryman.api import names
from ferryman.cli import main
from ferryman.cli.benchmarking import benchmark as command
from ferryman.cli.benchmarking import cluster as benchmark_cluster
from ferryman.cli.benchmarking import view as benchmark_view
from ferryman.cli.benchmarking.cluster import has_begun, phase, title
from ferryman.cli.benchmarking.follow import JobView, TimedOutError, follow, request
from ferryman.cli.errors import GatherError
from ferryman.clients.cluster import ApiServerError
from ferryman.core.benchmark import job as benchmark_job
from ferryman.core.benchmark.schedule import Measurement
from tests.factories import (
    CPU_IMAGE,
    NOW,
    at,
    benchmark,
    points,
    processor,
    profile,
    runtime,
    runtime_processor,
)

CPU_RUNTIME = runtime(processors=[runtime_processor("cpu")])


class FakeCluster:
    """A cluster whose operator measures after some looks."""

    def __init__(self, *, looks=3, table=None, runtimes=(CPU_RUNTIME,), before=None):
        self.now_s = 0.0
        self.looks = looks
        self.table = table or benchmark(measured_at=at(60))
        self.served = tuple(runtimes)
        self.before = before or benchmark(measured_at=at(-600))
        self.requests = []
        self.job_views = []
        self.refusal = None

    def profile(self, node):
        if node != "node-1":
            raise GatherError(f'nodeprofiles "{node}" not found')
        done = self.requests and self.now_s >= 2.0 * self.looks
        return profile(benchmarks=[self.table if done else self.before])

    def runtimes(self):
        return self.served

    def request(self, node, at):
        self.requests.append((node, at))

    def jobs(self, node_type):
        assert node_type == "cpu-small"
        if self.refusal:
            raise self.refusal
        return tuple(self.job_views.pop(0)) if self.job_views else ()

    def clock(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


def followed(cluster, timeout_s=60.0):
    lines = []
    asked = request(cluster, "node-1", NOW)
    found = follow(
        cluster, asked, lines.append, timeout_s=timeout_s, clock=cluster.clock, sleep=cluster.sleep
    )
    return found, lines


def test_a_request_is_the_annotation_with_the_time():
    cluster = FakeCluster()
    asked = request(cluster, "node-1", NOW)
    assert cluster.requests == [("node-1", at(0))]
    assert asked.subjects == (("cpu-small", "cpu", "triton"),)


def test_a_request_is_later_than_what_was_measured_even_if_the_clock_here_is_slow():
    cluster = FakeCluster(before=benchmark(measured_at=at(300)))
    assert request(cluster, "node-1", NOW).at == NOW + timedelta(seconds=301)


@pytest.mark.parametrize(
    "runtimes",
    [
        pytest.param([], id="no runtime"),
        pytest.param([runtime(measured=False)], id="none that measures"),
        pytest.param([runtime(processors=[runtime_processor("gpu")])], id="none for its class"),
    ],
)
def test_where_nothing_would_be_measured_nothing_is_asked(runtimes):
    cluster = FakeCluster(runtimes=runtimes)
    assert request(cluster, "node-1", NOW) is None
    assert cluster.requests == []


def test_what_the_jobs_say_is_told_once_as_it_comes():
    cluster = FakeCluster(looks=4)
    named = ("job-1", "cpu under triton")
    cluster.job_views = [
        [],
        [JobView(*named, "Pending (ContainerCreating)")],
        [JobView(*named, "Running", ("waiting for model", "batch size 1: 50 images/s"))],
        [JobView(*named, "Running", ("waiting for model", "batch size 1: 50 images/s", "peak"))],
    ]
    found, lines = followed(cluster)
    assert found.status.benchmarks == (cluster.table,)
    assert lines == [
        "cpu under triton: Pending (ContainerCreating)",
        "cpu under triton: Running",
        "cpu under triton: waiting for model",
        "cpu under triton: batch size 1: 50 images/s",
        "cpu under triton: peak",
    ]


def test_who_may_not_see_the_jobs_gets_the_table_all_the_same():
    cluster = FakeCluster()
    cluster.refusal = GatherError("jobs is forbidden")
    found, lines = followed(cluster)
    assert found.status.benchmarks == (cluster.table,)
    assert lines == ["progress cannot be shown: jobs is forbidden"]


def test_a_table_that_does_not_come_in_time_is_an_error_that_names_it():
    cluster = FakeCluster(looks=1000)
    with pytest.raises(TimedOutError, match="after 60 s there is still no table of cpu under tri"):
        followed(cluster)
    assert cluster.now_s == 60.0


def shown(*tables):
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        benchmark_view.show(tables, console)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_table_is_shown_with_its_intervals():
    rows = [
        points(50.0)[0].with_(images_per_second_half_width=1.25, rounds=4, ended="Stable"),
        points(50.0, 80.0)[1],
    ]
    about = {"driver": "550.1", "sharing": "mps among 2", "note": "cut"}
    assert shown(benchmark(points=rows, measured_at=at(0), **about)) == [
        f"cpu-small cpu under triton ({CPU_IMAGE}, driver 550.1, mps among 2)",
        f"measured on cpu-small-1, {at(0)}; up to 2 instances are of use",
        "cut",
        "BATCH IMAGES/S ± (95 %) P50 MS P99 MS ROUNDS ENDED",
        "1 50 1.2 20 24 4 Stable",
        "2 80 - 25 30 - -",
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param((), "the measurement failed: boom", id="no rows at all"),
        pytest.param(
            points(5.0),
            "the measurement failed: boom; the rows are of an earlier one",
            id="rows of before",
        ),
    ],
)
def test_a_failure_is_said(rows, words):
    found = shown(benchmark(points=rows, error="boom", max_instances=None))
    assert found[1].endswith("how many instances are of use was not measured")
    assert found[2] == words
    assert (len(found) > 3) is bool(rows)


# The command.


@pytest.fixture
def cluster(monkeypatch):
    found = FakeCluster()
    monkeypatch.setattr(benchmark_cluster, "BenchmarkCluster", lambda *_: found)
    monkeypatch.setattr(command.time, "monotonic", found.clock)
    monkeypatch.setattr(command.time, "sleep", found.sleep)
    # Requests are made at the real time: the table must be newer.
    found.table = benchmark(measured_at="2099-01-01T00:00:00Z")
    return found


def test_without_wait_it_asks_and_returns(cluster, capsys):
    assert main.main(["benchmark", "node-1"]) == 0
    told = capsys.readouterr()
    assert len(cluster.requests) == 1
    assert told.out == ""
    assert told.err.startswith(
        "ferryman benchmark: asked for a measurement of cpu-small (cpu under triton) at "
    )


def test_with_wait_it_ends_with_the_table(cluster, capsys):
    assert main.main(["benchmark", "node-1", "--wait"]) == 0
    assert "IMAGES/S" in capsys.readouterr().out


def test_with_wait_as_json(cluster, capsys):
    assert main.main(["benchmark", "node-1", "--wait", "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"node": "node-1", "benchmarks": [cluster.table.as_dict()]}


def test_a_measurement_that_failed_is_exit_status_1(cluster, capsys):
    cluster.table = cluster.table.with_(error="boom")
    assert main.main(["benchmark", "node-1", "--wait"]) == 1
    assert "the measurement failed: boom" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["nowhere"], 'nodeprofiles "nowhere" not found', id="no such node"),
        pytest.param(["node-1", "--wait", "--timeout", "4"], "after 4 s there is", id="too long"),
    ],
)
def test_what_goes_wrong_is_one_line_and_exit_status_1(cluster, capsys, arguments, words):
    assert main.main(["benchmark", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_node_that_no_runtime_measures_is_exit_status_1(cluster, capsys):
    cluster.served = ()
    assert main.main(["benchmark", "node-1"]) == 1
    assert "no InferenceRuntime measures a processor of node-1" in capsys.readouterr().err


# What the cluster's objects say.

MEASUREMENT = Measurement("cpu-small", "cpu", "triton", CPU_IMAGE, "node-7")


def job(**status):
    manifest = benchmark_job.job(
        MEASUREMENT, CPU_RUNTIME, namespace="f", image="i", encode=json.dumps
    )
    return {**manifest, "status": status}


def test_a_job_is_called_by_what_it_measures():
    assert title(job()) == "cpu under triton on node-7"
    assert title({"metadata": {"name": "other"}}) == "other"


def pod(pod_phase="Pending", **status):
    return {"metadata": {"name": "p", "labels": {}}, "status": {"phase": pod_phase, **status}}


def waiting(name, reason):
    return {"name": name, "state": {"waiting": {"reason": reason}}}


UNBOUND = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu"}
ENDED = {"type": "Complete", "status": "True"}


@pytest.mark.parametrize(
    ("manifest", "own", "words"),
    [
        pytest.param(job(), None, "no pod yet", id="just created"),
        pytest.param(
            job(),
            pod(conditions=[UNBOUND]),
            "Pending (0/1 nodes: Insufficient cpu)",
            id="no node takes it",
        ),
        pytest.param(
            job(),
            pod(
                initContainerStatuses=[waiting("layout", "ErrImagePull")],
                containerStatuses=[waiting("benchmark", "PodInitializing")],
            ),
            "Pending (ErrImagePull)",
            id="an image is missing",
        ),
        pytest.param(
            job(),
            pod("Running", containerStatuses=[{"name": "benchmark", "state": {"running": {}}}]),
            "Running",
            id="it runs",
        ),
        pytest.param(job(conditions=[ENDED]), pod("Succeeded"), "Complete", id="it ended"),
        pytest.param(
            job(conditions=[{**ENDED, "status": "False"}]), None, "no pod yet", id="not yet true"
        ),
    ],
)
def test_how_far_a_job_is(manifest, own, words):
    assert phase(manifest, own) == words


@pytest.mark.parametrize(
    ("state", "begun"),
    [({"running": {}}, True), ({"terminated": {}}, True), ({"waiting": {}}, False)],
    ids=["running", "ended", "waiting"],
)
def test_a_log_is_read_once_there_is_one(state, begun):
    assert has_begun(pod(containerStatuses=[{"name": "benchmark", "state": state}])) is begun
    assert not has_begun(pod(containerStatuses=[{"name": "triton", "state": {"running": {}}}]))


def api(monkeypatch, **answers):
    """Return a BenchmarkCluster before an API server that gives these answers by their paths."""

    class Answers:
        def __getattr__(self, verb):
            def answer(path, *arguments):
                calls.append((verb, path, *arguments))
                found = answers.get(path.rpartition("/")[2])
                if isinstance(found, Exception):
                    raise found
                return found

            return answer

    calls = []
    monkeypatch.setattr(benchmark_cluster.gather, "connect", lambda _: Answers())
    return benchmark_cluster.BenchmarkCluster(None, "ferryman-system"), calls


def test_jobs_are_read_with_their_pods_and_logs(monkeypatch):
    name = job()["metadata"]["name"]
    running = [{"name": "benchmark", "state": {"running": {}}}]
    own = pod("Running", containerStatuses=running)
    own["metadata"]["labels"]["batch.kubernetes.io/job-name"] = name
    found, calls = api(monkeypatch, jobs=[job()], pods=[pod(), own], log="one\ntwo\n")
    assert found.jobs("cpu-small") == (
        JobView(name, "cpu under triton on node-7", "Running", ("one", "two")),
    )
    selector = f"{names.LABEL_BENCHMARK},{names.LABEL_NODE_TYPE}=cpu-small"
    pods = "/api/v1/namespaces/ferryman-system/pods"
    assert calls == [
        ("items", "/apis/batch/v1/namespaces/ferryman-system/jobs", selector),
        ("items", pods, selector),
        ("text", f"{pods}/p/log", [("container", "benchmark")]),
    ]


def test_a_log_that_cannot_be_read_is_a_line_of_it(monkeypatch):
    own = pod("Running", containerStatuses=[{"name": "benchmark", "state": {"running": {}}}])
    own["metadata"]["labels"]["batch.kubernetes.io/job-name"] = job()["metadata"]["name"]
    refused = ApiServerError("GET log", "pods/log is forbidden", 403)
    found, _ = api(monkeypatch, jobs=[job()], pods=[own], log=refused)
    [view] = found.jobs("cpu-small")
    assert view.lines == ("its log cannot be read: pods/log is forbidden",)


PROFILE = "/apis/serving.ferryman.dev/v1alpha1/nodeprofiles/node-1"


def test_a_request_is_one_annotation_of_the_profile(monkeypatch):
    found, calls = api(monkeypatch)
    found.request("node-1", at(0))
    wanted = {names.ANNOTATION_BENCHMARK_REQUESTED: at(0)}
    assert calls == [("merge", PROFILE, {"metadata": {"annotations": wanted}})]


def test_profiles_and_runtimes_are_parsed(monkeypatch):
    known = profile(processors=[processor()])
    answers = {"node-1": known.as_dict(), "inferenceruntimes": [CPU_RUNTIME.as_dict()]}
    found, calls = api(monkeypatch, **answers)
    assert found.profile("node-1") == known
    assert found.runtimes() == (CPU_RUNTIME,)
    assert calls[0] == ("get", PROFILE)


def test_what_this_version_cannot_read_is_said(monkeypatch):
    found, _ = api(monkeypatch, n={"metadata": {"name": "n"}, "status": {"notes": 5}})
    with pytest.raises(GatherError, match="NodeProfile n is malformed"):
        found.profile("n")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        pytest.param(None, "the API server does not answer: its words", id="it is silent"),
        pytest.param(403, "^its words", id="it refuses"),
    ],
)
def test_what_the_api_server_does_not_give_is_said(monkeypatch, status, words):
    found, _ = api(monkeypatch, n=ApiServerError("GET n", "its words", status))
    with pytest.raises(GatherError, match=words):
        found.profile("n")
