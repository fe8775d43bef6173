"""The two dashboards: the fleet, and one model or pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


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


def _model_or_step(metric: str) -> str:
    """Return a figure of the model, or of each step of the pipeline."""
    return f"ferryman_model_{metric}{_MODEL} or ferryman_pipeline_step_{metric}{_PIPELINE}"


def _panel(title: str, unit: str, *queries: tuple[str, str], width: int = 12) -> Panel:
    """Return a panel; of each query there is what its series are called, and what is asked."""
    return Panel(title, unit, tuple(Query(asked, legend) for legend, asked in queries), width)


def _by_condition(title: str, *shown: tuple[str, str, str]) -> Panel:
    """Return a panel that counts objects: legend, condition and status of each number."""
    counted = 'sum({{__name__=~"ferryman_(model|pipeline)_condition",{0}}})'
    queries = [
        (legend, counted.format(f'condition="{condition}",status="{status}"'))
        for legend, condition, status in shown
    ]
    return _panel(title, "short", *queries, width=8)


def _worst(title: str, unit: str, expression: str, *, width: int = 12) -> Panel:
    """Return a panel of the ten models with the largest figures."""
    query = ("{{namespace}}/{{model}}", f"topk(10, {expression})")
    return _panel(title, unit, query, width=width)


FLEET: Final = Dashboard(
    "ferryman-fleet",
    "Ferryman / fleet",
    (
        _by_condition(
            "Models and pipelines",
            ("ready", "Ready", "true"),
            ("not ready", "Ready", "false"),
            ("wait for a person", "Stalled", "true"),
        ),
        _by_condition(
            "Objectives",
            ("met", "ObjectivesMet", "true"),
            ("missed", "ObjectivesMet", "false"),
            ("need capacity", "NeedsCapacity", "true"),
        ),
        _worst(
            "Latency as a share of its target, the worst ten",
            "percentunit",
            "ferryman_model_latency_seconds / ferryman_model_latency_target_seconds",
            width=8,
        ),
        _worst("Inferences per second", "short", "ferryman_model_inferences_per_second"),
        _worst(
            "Replicas that are short",
            "short",
            "ferryman_model_desired_replicas - ferryman_model_ready_replicas",
        ),
        _panel("Models by node type", "short", ("{{node_type}}", "ferryman_models_placed")),
        _panel(
            "Utilisation by node type and processor",
            "percentunit",
            (
                "{{node_type}} {{processor}}",
                (
                    "avg by (node_type, processor) (ferryman_node_utilisation_ratio "
                    "* on (node) group_left (node_type) ferryman_node_info)"
                ),
            ),
        ),
        _panel(
            "Changes of batching in an hour",
            "short",
            (
                "{{actuator}} {{outcome}}",
                "sum by (actuator, outcome) (increase(ferryman_batching_changes_total[1h]))",
            ),
            width=8,
        ),
        _panel(
            "The operator: reconciles per second, and what waits",
            "short",
            ("{{result}}", "sum by (result) (rate(ferryman_reconciles_total[5m]))"),
            ("waiting", "ferryman_queue_depth"),
            width=8,
        ),
        _panel(
            "The agents: seconds since their last report",
            "s",
            ("{{node}}", "topk(10, time() - ferryman_node_heartbeat_timestamp_seconds)"),
            width=8,
        ),
    ),
)
ONE: Final = Dashboard(
    "ferryman-one",
    "Ferryman / one model or pipeline",
    (
        _panel(
            "Latency and its target",
            "s",
            ("latency", _either("latency_seconds")),
            ("target", _either("latency_target_seconds")),
        ),
        _panel(
            "Throughput",
            "reqps",
            (
                "served",
                (
                    f"ferryman_model_inferences_per_second{_MODEL} "
                    f"or ferryman_pipeline_requests_per_second{_PIPELINE}"
                ),
            ),
            ("objective", f"ferryman_model_throughput_target_per_second{_MODEL}"),
        ),
        _panel(
            "Batches",
            "short",
            ("bound {{step}}", _model_or_step("max_batch_size")),
            ("mean {{step}}", _model_or_step("mean_batch_size")),
        ),
        _panel(
            "Device time: seconds of execution per second, by pod and model",
            "percentunit",
            (
                "{{pod}} {{model}}",
                (
                    "sum by (pod, model) (rate(nv_inference_compute_infer_duration_us"
                    '{namespace="$namespace",pod=~"$name-(triton|pipeline)-.*"}[1m])) / 1e6'
                ),
            ),
        ),
        _panel(
            "Replicas",
            "short",
            ("ready", _either("ready_replicas")),
            ("asked for", _either("replicas")),
            ("needed", f"ferryman_model_desired_replicas{_MODEL}"),
        ),
        _panel(
            "Requests that failed or were rejected, by window",
            "short",
            ("failed", _either("failed_requests")),
            ("rejected", f"ferryman_model_rejected_requests{_MODEL}"),
        ),
        _panel(
            "Steps: share of time in which they run",
            "percentunit",
            ("{{step}}", f"ferryman_pipeline_step_busy_ratio{_PIPELINE}"),
        ),
        _panel(
            "Steps: execution and wait",
            "s",
            ("{{step}} runs", f"ferryman_pipeline_step_service_seconds{_PIPELINE}"),
            ("{{step}} waits", f"ferryman_pipeline_step_queue_seconds{_PIPELINE}"),
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
    {"changes": f"({_either('last_change_timestamp_seconds')}) * 1000"},
)
DASHBOARDS: Final[Mapping[str, Dashboard]] = {"fleet": FLEET, "one": ONE}
