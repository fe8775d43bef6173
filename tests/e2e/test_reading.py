"""The demo's pipeline of trained networks: it reads what one process reads while it is balanced."""

from statistics import median

import pytest

from hack import installation
from hack.demo import acts, pacing, scenario, watching
from hack.demo.stage import milliseconds
from hack.load_job import LoadJob, LoadSpec
from hack.models.ocr import one_process, pipeline
from tests.e2e import models

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(900)]

SERVICE = f"{pipeline.NAME}-pipeline"
SLOW = "recognise"
LOAD_S = 75


def get(cluster):
    return installation.get(cluster, "inferencepipeline", pipeline.NAME, models.NAMESPACE)


def describe(cluster):
    where = f"--namespace={models.NAMESPACE}"
    logs = ("logs", "--namespace=ferryman-system", "deploy/ferryman-operator", "--tail=30")
    return "\n".join(
        (
            cluster.kubectl("get", "inferencepipeline", pipeline.NAME, where, "-o", "yaml"),
            cluster.kubectl("get", "pods,events", where, "-o", "wide"),
            cluster.kubectl(*logs),
        )
    )


@pytest.fixture(scope="module")
def served(ferryman, namespace):
    """Serve the pipeline with one worker for each step; return how many pages to ask it for."""
    installation.load_images(ferryman, "ocr")
    installation.apply(ferryman, scenario.reader("Auto", 1, namespace))
    installation.wait_for(
        f"{pipeline.NAME} to be Ready",
        lambda: (installation.condition(get(ferryman), "Ready") or {}).get("status") == "True",
        timeout_s=models.READY_TIMEOUT_S,
        explain=lambda: describe(ferryman),
    )
    with watching.opened(ferryman, namespace) as api:
        took_ms = milliseconds(api, SERVICE, pipeline.NAME, acts.page_request())
    steps = {step: median(each) for step, each in took_ms.items() if step != pipeline.NAME}
    assert max(steps, key=steps.get) == SLOW, steps
    return pacing.slow_step(steps[SLOW])


@pytest.fixture(scope="module")
def read(ferryman, served, tmp_path_factory):
    """Have more pages read than one worker of the slow step can; return summary and status."""
    known = scenario.known_pages()
    texts = one_process.texts([page.image for page in known])
    inputs = scenario.write_pages_input(tmp_path_factory.mktemp("pages") / "input.npz", texts)
    spec = LoadSpec(
        pipeline.NAME,
        models.NAMESPACE,
        rate_per_s=served,
        duration_s=LOAD_S,
        inputs=inputs,
        deadline_ms=180_000,
        service=SERVICE,
    )
    job = LoadJob(ferryman, spec, "load-ocr")
    job.start()
    summary = job.wait()
    job.delete()
    status = get(ferryman)["status"]
    yield summary, status
    installation.delete(ferryman, scenario.reader("Auto", 1, models.NAMESPACE))


def test_what_is_read_is_what_one_process_reads_and_no_page_fails(read):
    summary, _ = read

    assert (summary["failed"], summary["accuracy"]) == (0, 1.0), summary
    assert summary["sent"] > 0


def test_the_slow_step_gets_workers(read):
    _, status = read
    grown = [
        {each["step"]: each["instances"] for each in change["after"]}
        for change in status["balancing"]["changes"]
        if change["outcome"] == "Applied"
    ]

    # Where processors are busy with other things it may have been taken back since.
    assert grown, status["balancing"]
    most = max(each.get(SLOW, 1) for each in grown)
    others = [count for each in grown for step, count in each.items() if step != SLOW]
    assert most >= 2, status["balancing"]
    assert max(others, default=1) < most, status["balancing"]
