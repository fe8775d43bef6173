"""Draw a dashboard's panels from a real Prometheus' answers: ``python -m hack.monitoring.draw``.

What is scraped is the operator's own page and one like Triton's, fed window by window from a run of
the digital twin under the operator's tuner: one window of the scenario lasts a second here.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from prometheus_client import CollectorRegistry, Counter, start_http_server

from ferryman.api.batching import Batching
from ferryman.api.conditions import Condition
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
)
from ferryman.cli.files import scenario_file
from ferryman.core import timestamps
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import Window
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.tuners import select
from ferryman.handlers import health
from ferryman.handlers.metrics import Metrics
from hack.manifests import ROOT
from hack.monitoring import prometheus
from hack.monitoring.dashboards import ONE, Panel

SCENARIO: Final = ROOT / "benchmarks" / "scenarios" / "step.yaml"
PICTURE: Final = ROOT / "docs" / "monitoring" / "one-model.svg"
NAME: Final = "twin"
PORT: Final = 19_090
_COLUMNS: Final = 2
_US_PER_MS: Final = 1000.0
_COLOURS: Final = ("#1b6ca8", "#c8553d", "#3c8d40", "#8d5fb0")


@dataclass(frozen=True, slots=True)
class Looked:
    """A window of the run, and what was decided from it."""

    window: Window
    applied: Batching
    reason: str


def looks(scenario: Scenario) -> list[Looked]:
    """Return every window of a run of the twin under the operator's tuner."""
    found: list[Looked] = []

    def look(*arguments: Any) -> Any:  # noqa: ANN401  the tuner's own
        word = select.tune(*arguments)
        found.append(Looked(arguments[3], arguments[2], word.reason))
        return word

    start = Tuned(look, select.TunerState(), scenario.start)
    simulate(scenario, loads.draw(scenario), start)
    return found


def status(
    scenario: Scenario, look: Looked, changes: tuple[BatchingChange, ...]
) -> InferenceModelStatus:
    """Return what the operator would write after a window."""
    window = look.window
    verdict = judge(scenario.objectives, window)
    met = Condition(
        type="ObjectivesMet",
        status={True: "True", False: "False", None: "Unknown"}[verdict.met],
        reason=verdict.reason,
        message=verdict.message,
        last_transition_time=timestamps.text(datetime.now(UTC)),
    )
    return InferenceModelStatus(
        ready_replicas=scenario.replicas,
        conditions=(met,),
        placement=PlacementStatus(
            node_type="twin", processor="cpu", reason="LeastWorkload", message=""
        ),
        batching=BatchingStatus(applied=look.applied, changes=changes),
        observed=ObservedStatus(
            latency_milliseconds=window.latency_ms,
            mean_latency_milliseconds=window.mean_latency_ms,
            inferences_per_second=window.inferences_per_s,
            mean_batch_size=window.mean_batch_size,
            failed_requests=window.failures,
        ),
    )


async def feed(scenario: Scenario, run: Sequence[Looked], metrics: Metrics, busy: Counter) -> None:
    """Show one window a second."""
    model = _model(scenario)
    changes: tuple[BatchingChange, ...] = ()
    previous = run[0]
    for look in run:
        if look.applied != previous.applied:
            changes = (_change(previous, look),)
        metrics.show(model, status(scenario, look, changes))
        # Of a second of the scenario, since one is drawn for a window.
        batches = look.window.inferences / max(look.window.mean_batch_size or 1.0, 1.0)
        busy_ms = batches * (look.window.compute_ms or 0.0) / look.window.seconds
        busy.labels(NAME, "1").inc(busy_ms * _US_PER_MS)
        previous = look
        await asyncio.sleep(1.0)


def _model(scenario: Scenario) -> InferenceModel:
    source = {"storageUri": "pvc://twin", "modelFormat": {"name": "onnx"}}
    spec = {"model": source, "runtimeRef": {"name": "twin"}, "replicas": scenario.replicas}
    metadata = {"name": NAME, "namespace": "default", "uid": "twin"}
    objectives = scenario.objectives.as_dict()
    return InferenceModel.model_validate(
        {"metadata": metadata, "spec": {**spec, "objectives": objectives}}
    )


def _change(before: Looked, after: Looked) -> BatchingChange:
    return BatchingChange(
        time=timestamps.text(datetime.now(UTC)),
        before=before.applied,
        after=after.applied,
        actuator="InPlace",
        reason=before.reason,
        message="",
        outcome="Applied",
    )


