"""Dashboards as Grafana imports them."""

from collections.abc import Iterable
from typing import Any, Final

from hack.monitoring.dashboards import Dashboard, Panel

_WIDTH: Final = 24
_HEIGHT: Final = 8
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def as_grafana(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["ferryman"],
        "timezone": "",
        "schemaVersion": 39,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "annotations": {"list": [_marks(*each) for each in dashboard.annotations.items()]},
        "templating": {"list": [_SOURCES, *(_choice(*v) for v in dashboard.variables.items())]},
        "panels": list(_placed(dashboard.panels)),
    }


_SOURCES: Final = {"name": "datasource", "type": "datasource", "query": "prometheus"}


def _choice(name: str, query: str) -> dict[str, Any]:
    only = {"regex": '/name="([^"]+)"/'} if query.startswith("query_result") else {}
    return {
        "name": name,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        **only,
    }


def _marks(name: str, expression: str) -> dict[str, Any]:
    """Mark the moment that the value tells, not that of the sample."""
    return {
        "name": name,
        "datasource": _SOURCE,
        "enable": True,
        "expr": expression,
        "iconColor": "#1b6ca8",
        "useValueForTime": True,
        "titleFormat": "{{reason}}",
        "textFormat": "{{outcome}}",
    }


def _placed(panels: Iterable[Panel]) -> Iterable[dict[str, Any]]:
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > _WIDTH:
            x, y = 0, y + _HEIGHT
        yield {
            "id": number,
            "type": "timeseries",
            "title": panel.title,
            "datasource": _SOURCE,
            "gridPos": {"h": _HEIGHT, "w": panel.width, "x": x, "y": y},
            "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": _SOURCE,
                    "expr": query.expression,
                    "legendFormat": query.legend,
                }
                for index, query in enumerate(panel.queries)
            ],
        }
        x += panel.width
