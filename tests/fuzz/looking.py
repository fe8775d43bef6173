"""``top``, ``history`` and ``trace``: whatever a status or a server says, no control character."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

from pydantic import ValidationError

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.statistics import Counted
from ferryman.cli import terminal
from ferryman.cli.errors import Fault
from ferryman.cli.looking import history_view, top_view
from ferryman.cli.sending import trace
from ferryman.clients.bounded.objects import OBJECT
from ferryman.core.pipelines.reporting.waterfall import waterfall
from tests import factories
from tests.fuzz.screens import captured, harm

WORDS = (
    *("model", "pipeline", "steps", "conditions", "batching", "balancing", "changes", "observed"),
    *("placement", "nodeType", "time", "before", "after", "reason", "message", "outcome", "step"),
    *("latencyMilliseconds", "actuator", "maxBatchSize", "instances", "desiredReplicas"),
)
_MODEL = factories.model().as_dict()
_PIPELINE = factories.pipeline().as_dict()
_ONE_MS = 1_000_000
_COUNTED = Counted(1, queue_ns=_ONE_MS, infer_ns=3 * _ONE_MS, total_ns=5 * _ONE_MS)


def statuses(data: bytes) -> None:
    """Show what a tenant may have written into statuses, and steps as a server names them."""
    try:
        found = OBJECT.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(found, dict):
        return
    model = _read(InferenceModel, _MODEL, found.get("model"))
    pipeline = _read(InferencePipeline, _PIPELINE, found.get("pipeline"))
    with captured() as (out, err):
        _top([model] if model else [], [pipeline] if pipeline else [])
        if model:
            _history(str(found.get("name", "m")), history_view.of_model(model.status))
        if pipeline:
            _history("p", history_view.of_pipeline(pipeline.status))
            _refused(pipeline)
        _trace(found.get("steps"))
    assert not harm(out.getvalue() + err.getvalue())


def _read(kind: Any, valid: dict[str, Any], status: object) -> Any:
    """Return an object with this status; None where the command line would refuse it in words."""
    try:
        return kind.model_validate({**valid, "status": status or {}})
    except ValidationError:
        return None


def _top(models: list[InferenceModel], pipelines: list[InferencePipeline]) -> None:
    for wide in (False, True):
        terminal.console().print(top_view.table(top_view.rows(models, pipelines), wide=wide))


def _history(name: str, entries: list[history_view.Entry]) -> None:
    history_view.show(name, entries, terminal.console(), wide=True)
    if entries and all(entry.bounds for entry in entries):
        picture = history_view.picture(name, entries)
        assert not harm(picture)
        ET.fromstring(picture)  # noqa: S314  what was just written


def _refused(pipeline: InferencePipeline) -> None:
    try:
        trace.check_serves(pipeline)
    except Fault as fault:
        terminal.say("trace", str(fault))


def _trace(steps: object) -> None:
    names = [each for each in steps if isinstance(each, str)] if isinstance(steps, list) else []
    if names:
        counts = dict.fromkeys(names, _COUNTED)
        found = waterfall(dict.fromkeys(names, ()), _COUNTED, counts)
        trace.show(names[0], found, terminal.console())
        print(json.dumps(trace.as_json(names[0], found), ensure_ascii=False))


def seeds() -> tuple[bytes, ...]:
    """Return statuses whose every text would clear, colour, retitle or turn round a terminal."""
    evil = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp\x08\r\u2028"
    time = "2026-01-01T00:00:00Z"
    condition = {
        "status": "False",
        "reason": "Serving",
        "message": evil,
        "lastTransitionTime": time,
    }
    conditions = [{**condition, "type": kind} for kind in ("Ready", "ObjectivesMet")]
    change = {"time": time, "reason": evil, "message": evil, "outcome": "Applied"}
    bounds = {"before": {"maxBatchSize": 4}, "after": {"maxBatchSize": 8}, "actuator": "LiveCap"}
    step = [{"step": evil, "instances": 1, "maxBatchSize": 4}]
    observed = {"latencyMilliseconds": 5, "requestsPerSecond": 3, "inferencesPerSecond": 3}
    placement = {"nodeType": evil, "reason": "LeastWorkload", "message": evil}
    both = {"conditions": conditions, "observed": observed, "placement": placement}
    model = {**both, "batching": {"changes": [{**change, **bounds}]}}
    steps = {**change, "before": step, "after": step}
    pipeline = {**both, "balancing": {"changes": [steps]}}
    whole = {"name": evil, "model": model, "pipeline": pipeline, "steps": [evil, "b"]}
    plain = json.loads(json.dumps(whole).replace(json.dumps(evil)[1:-1], "Saturated"))
    return tuple(json.dumps(each).encode() for each in (whole, plain, {"steps": [evil]}))
