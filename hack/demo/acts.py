"""The three acts: what is served, how much is asked for, and what is made of what was seen."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

from hack.demo import pacing, pictures, report, scenario, stage
from hack.demo.pacing import Pace
from hack.demo.report import Outcome
from hack.demo.stage import Stage, Subject, Timing
from hack.demo.story import Story
from hack.load_job import LoadJob, LoadSpec
from hack.manifests import ROOT
from hack.models import digits, strips

PICTURES: Final = ROOT / "build"
FEW, MANY = 2, 16
#: Nothing is given up: what waits while the machine is short of batches or workers is answered.
PATIENCE_MS: Final = 300_000
RESCUE: Final = Timing(watched_s=10, stays_s=15)
#: Device time is spared only once the demand of half a minute is known.
ECONOMY: Final = Timing(watched_s=25, stays_s=20)
WORKERS: Final = Timing(watched_s=12, stays_s=20)
MOST_S: Final = {"rescue": 60, "economy": 90, "workers": 100}
_US_PER_MS: Final = 1_000


def rescue(at: Stage, pictures_to: Path = PICTURES) -> Outcome:
    """Play act 1: batches of two cannot serve what is asked, until the live cap is lifted."""
    name, batching = scenario.RUSH, scenario.TOO_SMALL
    at.tell(f"serving {name}, a recurrent network that starts with batches of {FEW}")
    subject = _model(name, batching, target_ms=pacing.LEAST_TARGET_MS)
    stage.serve(at, subject, scenario.WATCHES[subject.kind])
    few_ms, many_ms = (_typical_ms(at, subject, rows) for rows in (FEW, MANY))
    pace = pacing.drowning((FEW, few_ms), (MANY, many_ms))
    at.tell(
        f"a batch of {FEW} takes {few_ms:.0f} ms here and can serve {1e3 * FEW / few_ms:.0f} "
        f"requests/s; asked for: {pace.rate_per_s:g}/s within {pace.target_ms} ms"
    )
    story, status = _tuned(at, _model(name, batching, pace.target_ms), pace, "rescue", RESCUE)
    bounds = _values(story, "maxBatchSize")
    found = report.rescue(story, pace.target_ms, _node(status), bounds)
    drawn = pictures.rescue(story, pace.target_ms, pictures_to / "demo-1-rescue.svg")
    return replace(found, picture=drawn)


def economy(at: Stage, pictures_to: Path = PICTURES) -> Outcome:
    """Play act 2: there is time to wait for fuller batches, which need less of the device."""
    name, batching = scenario.SLACK, scenario.TOO_EAGER
    at.tell(f"serving {name}, the same network with few requests and a loose target")
    subject = _model(name, batching, pacing.SLACK_TARGET_MS)
    stage.serve(at, subject, scenario.WATCHES[subject.kind])
    single_ms = _typical_ms(at, subject, rows=1)
    pace = pacing.slack(single_ms)
    at.tell(
        f"a request alone takes {single_ms:.0f} ms of the device; asked for: "
        f"{pace.rate_per_s:g}/s within {pace.target_ms} ms"
    )
    story, status = _tuned(at, _model(name, batching, pace.target_ms), pace, "economy", ECONOMY)
    delays_ms = [us / _US_PER_MS for us in _values(story, "maxQueueDelayMicroseconds")]
    found = report.economy(story, pace.target_ms, _node(status), delays_ms)
    drawn = pictures.economy(story, pace.target_ms, pictures_to / "demo-2-economy.svg")
    return replace(found, picture=drawn)


def workers(at: Stage, pictures_to: Path = PICTURES) -> Outcome:
    """Play act 3: more pages are asked for than one worker of the slow step reads."""
    at.tell(f"serving {scenario.OCR}, a pipeline that reads pages, with one worker for each step")
    subject = _pipeline(rate_per_s=1)
    stage.serve(at, subject, scenario.WATCHES[subject.kind])
    found = stage.milliseconds(at.api, subject.service, subject.name, page_request())
    took_ms = {step: median(each) for step, each in found.items()}
    slowest = max((step for step in took_ms if step != scenario.OCR), key=lambda s: took_ms[s])
    rate = pacing.slow_step(took_ms[slowest])
    at.tell(
        f"{slowest} takes {took_ms[slowest]:.0f} ms a page, the others "
        f"{sum(ms for step, ms in took_ms.items() if step not in {slowest, scenario.OCR}):.0f} ms; "
        f"asked for: {rate:g} pages/s"
    )
    subject = _pipeline(rate)
    at_rate = LoadSpec(
        scenario.OCR,
        scenario.NAMESPACE,
        rate,
        MOST_S["workers"],
        Path(),
        service=subject.service,
        compare="characters",
    )
    story, status = _play(at, subject, at_rate, scenario.write_pages_input, WORKERS)
    outcome = report.workers(story, _home(status), took_ms)
    return replace(outcome, picture=pictures.workers(story, pictures_to / "demo-3-workers.svg"))


ACTS: Final[Sequence[Callable[[Stage], Outcome]]] = (rescue, economy, workers)
#: What is left of each act to look at: `kubectl describe` and `ferryman explain` take these.
LEFT: Final = (
    (f"imodel {scenario.RUSH}", scenario.RUSH),
    (f"imodel {scenario.SLACK}", scenario.SLACK),
    (f"ipipe {scenario.OCR}", f"{scenario.OCR} --pipeline"),
)


def _tuned(
    at: Stage, subject: Subject, pace: Pace, act: str, timing: Timing
) -> tuple[Story, dict[str, Any]]:
    spec = LoadSpec(subject.name, scenario.NAMESPACE, pace.rate_per_s, MOST_S[act], Path())
    return _play(at, subject, spec, scenario.write_strips_input, timing)


def _play(
    at: Stage,
    subject: Subject,
    spec: LoadSpec,
    write: Callable[[Path], Path],
    timing: Timing,
) -> tuple[Story, dict[str, Any]]:
    """State the objectives that follow from what was measured, and send the load."""
    stage.serve(at, subject, scenario.WATCHES[subject.kind])
    with tempfile.TemporaryDirectory() as folder:
        inputs = write(Path(folder) / "input.npz")
        spec = replace(spec, inputs=inputs, deadline_ms=PATIENCE_MS)
        job = LoadJob(at.cluster, spec, f"load-{subject.name}")
        story = stage.record(at, subject, job, timing)
    job.delete()
    return story


def _model(name: str, batching: Mapping[str, Any], target_ms: int) -> Subject:
    return Subject(
        kind="inferencemodel",
        name=name,
        service=f"{name}-triton",
        manifest=lambda mode: scenario.model(name, mode, target_ms, batching),
        setting=_applied,
        journal=lambda status: status.get("batching", {}).get("changes", []),
        busy_model=name,
    )


def _pipeline(rate_per_s: float) -> Subject:
    return Subject(
        kind="inferencepipeline",
        name=scenario.OCR,
        service=f"{scenario.OCR}-pipeline",
        manifest=lambda mode: scenario.reader(mode, rate_per_s),
        setting=lambda status: {
            step["name"]: step["instances"].get("observed", 1) for step in status["steps"]
        },
        journal=lambda status: status.get("balancing", {}).get("changes", []),
    )


def _applied(status: Mapping[str, Any]) -> dict[str, int]:
    applied = status.get("batching", {}).get("applied") or {}
    shown = ("maxBatchSize", "maxQueueDelayMicroseconds")
    return {name: applied.get(name, 0) for name in shown}


def _typical_ms(at: Stage, subject: Subject, rows: int) -> float:
    """Return how long a batch takes on this machine as busy as it is."""
    took = stage.milliseconds(at.api, subject.service, subject.name, _pictures(rows))
    return median(took[subject.name])


def _values(story: Story, name: str) -> list[int]:
    """Return the values of a setting that followed each other."""
    values = [look.setting[name] for look in story.looks]
    return [value for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def _node(status: Mapping[str, Any]) -> str:
    return str(status.get("placement", {}).get("preferredNode"))


def _home(status: Mapping[str, Any]) -> str:
    return str(status["steps"][0].get("nodeType"))


def _pictures(rows: int) -> dict[str, Any]:
    """Return a request of so many rows; one larger than the bound is a batch of its own."""
    images = strips.as_strips(digits.data().held_out_images[:rows])
    return _request("input", "FP32", images)


def page_request() -> dict[str, Any]:
    """Return a request to read one page."""
    return _request("page", "UINT8", scenario.known_pages()[0].image)


def _request(name: str, datatype: str, values: np.ndarray[Any, Any]) -> dict[str, Any]:
    tensor = {"name": name, "datatype": datatype, "shape": list(values.shape)}
    return {"inputs": [{**tensor, "data": values.ravel().tolist()}]}
