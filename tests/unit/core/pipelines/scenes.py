"""Pipelines in situations, for what is decided about them: a test states what it is about."""

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.pipelines.inference_pipeline_status import (
    BalancingStatus,
    InferencePipelineStatus,
)
from ferryman.core.balancing.decide import BalancingDecision
from ferryman.core.balancing.state import BalancerState
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines.assignment import written
from ferryman.core.pipelines.decide import BalancingContext
from ferryman.core.pipelines.plan import plan_pipeline
from ferryman.core.pipelines.service import Situation
from ferryman.core.pipelines.snapshot import LoadedStep, PipelineSnapshot
from ferryman.core.render import Environment
from ferryman.core.snapshot import ServingState
from tests import factories

STEPS = ("prepare", "detect", "read")
RUNTIME = factories.runtime(
    processors=[factories.runtime_processor(backends={"python": "python", "onnx": "onnxruntime"})]
)
PLACED = PlacementStatus(
    node_type="cpu-small", processor="cpu", since=factories.at(-900), reason="X", message="x"
)
TENSORS = {
    "max_batch_size": 64,
    "input": [{"name": "input", "data_type": "TYPE_FP32", "dims": ["1"]}],
    "output": [{"name": "output", "data_type": "TYPE_FP32", "dims": ["1"]}],
}


def batching(instances=1, bound=64):
    return Batching(max_batch_size=bound, instances=instances)


def assignment(**instances):
    """Return what each step has: one instance unless told otherwise."""
    return {step: batching(instances.get(step, 1)) for step in STEPS}


def balancing(applied=None, **fields):
    return BalancingStatus(applied=written(applied or assignment()), **fields)


def pipeline(applied=None, *, status=None, **spec):
    """Return a pipeline that was placed, with this applied."""
    found = status or InferencePipelineStatus(placement=PLACED, balancing=balancing(applied))
    return factories.pipeline(status=found, **spec)


def loaded(name, *instances, config_hash="", ready=True, **fields):
    """Return a step with so many instances in each pod."""
    return LoadedStep(
        ready=ready,
        pods=tuple(
            factories.pod(
                f"pod-{number}",
                batching=batching(count) if count else None,
                config_hash=config_hash,
            ).with_(**({} if count else {"batching": None}))
            for number, count in enumerate(instances)
        ),
        **fields,
    )


def steps(config_hash="", **instances):
    """Return all steps in one pod, with one instance unless told otherwise."""
    return {
        step: loaded(
            step,
            instances.get(step, 1),
            config_hash=config_hash,
            configs={config_hash: {"name": step, **TENSORS}} if config_hash else {},
        )
        for step in STEPS
    }


def served(*, config_hash="", ready=True, there=True, **fields):
    """Return one pod in which the ensemble is there."""
    pod = factories.pod("pod-0", config_hash=config_hash, ready=ready)
    pod = pod.with_(batching=batching() if there else None)
    values = {
        "exists": True,
        "desired_replicas": 1,
        "ready_replicas": int(ready),
        "updated_replicas": 1,
        "model_ready": there,
        "pods": (pod,),
        **fields,
    }
    return ServingState(**values)


def snapshot(subject=None, **fields):
    values = {"runtime": RUNTIME, "nodes": (factories.node(),), **fields}
    return PipelineSnapshot(pipeline=subject or pipeline(), **values)


def situation(seen, **fields):
    values = {
        "window": None,
        "state": BalancerState(),
        "now": factories.NOW,
        "encode": repr,
        "control_key": "secret",
        "environment": Environment("ferryman-system"),
        **fields,
    }
    return Situation(seen, **values)


def planned(seen=None, **fields):
    return plan_pipeline(situation(seen or snapshot(), **fields))


def made_for(subject=None):
    """Return what pods of a pipeline are made for, as its Deployment says."""
    deployment = planned(snapshot(subject)).objects[-1]
    return deployment["spec"]["template"]["metadata"]["annotations"][
        "serving.ferryman.dev/config-hash"
    ]


def was_applied(subject=None):
    """Return a pipeline whose status says that its objects were applied."""
    found = planned(snapshot(subject)).status
    said = tuple(
        each.with_(reason=str(Reason.DEPLOYING)) if each.type == "Ready" else each
        for each in found.conditions
    )
    return (subject or pipeline()).with_(status=found.with_(conditions=said))


def serving_snapshot(subject=None, *, instances=None, **fields):
    """Return a pipeline that serves in one pod."""
    subject = subject or pipeline()
    found = made_for(subject)
    values = {
        "serving": served(config_hash=found),
        "steps": steps(found, **(instances or {})),
        **fields,
    }
    return snapshot(subject, **values)


def window(requests=1000, *, seconds=10.0, **step_ms):
    """Return a window in which steps ran as often as asked, for so many milliseconds each."""
    shown = {
        step: factories.window(
            seconds=seconds,
            requests=requests,
            inferences=requests,
            compute_ms=step_ms.get(step, 5.0),
            mean_batch_size=1.0,
            service_times={1: (requests, step_ms.get(step, 5.0))} if requests else {},
        )
        for step in STEPS
    }
    return PipelineWindow(factories.window(seconds=seconds, requests=requests), shown)


def word(wanted, reason=Reason.LIMITING_STEP, message="because", **fields):
    """Return a balancer that wants this."""
    answer = BalancingDecision(
        assignment=wanted,
        reason=reason,
        message=message,
        steps=fields.pop("steps", ()),
        state=BalancerState(spare_windows=1),
        if_refused=BalancerState(spare_windows=2),
        **fields,
    )
    return lambda _applied, _window, _state: answer


def context(subject=None, **fields):
    """Return what is decided by: one pod that has what is applied."""
    subject = subject or pipeline()
    values = {
        "pods": {step: loaded(step, 1).pods for step in STEPS},
        "settled": True,
        "window": window(),
        "state": BalancerState(),
        "balance": word(assignment(), Reason.DEMAND_SERVED, "enough"),
        "now": factories.NOW,
        **fields,
    }
    return BalancingContext(pipeline=subject, **values)
