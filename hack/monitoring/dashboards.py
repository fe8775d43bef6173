"""The two dashboards: the fleet, and one model or pipeline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_WIDTH: Final = 24
_HEIGHT: Final = 8


@dataclass(frozen=True, slots=True)
class Query:
    """What Prometheus is asked, and how an answer's series are called."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture."""

    title: str
    unit: str
    """Grafana's name of it."""
    queries: tuple[Query, ...]
    width: int = 12


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Panels in rows, variables to choose by, and what is marked on every panel."""

    uid: str
    title: str
    panels: tuple[Panel, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Name -> the query of its values."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Name -> the query of moments, Unix time in milliseconds."""


_MODEL: Final = '{namespace="$namespace",model="$name"}'
_PIPELINE: Final = '{namespace="$namespace",pipeline="$name"}'


def _either(metric: str) -> str:
    """Return a figure of the model or of the pipeline that is chosen."""
    return f"ferryman_model_{metric}{_MODEL} or ferryman_pipeline_{metric}{_PIPELINE}"


def _by_condition(condition: str, status: str) -> str:
    labels = f'condition="{condition}",status="{status}"'
    return f'sum({{__name__=~"ferryman_(model|pipeline)_condition",{labels}}})'


FLEET: Final = Dashboard(
    "ferryman-fleet",
    "Ferryman / fleet",
    (
        Panel(
            "Models and pipelines",
            "short",
            (
                Query(_by_condition("Ready", "true"), "ready"),
                Query(_by_condition("Ready", "false"), "not ready"),
                Query(_by_condition("Stalled", "true"), "wait for a person"),
            ),
            8,
        ),
        Panel(
            "Objectives",
            "short",
            (
                Query(_by_condition("ObjectivesMet", "true"), "met"),
                Query(_by_condition("ObjectivesMet", "false"), "missed"),
                Query(_by_condition("NeedsCapacity", "true"), "need capacity"),
            ),
            8,
        ),
        Panel(
            "Latency as a share of its target, the worst ten",
            "percentunit",
            (
                Query(
                    "topk(10, ferryman_model_latency_seconds / "
                    "ferryman_model_latency_target_seconds)",
                    "{{namespace}}/{{model}}",
                ),
            ),
            8,
        ),
        Panel(
            "Inferences per second",
            "short",
            (Query("topk(10, ferryman_model_inferences_per_second)", "{{namespace}}/{{model}}"),),
        ),
        Panel(
            "Replicas that are short",
            "short",
            (
                Query(
                    "topk(10, ferryman_model_desired_replicas - ferryman_model_ready_replicas)",
                    "{{namespace}}/{{model}}",
                ),
            ),
        ),
        Panel(
            "Models by node type",
            "short",
            (Query("ferryman_models_placed", "{{node_type}}"),),
        ),
        Panel(
            "Utilisation by node type and processor",
            "percentunit",
            (
                Query(
                    "avg by (node_type, processor) (ferryman_node_utilisation_ratio "
                    "* on (node) group_left (node_type) ferryman_node_info)",
                    "{{node_type}} {{processor}}",
                ),
            ),
        ),
        Panel(
            "Changes of batching in an hour",
            "short",
            (
                Query(
                    "sum by (actuator, outcome) (increase(ferryman_batching_changes_total[1h]))",
                    "{{actuator}} {{outcome}}",
                ),
            ),
            8,
        ),
        Panel(
            "The operator: reconciles per second, and what waits",
            "short",
            (
                Query("sum by (result) (rate(ferryman_reconciles_total[5m]))", "{{result}}"),
                Query("ferryman_queue_depth", "waiting"),
            ),
            8,
        ),
        Panel(
            "The agents: seconds since their last report",
            "s",
            (Query("topk(10, time() - ferryman_node_heartbeat_timestamp_seconds)", "{{node}}"),),
            8,
        ),
    ),
)
ONE: Final = Dashboard(
    "ferryman-one",
    "Ferryman / one model or pipeline",
    (
        Panel(
            "Latency and its target",
            "s",
            (
                Query(_either("latency_seconds"), "latency"),
                Query(_either("latency_target_seconds"), "target"),
            ),
        ),
        Panel(
            "Throughput",
            "reqps",
            (
                Query(
                    f"ferryman_model_inferences_per_second{_MODEL} "
                    f"or ferryman_pipeline_requests_per_second{_PIPELINE}",
                    "served",
                ),
                Query(
                    f"ferryman_model_throughput_target_per_second{_MODEL}",
                    "objective",
                ),
            ),
        ),
        Panel(
            "Batches",
            "short",
            (
                Query(
                    f"ferryman_model_max_batch_size{_MODEL} "
                    f"or ferryman_pipeline_step_max_batch_size{_PIPELINE}",
                    "bound {{step}}",
                ),
                Query(
                    f"ferryman_model_mean_batch_size{_MODEL} "
                    f"or ferryman_pipeline_step_mean_batch_size{_PIPELINE}",
                    "mean {{step}}",
                ),
            ),
        ),
        Panel(
            "Device time: seconds of execution per second, by pod and model",
            "percentunit",
            (
                Query(
                    "sum by (pod, model) (rate(nv_inference_compute_infer_duration_us"
                    '{namespace="$namespace",pod=~"$name-(triton|pipeline)-.*"}[1m])) / 1e6',
                    "{{pod}} {{model}}",
                ),
            ),
        ),
        Panel(
            "Replicas",
            "short",
            (
                Query(_either("ready_replicas"), "ready"),
                Query(_either("replicas"), "asked for"),
                Query(f"ferryman_model_desired_replicas{_MODEL}", "needed"),
            ),
        ),
        Panel(
            "Requests that failed or were rejected, by window",
            "short",
            (
                Query(_either("failed_requests"), "failed"),
                Query(f"ferryman_model_rejected_requests{_MODEL}", "rejected"),
            ),
        ),
        Panel(
            "Steps: share of time in which they run",
            "percentunit",
            (Query(f"ferryman_pipeline_step_busy_ratio{_PIPELINE}", "{{step}}"),),
        ),
        Panel(
            "Steps: execution and wait",
            "s",
            (
                Query(f"ferryman_pipeline_step_service_seconds{_PIPELINE}", "{{step}} runs"),
                Query(f"ferryman_pipeline_step_queue_seconds{_PIPELINE}", "{{step}} waits"),
            ),
        ),
    ),
    {
        "namespace": 'label_values({__name__=~"ferryman_(model|pipeline)_info"}, namespace)',
        "name": (
            'query_result(label_replace(label_replace({__name__=~"ferryman_(model|pipeline)_info",'
            'namespace="$namespace"}, "name", "$1", "model", "(.+)"), '
            '"name", "$1", "pipeline", "(.+)"))'
        ),
    },
    {
        "changes": (
            f"(ferryman_model_last_change_timestamp_seconds{_MODEL} "
            f"or ferryman_pipeline_last_change_timestamp_seconds{_PIPELINE}) * 1000"
        )
    },
)
DASHBOARDS: Final[Mapping[str, Dashboard]] = {"fleet": FLEET, "one": ONE}
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
