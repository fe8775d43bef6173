"""What was measured of each step: how long it takes here and elsewhere, and what it carries.

It is kept in the status, since a step that is cut off shows no more how long it took here.
"""

from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import isclose, prod
from typing import Any, Final

from ferryman.api.inference_model import InferenceModel
from ferryman.api.pipelines.execution_status import MeasuredStep
from ferryman.core.batching import measured_times
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.observation.window import Window
from ferryman.core.pipelines import signatures
from ferryman.core.pipelines.cutting.trial import applied
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.server import sources_of
from ferryman.core.pipelines.signatures import Signature, TensorSignature
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.rounding import significant
from ferryman.core.triton.step_proxy import is_proxy

#: Fewer executions of a size in a window tell nothing.
MIN_EXECUTIONS: Final = 10
#: A size that was measured counts for what differs from it by so little: rows are a mean.
_NEARLY: Final = 0.05
#: Figures that differ by less are the same: noise neither writes nor decides anything.
TOLERANCE: Final = 0.1
_SIZES: Final[Mapping[str, int]] = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2,
    "INT32": 4, "INT64": 8, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip


def measured(snapshot: PipelineSnapshot, window: PipelineWindow | None) -> tuple[MeasuredStep, ...]:
    """Return what is known of each step after a window, if one ended."""
    pipeline = snapshot.pipeline
    execution, graph = pipeline.status.execution, Graph.of(pipeline.spec)
    before = {each.name: each for each in (execution.steps if execution else ())}
    rows = {each.name: each.rows_per_request for each in pipeline.status.steps}
    instances = {each.step: each.instances for each in pipeline.status.balancing.applied}
    cut_off = applied(execution.cut if execution else None)
    found = []
    for step in pipeline.spec.steps:
        name, model = step.name, None
        if step.model_ref is not None:
            model = snapshot.models.get(step.model_ref.name)
        runs_here = _runs_here(snapshot, name)
        shown = window.steps.get(name) if window is not None and runs_here else None
        old, count = before.get(name, MeasuredStep(name=name)), rows.get(name)
        fresh = {
            "here_milliseconds": _here_ms(shown, count),
            "elsewhere_milliseconds": None if model is None else elsewhere_ms(model, count),
            "bytes_per_request": traffic_bytes(graph, name, _signature(snapshot, name), count),
        }
        figures = {key: _kept(getattr(old, key), fresh[key]) for key in fresh}
        had = old.instances if name in cut_off or not runs_here else instances.get(name)
        found.append(old.with_(**figures, instances=had))
    return tuple(found)


def _runs_here(snapshot: PipelineSnapshot, step: str) -> bool:
    """Whether pods are known to have a step, and none a proxy in its place."""
    loaded = snapshot.steps.get(step)
    if loaded is None or not loaded.configs:
        return False
    return not any(is_proxy(config) for config in loaded.configs.values())


def _kept(old: float | None, new: float | None) -> float | None:
    """Return what was measured, unless it is what it was or is not known any more."""
    if new is None or (old is not None and isclose(old, new, rel_tol=TOLERANCE)):
        return old
    return significant(new)


def _here_ms(shown: Window | None, rows: float | None) -> float | None:
    if shown is None or rows is None:
        return None
    times_ms = {
        size: mean_ms
        for size, (count, mean_ms) in shown.service_times.items()
        if count >= MIN_EXECUTIONS
    }
    return _at(times_ms, rows)


def elsewhere_ms(model: InferenceModel, rows: float | None) -> float | None:
    """Return how long an InferenceModel's servers take for a request of so many rows.

    By their service time curve, and no less than their own clients' requests take on average: what
    waits there will wait here. None: unknown, as where they run on several node types.
    """
    placed = model.status.placement
    if placed is None or placed.further_node_types or rows is None:
        return None
    times = measured_times.of_place(model.status.service_times, placed.node_type, placed.processor)
    points = () if times is None else times.points
    alone_ms = _at({point.batch_size: point.milliseconds for point in points}, rows)
    observed = model.status.observed
    mean_ms = observed.mean_latency_milliseconds if observed else None
    return None if alone_ms is None else max(alone_ms, mean_ms or 0.0)


def _at(times_ms: Mapping[int, float], rows: float) -> float | None:
    """Return what a batch of so many rows takes, straight between sizes that were measured."""
    nearest = min(times_ms, key=lambda size: abs(size - rows), default=None)
    if nearest is not None and abs(nearest - rows) <= _NEARLY * rows:
        return times_ms[nearest]
    for lower, upper in pairwise(sorted(times_ms)):
        if lower < rows < upper:
            share = (rows - lower) / (upper - lower)
            return times_ms[lower] + share * (times_ms[upper] - times_ms[lower])
    return None


def _signature(snapshot: PipelineSnapshot, name: str) -> Signature:
    """Return what is known of a step's model: what is stated, and what any pod shows."""
    source = sources_of(snapshot.pipeline, snapshot.models).get(name)
    found = signatures.UNKNOWN if source is None else signatures.of_overlay(source.config)
    loaded = snapshot.steps.get(name)
    shown: Iterable[Mapping[str, Any]] = loaded.configs.values() if loaded else ()
    for config in shown:
        found = signatures.merged(found, signatures.of_config(config))
    return found


def traffic_bytes(
    graph: Graph, name: str, signature: Signature, rows: float | None
) -> float | None:
    """Return what a step reads and makes for one request; None: unknown.

    Of its outputs those count that somebody reads: a proxy asks for no others.
    """
    if signature.inputs is None or signature.outputs is None or rows is None:
        return None
    reads = next(step.reads for step in graph.steps if step.name == name)
    makes = {source.tensor for source in graph.readers if source.step == name}
    tensors = [
        *(signature.inputs.get(tensor) for tensor in reads),
        *(signature.outputs.get(tensor) for tensor in makes),
    ]
    sizes = [_bytes(each, rows) for each in tensors]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _bytes(tensor: TensorSignature | None, rows: float) -> float | None:
    if tensor is None or tensor.dims is None or tensor.batched is None:
        return None
    size = _SIZES.get(tensor.datatype or "")
    if size is None or any(each < 0 for each in tensor.dims):
        return None
    return float(size * prod(tensor.dims) * (rows if tensor.batched else 1))
