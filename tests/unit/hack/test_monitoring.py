"""Alerts and panels ask for metrics that exist, and every alert has all that its runbook needs."""

import re

import pytest

from ferryman.core.vocabulary.metrics import METRICS
from hack.monitoring.alerts import ALERTS
from hack.monitoring.dashboards import DASHBOARDS
from hack.monitoring.grafana import as_grafana

#: Triton's own, as its documentation has them ("Inference Request Metrics").
TRITON = {"nv_inference_compute_infer_duration_us"}
PARTS = ("_sum", "_count", "_bucket")


def of_dashboard(dashboard):
    """Return every expression of a dashboard."""
    queries = [query.expression for panel in dashboard.panels for query in panel.queries]
    return [*queries, *dashboard.variables.values(), *dashboard.annotations.values()]


def asked(expression):
    """Return the metrics that an expression asks for."""
    alternatives = re.sub(
        r'__name__=~"ferryman_\(model\|pipeline\)_(\w+)"',
        r"ferryman_model_\1 ferryman_pipeline_\1",
        expression,
    )
    return set(re.findall(r"\b(?:ferryman|nv|process)_\w+", alternatives))


EXPRESSIONS = [
    *(pytest.param(alert.expression, id=alert.name) for alert in ALERTS),
    *(
        pytest.param(expression, id=f"{name} {number}")
        for name, dashboard in DASHBOARDS.items()
        for number, expression in enumerate(of_dashboard(dashboard))
    ),
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_asks_for_metrics_that_exist_and_stay(expression):
    exist = {name for name, metric in METRICS.items() if not metric.going} | TRITON
    parts = {f"{name}{part}" for name in METRICS for part in PARTS}

    assert asked(expression)
    assert asked(expression) <= exist | parts


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_all_that_its_runbook_needs(alert):
    assert re.fullmatch(r"Ferryman[A-Z]\w+", alert.name)
    assert re.fullmatch(r"\d+[mh]", alert.lasts)
    assert all((alert.summary, alert.meaning, alert.impact, alert.diagnosis, alert.mitigation))


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap_and_fit_the_width(name):
    taken = set()
    for panel in as_grafana(DASHBOARDS[name])["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
