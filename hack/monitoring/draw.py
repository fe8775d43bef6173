"""Draw the dashboards from a real Prometheus' answers: ``python -m hack.monitoring.draw``.

What is scraped is the operator's own page and one like Triton's, fed from runs of the digital twin
under the operator's tuner (``hack.monitoring.twin``).
"""

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ferryman.cli.files import scenario_file
from ferryman.handlers import health
from ferryman.handlers.metrics import Metrics
from hack.manifests import ROOT
from hack.monitoring import prometheus
from hack.monitoring.dashboards import FLEET, ONE, Dashboard, Panel
from hack.monitoring.prometheus import Prometheus
from hack.monitoring.twin import NAMESPACE, Twin, feed, looks, serving_pod

SCENARIOS: Final = ROOT / "benchmarks" / "scenarios"
FOLDER: Final = ROOT / "docs" / "monitoring"
#: The models by their scenarios, and the node type of each; the first has a picture of its own.
FLEET_OF: Final = {
    "step": "cpu-large",
    "diurnal": "cpu-large",
    "drift": "cpu-large",
    "slack": "cpu-small",
    "overload-queue": "cpu-small",
}
PORT: Final = 19_090
_COLUMNS: Final = 2
_COLOURS: Final = ("#1b6ca8", "#c8553d", "#3c8d40", "#8d5fb0", "#b08d3c")
_PLACEHOLDER: Final = re.compile(r"\{\{(\w+)\}\}")

Series = tuple[str, list[Any]]


async def drawn(twins: Sequence[Twin], windows: int) -> dict[str, Figure]:
    """Run Prometheus beside the runs of the twin, and draw what it answers."""
    metrics, state = Metrics(), health.Health(time.monotonic)
    with serving_pod() as (busy, pod_port):
        async with health.serve(state, metrics, host="127.0.0.1", port=0) as port:
            with (
                tempfile.TemporaryDirectory() as folder,
                prometheus.running(Path(folder), PORT, _targets(port, pod_port)) as server,
            ):
                since_s = time.time()
                await feed(twins, windows, metrics, busy)
                until_s = time.time()
                asked = Asked(server, twins[0].name, since_s, until_s)
                return {"fleet": asked.picture(FLEET), "one-model": asked.picture(ONE)}


def _targets(port: int, pod_port: int) -> Mapping[str, Any]:
    # A counter of Python's ends in _total, Triton's does not.
    renamed = {
        "source_labels": ["__name__"],
        "regex": "(nv_.+_us)_total",
        "target_label": "__name__",
    }
    first = next(iter(FLEET_OF))
    return {
        "ferryman": {"honor_labels": True, **_target(port)},
        "ferryman-serving": {
            **_target(pod_port, namespace=NAMESPACE, pod=f"{first}-triton-0"),
            "metric_relabel_configs": [renamed],
        },
    }


def _target(port: int, **labels: str) -> dict[str, Any]:
    return {"static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}]}


class Asked:
    """A Prometheus, what is chosen on its dashboards, and the time that they show."""

    def __init__(self, server: Prometheus, name: str, since_s: float, until_s: float) -> None:
        self._server, self._name = server, name
        self._since_s, self._until_s = since_s, until_s

    def picture(self, dashboard: Dashboard) -> Figure:
        """Draw every panel that has an answer, with the changes of batching as marks."""
        answered = [(panel, found) for panel in dashboard.panels if (found := self._answers(panel))]
        moments = {
            float(value) / 1000 - self._since_s
            for marks in dashboard.annotations.values()
            for series in self._history(marks)
            for _, value in series["values"]
        }
        rows = -(-len(answered) // _COLUMNS)
        figure = Figure(figsize=(6 * _COLUMNS, 2.6 * rows), layout="constrained")
        places = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
        for place, (panel, found) in zip(places, answered, strict=False):
            self._draw(place, panel, found)
            for moment in sorted(moments):
                place.axvline(moment, color="#bbbbbb", linewidth=0.8, zorder=0)
        for place in places[len(answered) :]:
            place.set_axis_off()
        return figure

    def _answers(self, panel: Panel) -> list[Series]:
        return [
            (_legend(query.legend, series["metric"]), series["values"])
            for query in panel.queries
            for series in self._history(query.expression)
        ]

    def _history(self, expression: str) -> list[dict[str, Any]]:
        chosen = expression.replace("$namespace", NAMESPACE).replace("$name", self._name)
        return self._server.history(chosen, self._since_s, self._until_s)

    def _draw(self, place: Axes, panel: Panel, found: list[Series]) -> None:
        # As many as can be told apart, those that show something first.
        chosen = sorted(found, key=_largest, reverse=True)
        for colour, (legend, values) in zip(_COLOURS, chosen, strict=False):
            moments = [float(at) - self._since_s for at, _ in values]
            figures = [float(value) for _, value in values]
            place.plot(moments, figures, color=colour, label=legend, linewidth=1.2)
        place.set_title(panel.title, fontsize=9, loc="left")
        place.set_ylim(bottom=0)
        place.tick_params(labelsize=7)
        place.grid(color="#eeeeee")
        place.legend(fontsize=7, frameon=False)


def _largest(series: Series) -> float:
    return max(float(value) for _, value in series[1])


def _legend(legend: str, labels: Mapping[str, str]) -> str:
    """Return how Grafana would call a series."""
    return _PLACEHOLDER.sub(lambda found: labels.get(found[1], ""), legend).strip()


def main() -> None:
    """Draw both dashboards."""
    parser = argparse.ArgumentParser(prog="python -m hack.monitoring.draw", description=__doc__)
    parser.add_argument("--windows", type=int, default=150, help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=FOLDER, help="default: %(default)s")
    args = parser.parse_args()
    twins = []
    for name, node_type in FLEET_OF.items():
        scenario, _ = scenario_file.read(SCENARIOS / f"{name}.yaml")
        twins.append(Twin(name, node_type, scenario, looks(scenario)[: args.windows]))
        print(f"ran {name} on the twin")
    mpl.rcParams.update({"svg.hashsalt": "ferryman", "svg.fonttype": "none"})
    args.output.mkdir(parents=True, exist_ok=True)
    for name, figure in asyncio.run(drawn(twins, args.windows)).items():
        path = args.output / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
