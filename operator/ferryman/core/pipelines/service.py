"""What is to serve a pipeline: the objects, the ensemble, and a change of steps in pods."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import PlacementStatus
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.model_source import TritonConfig
from ferryman.core.balancing.state import Assignment, BalancerState
from ferryman.core.compression.variants import VariantChoice
from ferryman.core.errors import RejectedError
from ferryman.core.manifests import Manifest
from ferryman.core.observation.pipeline_window import PipelineWindow
from ferryman.core.pipelines import assignment as assignments
from ferryman.core.pipelines import decide
from ferryman.core.pipelines.cutting.decision import Cutting, decide_cutting
from ferryman.core.pipelines.decide import AssignmentDecision, BalancingContext
from ferryman.core.pipelines.distribution import (
    RemoteStep,
    remote_steps,
    service_name,
    with_proxies,
)
from ferryman.core.pipelines.fault import PipelineFault
from ferryman.core.pipelines.journal import PipelineChange
from ferryman.core.pipelines.members import Member, members_of, served_models
from ferryman.core.pipelines.server import (
    PipelineServer,
    as_server,
    as_snapshot,
    server_of,
    sources_of,
)
from ferryman.core.pipelines.serving import balancer, loading, moves
from ferryman.core.pipelines.serving.loading import EnsembleLoad, FaultyGraphError, known_signatures
from ferryman.core.pipelines.snapshot import PipelineSnapshot
from ferryman.core.pipelines.steps.waits import waits_us
from ferryman.core.placement.choose import choose
from ferryman.core.render import EncodeConfig, Environment, Serving, config_hash, render
from ferryman.core.status.observed import Observation, observe
from ferryman.core.status.readiness import why_not_applied


@dataclass(frozen=True)
class Situation:
    """The arguments of a decision about a pipeline."""

    snapshot: PipelineSnapshot
    window: PipelineWindow | None
    state: BalancerState
    now: datetime
    encode: EncodeConfig
    control_key: str
    environment: Environment
    program: str = ""
    """What proxies of steps run."""
    remote: Mapping[str, RemoteStep] = field(default_factory=dict)
    """The steps that other servers have, once that is decided."""
    cutting: Cutting = field(default_factory=Cutting)
    """Likewise what is cut off for speed."""


@dataclass(frozen=True)
class PipelineService:
    """What is to serve, or why the specification cannot be served."""

    server: PipelineServer
    placement: PlacementStatus
    observation: Observation
    assignment: AssignmentDecision
    objects: tuple[Manifest, ...] = ()
    ensemble: EnsembleLoad | None = None
    change: PipelineChange | None = None
    variants: Mapping[str, VariantChoice | None] = field(default_factory=dict)
    """Step -> which weights it runs with, and why; None: it has no variants."""
    faults: tuple[PipelineFault, ...] = ()
    rejection: RejectedError | None = None
    remote: Mapping[str, RemoteStep] = field(default_factory=dict)
    """The steps that other servers have."""
    cutting: Cutting = field(default_factory=Cutting)
    """What was measured of ways to put the steps on servers, and what is cut off for speed."""


def serve(situation: Situation) -> PipelineService:
    """Return what is to serve; nothing to apply where that cannot be decided."""
    placed: PipelineService | None = None
    try:
        loading.check(situation.snapshot, known_signatures(situation.snapshot))
        runtime = _runtime(situation.snapshot)
        situation = distributed(situation, runtime)
        placed, members = _place(situation, runtime)
        return _serve_placed(situation, runtime, placed, members) if members else placed
    except RejectedError as rejection:
        return _rejected(situation, rejection, placed)


def distributed(situation: Situation, runtime: InferenceRuntime) -> Situation:
    """Return the situation of the pipeline's own server, with proxies for steps that others have.

    Raises RejectedError.
    """
    snapshot = situation.snapshot
    cutting = decide_cutting(snapshot, runtime, situation.window, situation.now)
    remote = remote_steps(snapshot.pipeline, snapshot.models, runtime, cutting.applied)
    pipeline = assignments.with_instances(snapshot.pipeline, cutting.returned)
    pipeline, faults = with_proxies(pipeline, remote)
    if faults:
        raise loading.FaultyGraphError(faults)
    return replace(
        situation, snapshot=snapshot.with_(pipeline=pipeline), remote=remote, cutting=cutting
    )


def _runtime(snapshot: PipelineSnapshot) -> InferenceRuntime:
    if snapshot.runtime is None:
        name = snapshot.pipeline.spec.runtime_ref.name
        missing = f"there is no InferenceRuntime {name}: create it, or name another in runtimeRef"
        raise RejectedError(Reason.RUNTIME_NOT_FOUND, missing)
    return snapshot.runtime


def _rejected(
    situation: Situation, rejection: RejectedError, placed: PipelineService | None
) -> PipelineService:
    """Return that nothing is to be applied, for a reason; the placement of before stays."""
    faults = rejection.faults if isinstance(rejection, FaultyGraphError) else ()
    if placed is not None:
        return replace(placed, faults=faults, rejection=rejection)
    pipeline = situation.snapshot.pipeline
    server = as_server(pipeline)
    unplaced = PlacementStatus(reason=rejection.reason, message=str(rejection))
    return PipelineService(
        server=server,
        placement=pipeline.status.placement or unplaced,
        observation=observe(server, None),
        assignment=_held(situation),
        faults=faults,
        rejection=rejection,
    )


def _held(situation: Situation) -> AssignmentDecision:
    pipeline = situation.snapshot.pipeline
    balancing = pipeline.status.balancing
    applied = assignments.read(balancing.applied, pipeline)
    return AssignmentDecision(balancing, applied, situation.state)


def _place(
    situation: Situation, runtime: InferenceRuntime
) -> tuple[PipelineService, dict[str, Member]]:
    """Return where the server is placed, and its steps; none where it is nowhere.

    Raises RejectedError.
    """
    snapshot = situation.snapshot
    pipeline = snapshot.pipeline
    sources, server = sources_of(pipeline, snapshot.models), server_of(snapshot, runtime)
    found = choose(as_snapshot(snapshot, server), situation.now)
    requests = situation.window.as_judged if situation.window else None
    placed = PipelineService(
        server,
        found,
        observe(server, requests),
        _held(situation),
        remote=situation.remote,
        cutting=situation.cutting,
    )
    entry = runtime.processor(found.processor or "")
    if found.node_type is None or entry is None:
        return placed, {}
    servers = {name: each.server for name, each in situation.remote.items()}
    members = members_of(
        pipeline, sources, snapshot.steps, entry, remote=servers, program=situation.program
    )
    chosen = {name: member.variant for name, member in members.items()}
    return replace(placed, variants=chosen), members


def _serve_placed(
    situation: Situation,
    runtime: InferenceRuntime,
    placed: PipelineService,
    members: Mapping[str, Member],
) -> PipelineService:
    """Return what is to serve on the node type that was chosen. Raises RejectedError."""
    snapshot = situation.snapshot
    pipeline, found = snapshot.pipeline, placed.placement
    entry = next(iter(members.values())).entry

    def serving(applied: Assignment, ensemble: TritonConfig | None) -> Serving:
        return Serving(
            served=pipeline,
            models=served_models(pipeline, members, applied, ensemble),
            entry=entry,
            node_type=found.node_type or "",
            preferred_node=found.preferred_node,
            pull_policy=runtime.spec.image_pull_policy,
            control_key=situation.control_key,
            environment=situation.environment,
            further_node_types=found.further_node_types,
            runtime_pod=runtime.spec.pod,
            parallelism=placed.server.spec.parallelism,
            asks={
                service_name(pipeline, name): each.model.key
                for name, each in situation.remote.items()
            },
        )

    # Pods that are made for something else may have loaded other models.
    made_for = config_hash(serving(placed.assignment.applied, None))
    known = known_signatures(snapshot, made_for)
    loading.check(snapshot, known)
    ensemble = loading.ensemble(snapshot, known, made_for)
    decided = decide.decide_assignment(
        BalancingContext(
            pipeline=pipeline,
            pods={step: loaded.pods for step, loaded in snapshot.steps.items()},
            settled=balancer.is_settled(snapshot, made_for),
            window=situation.window,
            state=situation.state,
            balance=balancer.balancer(balancer.rules(snapshot, members, entry)),
            now=situation.now,
            waits_us=waits_us(pipeline),
            has_steps_elsewhere=bool(situation.remote),
        )
    )
    encode = moves.rejecting(situation.encode)
    text = encode(ensemble) if ensemble is not None else ""
    change = moves.change_of(decided.change, members, text, encode, made_for)
    if why_not_applied(placed.server) is not None:
        change = None  # nothing that serves is touched before the API server takes the objects
    return replace(
        placed,
        assignment=decided,
        objects=render(serving(decided.applied, ensemble), encode),
        ensemble=loading.missing_ensemble(snapshot, text, made_for),
        change=change,
    )
