"""What binds the balancer of a pipeline: limits, resources, objectives, and when it may speak."""

from collections.abc import Mapping

from ferryman.api.inference_model import ResourceRequirements
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.quantity import to_millicores
from ferryman.core.balancing.decide import BalancingDecision, balance
from ferryman.core.balancing.profile import Resources
from ferryman.core.balancing.state import Assignment, BalancerState, BalancingRules, StepSetup
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines import assignment as assignments
from ferryman.core.pipelines import decide
from ferryman.core.pipelines.graph import Graph
from ferryman.core.pipelines.members import Member
from ferryman.core.pipelines.snapshot import PipelineSnapshot


def rules(
    snapshot: PipelineSnapshot, members: Mapping[str, Member], entry: RuntimeProcessor
) -> BalancingRules:
    """Return what binds the balancer."""
    pipeline = snapshot.pipeline
    graph = Graph.of(pipeline.spec)
    resources = pipeline.spec.resources or entry.resources
    setups = []
    for name in graph.order:
        member, loaded = members[name], snapshot.steps.get(name)
        capped = bool(loaded and loaded.pods) and all(
            pod.live_cap is not None for pod in (loaded.pods if loaded else ())
        )
        setups.append(
            StepSetup(
                name,
                graph.after[name],
                assignments.limits_of(pipeline, member.step, bounded=capped),
                live_cap=capped,
            )
        )
    pod = Resources(processors=_processors(resources))
    return BalancingRules(tuple(setups), pod, pipeline.spec.objectives)


def _processors(resources: ResourceRequirements) -> float | None:
    """Return the processors that a pod may use; None where nothing limits it, or unreadably."""
    try:
        return to_millicores(resources.limits["cpu"]) / 1000
    except (KeyError, ValueError):
        return None


def balancer(rules: BalancingRules) -> decide.Balance:
    """Return the balancer under these rules."""

    def ask(applied: Assignment, window: PipelineWindow, state: BalancerState) -> BalancingDecision:
        return balance(rules, applied, window, state)

    return ask


def is_settled(snapshot: PipelineSnapshot, made_for: str) -> bool:
    """Whether all replicas are ready and none of before is left, so that windows tell of them."""
    serving = snapshot.serving
    return (
        serving.model_ready is True
        and len(serving.pods) == snapshot.pipeline.spec.replicas
        and all(pod.ready for pod in serving.pods)
        and all(pod.config_hash == made_for for pod in serving.pods)
    )
