"""The chart's alerts and dashboards as files, and a runbook for each alert."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import yaml

from hack.monitoring.alerts import ALERTS, Alert
from hack.monitoring.dashboards import DASHBOARDS
from hack.monitoring.grafana import as_grafana

FOLDER: Final = Path("charts/ferryman/files/monitoring")
RUNBOOKS: Final = Path("docs/runbooks")
_GENERATED: Final = "Generated from hack/monitoring by `python -m hack.generate`; do not edit."
#: The chart puts `monitoring.rules.runbooks` in its place.
_WHERE: Final = "RUNBOOKS"


def files() -> dict[Path, str]:
    """Return the text of every file by its path."""
    dashboards = {
        FOLDER / "dashboards" / f"{name}.json": f"{json.dumps(as_grafana(each), indent=1)}\n"
        for name, each in DASHBOARDS.items()
    }
    runbooks = {RUNBOOKS / f"{alert.name}.md": _runbook(alert) for alert in ALERTS}
    return {FOLDER / "rules.yaml": _rules(), **dashboards, **runbooks}


def _rules() -> str:
    group = {"name": "ferryman", "rules": [_rule(alert) for alert in ALERTS]}
    text = yaml.safe_dump({"groups": [group]}, sort_keys=False, width=100)
    return f"# {_GENERATED}\n{text}"


def _rule(alert: Alert) -> dict[str, Any]:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.lasts,
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.meaning,
            "runbook_url": f"{_WHERE}/{alert.name}.md",
        },
    }


def _runbook(alert: Alert) -> str:
    return "\n".join(
        [
            f"<!-- {_GENERATED} -->\n",
            f"# {alert.name}\n",
            f"Severity: {alert.severity}, after {alert.lasts}.\n",
            f"```promql\n{alert.expression}\n```\n",
            f"## Meaning\n\n{alert.meaning}\n",
            f"## Impact\n\n{alert.impact}\n",
            f"## Diagnosis\n\n{_list(alert.diagnosis)}\n",
            f"## Mitigation\n\n{_list(alert.mitigation)}\n",
        ]
    )


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
