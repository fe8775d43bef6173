"""What the pictures of the dashboards are fed with, and how they are drawn."""

from prometheus_client import generate_latest

from ferryman.cli.files import scenario_file
from ferryman.handlers.metrics import Metrics
from hack.manifests import ROOT
from hack.monitoring import draw
from hack.monitoring.dashboards import FLEET
from hack.monitoring.twin import Twin, looks
from tests.unit.hack.test_monitoring import asked, of_dashboard


def shown(windows):
    """Return the operator's page after some windows of a run on the twin."""
    scenario, _ = scenario_file.read(ROOT / "tests" / "data" / "scenario.yaml")
    metrics = Metrics()
    twin = Twin("twin", "cpu-small", scenario, looks(scenario)[:windows])
    for second in range(windows):
        twin.show(second, metrics)
    metrics.of_operator(ready=True, leads=True, queue_depth=0)
    return generate_latest(metrics.registry).decode()


def test_every_panel_of_the_fleet_has_what_it_asks_for():
    page = shown(3)
    wanted = {name for expression in of_dashboard(FLEET) for name in asked(expression)}

    wanted -= {name for name in wanted if name.startswith("ferryman_pipeline_")}
    assert [name for name in wanted if f"\n{name}{{" not in page and f"\n{name} " not in page] == []


def test_a_legend_is_what_grafana_would_call_a_series():
    labels = {"namespace": "a", "model": "b"}

    assert draw._legend("{{namespace}}/{{model}} {{step}}", labels) == "a/b"
    assert draw._legend("latency", labels) == "latency"


def test_of_many_series_those_that_show_something_come_first():
    assert draw._largest(("", [[0, "1"], [1, "3"]])) == 3