@contextmanager
def _serving_pod() -> Iterator[tuple[Counter, int]]:
    registry = CollectorRegistry()
    name, words = "nv_inference_compute_infer_duration_us", "As Triton's"
    busy = Counter(name, words, ("model", "version"), registry=registry)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        yield busy, server.server_port
    finally:
        server.shutdown()
        thread.join()


async def drawn(scenario: Scenario, windows: int) -> Figure:
    """Run Prometheus beside the run of the twin, and draw what it answers."""
    run = looks(scenario)[:windows]
    metrics, state = Metrics(), health.Health(time.monotonic)
    with _serving_pod() as (busy, pod_port):
        async with health.serve(state, metrics, host="127.0.0.1", port=0) as port:
            targets = {
                "ferryman": {"honor_labels": True, **_target(port)},
                # A counter of Python's ends in _total, Triton's does not.
                "ferryman-serving": {
                    **_target(pod_port, namespace="default", pod=f"{NAME}-triton-0"),
                    "metric_relabel_configs": [
                        {
                            "source_labels": ["__name__"],
                            "regex": "(nv_.+_us)_total",
                            "target_label": "__name__",
                        }
                    ],
                },
            }
            with (
                tempfile.TemporaryDirectory() as folder,
                prometheus.running(Path(folder), PORT, targets) as server,
            ):
                since_s = time.time()
                await feed(scenario, run, metrics, busy)
                return await asyncio.to_thread(picture, server, since_s, time.time())


def _target(port: int, **labels: str) -> dict[str, Any]:
    return {"static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}


def picture(server: prometheus.Prometheus, since_s: float, until_s: float) -> Figure:
    """Draw every panel that has an answer, with the changes of batching as marks."""
    [marks] = ONE.annotations.values()
    answered = [
        (panel, found)
        for panel in ONE.panels
        if (found := _answers(server, panel, since_s, until_s))
    ]
    moments = {
        float(value) / 1000 - since_s
        for series in server.history(_of(marks), since_s, until_s)
        for _, value in series["values"]
    }
    rows = -(-len(answered) // _COLUMNS)
    figure = Figure(figsize=(6 * _COLUMNS, 2.6 * rows), layout="constrained")
    for place, (panel, found) in zip(
        figure.subplots(rows, _COLUMNS, squeeze=False).flat, answered, strict=False
    ):
        _draw(place, panel, found, since_s)
        for moment in sorted(moments):
            place.axvline(moment, color="#bbbbbb", linewidth=0.8, zorder=0)
    return figure


def _answers(
    server: prometheus.Prometheus, panel: Panel, since_s: float, until_s: float
) -> list[tuple[str, list[Any]]]:
    return [
        (query.legend.split("{{", maxsplit=1)[0].strip() or "pod", series["values"])
        for query in panel.queries
        for series in server.history(_of(query.expression), since_s, until_s)
    ]


def _of(expression: str) -> str:
    return expression.replace("$namespace", "default").replace("$name", NAME)


def _draw(place: Axes, panel: Panel, found: list[tuple[str, list[Any]]], since_s: float) -> None:
    for colour, (legend, values) in zip(_COLOURS, found, strict=False):
        moments = [float(at) - since_s for at, _ in values]
        place.plot(
            moments, [float(v) for _, v in values], color=colour, label=legend, linewidth=1.2
        )
    place.set_title(panel.title, fontsize=9, loc="left")
    place.set_ylim(bottom=0)
    place.tick_params(labelsize=7)
    place.grid(color="#eeeeee")
    place.legend(fontsize=7, frameon=False)


def main() -> None:
    """Draw the dashboard of one model."""
    parser = argparse.ArgumentParser(prog="python -m hack.monitoring.draw", description=__doc__)
    parser.add_argument("--scenario", type=Path, default=SCENARIO, help="default: %(default)s")
    parser.add_argument("--windows", type=int, default=150, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=PICTURE, help="default: %(default)s")
    args = parser.parse_args()
    scenario, _ = scenario_file.read(args.scenario)
    figure = asyncio.run(drawn(scenario, args.windows))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    mpl.rcParams["svg.hashsalt"] = "ferryman"
    figure.savefig(args.output, metadata={"Date": None})
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
