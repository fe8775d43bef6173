"""Pipelines of sleeping steps, as resources and as model repositories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ferryman.api import names
from ferryman.api.batching import Batching
from ferryman.api.objectives import LatencyObjective, Objectives
from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingStatus,
    InferencePipelineStatus,
    StepAssignment,
    StepStatus,
)
from ferryman.clients import model_config, pbtxt
from ferryman.core.pipelines import signatures
from ferryman.core.pipelines.assembly import ensemble_of
from ferryman.core.pipelines.steps.waits import waits_us
from ferryman.core.pipelines.validation import faults
from ferryman.core.triton.ensemble import with_timeout
from hack.models import adder

INPUT = "x"


@dataclass(frozen=True)
class Step:
    """A step that sleeps: how long, after which others, with how many workers."""

    name: str
    seconds: float
    after: tuple[str, ...] = ()
    instances: int = 1


@dataclass(frozen=True)
class Shape:
    """A pipeline of sleeping steps; what no other step reads is what clients receive."""

    name: str
    steps: tuple[Step, ...]

    @property
    def ends(self) -> tuple[Step, ...]:
        """Steps that no other one reads."""
        read = {name for step in self.steps for name in step.after}
        return tuple(step for step in self.steps if step.name not in read)

    def expected(self, value: float) -> dict[str, float]:
        """Return what each of the last steps answers: sums of what came to it."""
        sums: dict[str, float] = {}
        for step in self.steps:  # stated in an order in which they can run
            sums[step.name] = sum(sums[name] for name in step.after) if step.after else value
        return {step.name: sums[step.name] for step in self.ends}


def chain(name: str, seconds: Sequence[float], instances: Sequence[int] = ()) -> Shape:
    """Return steps that run one after the other."""
    counts = instances or [1] * len(seconds)
    steps: list[Step] = []
    for number, (each, count) in enumerate(zip(seconds, counts, strict=True)):
        after = (steps[-1].name,) if steps else ()
        steps.append(Step(f"step-{number + 1}", each, after, count))
    return Shape(name, tuple(steps))


def resource(shape: Shape, repository: Path) -> InferencePipeline:
    """Return the pipeline as a user would state it."""
    return InferencePipeline.model_validate(
        {
            "apiVersion": names.API_VERSION,
            "kind": InferencePipeline.resource.kind,
            "metadata": {"name": shape.name, "namespace": "default"},
            "spec": {
                "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [1, -1]}],
                "steps": [_step(step, repository) for step in shape.steps],
                "outputs": [{"name": step.name, "from": f"{step.name}.sum"} for step in shape.ends],
                "runtimeRef": {"name": "none"},
                "objectives": {"throughput": {"minPerSecond": 1}},
            },
        }
    )


def write(shape: Shape, repository: Path) -> None:
    """Write the models and the ensemble; raises ValueError for a pipeline that has faults."""
    pipeline = resource(shape, repository)
    known: dict[str, signatures.Signature] = {}
    for step in pipeline.spec.steps:
        config = {} if step.model is None else step.model.config
        known[step.name] = signatures.of_config(config)
        workers = next(each.instances for each in shape.steps if each.name == step.name)
        adder.write(repository / step.name, step_config(config, workers))
    for each in shape.steps:
        set_seconds(repository, each.name, each.seconds)
    wrong = faults(pipeline, known)
    ensemble = wrong or ensemble_of(pipeline, known)
    if not isinstance(ensemble, Mapping):
        words = "; ".join(fault.message for fault in ensemble)
        raise ValueError(f"{shape.name}: {words}")  # noqa: TRY004  the value is at fault
    (repository / shape.name / "1").mkdir(parents=True)
    (repository / shape.name / "config.pbtxt").write_text(pbtxt.encode(ensemble))


def limit_waits(shape: Shape, repository: Path, target_ms: int) -> dict[str, int]:
    """Have steps reject what waits too long for a target; return the limits, microseconds.

    They are the operator's own, of a budget that gives each step a batch's wait beside its own.
    """
    pipeline = resource(shape, repository)
    latency = LatencyObjective(target_milliseconds=target_ms)
    spec = pipeline.spec.with_(objectives=Objectives(latency=latency))
    times_ms = {step.name: 1e3 * step.seconds for step in shape.steps}
    applied = tuple(
        StepAssignment(step=name, budget_milliseconds=2 * each) for name, each in times_ms.items()
    )
    shown = tuple(
        StepStatus(name=name, service_time_milliseconds=each) for name, each in times_ms.items()
    )
    status = InferencePipelineStatus(balancing=BalancingStatus(applied=applied), steps=shown)
    limits_us = waits_us(pipeline.with_(spec=spec, status=status))
    for name, limit_us in limits_us.items():
        file = repository / name / "config.pbtxt"
        limited = with_timeout(pbtxt.decode(file.read_text()), limit_us, forked=False)
        file.write_text(pbtxt.encode(limited))
    return limits_us


def step_config(config: Mapping[str, Any], instances: int) -> str:
    """Return a step's config.pbtxt with so many workers."""
    batching = Batching(max_batch_size=1, instances=instances)
    return pbtxt.to_text(model_config.with_batching(pbtxt.parse(config), batching))


def set_seconds(repository: Path, step: str, seconds: float) -> None:
    """Have a step take so long from its next execution on."""
    file = _seconds_file(repository, step)
    unfinished = file.with_suffix(".partial")
    unfinished.write_text(repr(seconds))
    unfinished.replace(file)


def _seconds_file(repository: Path, step: str) -> Path:
    return repository / f"{step}.seconds"


def _step(step: Step, repository: Path) -> dict[str, Any]:
    reads = {f"in-{name}": f"{name}.sum" for name in step.after} or {"in": INPUT}
    return {
        "name": step.name,
        "model": {
            "storageUri": "pvc://none/none",
            "modelFormat": {"name": "python"},
            "config": adder.config(tuple(reads), _seconds_file(repository, step.name)),
        },
        "inputMap": reads,
    }
