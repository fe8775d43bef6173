"""Worlds that nobody wrote: nodes, models with any status that may be stored, pods, windows."""

from hypothesis import strategies as st

from ferryman.api.batching import Batching, BatchingSpec, Guardrails
from ferryman.api.conditions import Condition, ConditionType, Reason
from ferryman.api.inference_model import PlacementSpec
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    FewerReplicas,
    InferenceModelStatus,
    ObservedStatus,
    PlacementStatus,
    ServiceTimePoint,
    ServiceTimes,
    UnschedulablePlace,
)
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.core.snapshot import ServingState
from tests import factories

TYPES = ("a", "b", "c")
CLASSES = ("cpu", "gpu")
SIZES = (1, 2, 4, 8, 16, 64)
CONFIGS = (
    *({}, {}, {}, {}),
    {"dynamic_batching": {"preferred_batch_size": [4, 8]}},
    {"dynamic_batching": {"default_queue_policy": {"default_timeout_microseconds": 900_000}}},
    {"model_warmup": [{"name": "w", "batch_size": 16}]},
    {"max_batch_size": 0},
    {"sequence_batching": {}},
    {"name": "not-allowed"},
    {"instance_group": [{}, {}]},
)
REASONS = st.sampled_from(tuple(Reason))
MOMENTS = st.integers(-4000, 0).map(factories.at)
SHARES = st.none() | st.floats(0, 1)

batchings = st.builds(
    Batching,
    max_batch_size=st.sampled_from(SIZES),
    max_queue_delay_microseconds=st.sampled_from((0, 500)),
    instances=st.sampled_from((1, 2)),
    default_timeout_microseconds=st.sampled_from((0, 0, 50_000)),
)
maybe_batchings = st.none() | batchings


@st.composite
def benchmarks(draw, node_type, processor):
    """Return a load performance table, however odd its figures."""
    rate = draw(st.sampled_from((1e-300, 0.5, 90.0, 4e3, 1e7)))
    point = BenchmarkPoint(
        batch_size=1,
        images_per_second=rate,
        latency_p50_milliseconds=1,
        latency_p99_milliseconds=1,
    )
    return factories.benchmark(node_type=node_type, processor=processor, points=(point,))


@st.composite
def nodes(draw, most=5):
    """Return nodes of three types: some are not ready, silent, or without benchmark or profile."""
    usable = factories.node("good", "a", benchmarks=[factories.benchmark(node_type="a")])
    found = [usable] if draw(st.booleans()) else []
    for number in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(TYPES))
        classes = draw(st.lists(st.sampled_from(CLASSES), min_size=1, unique=True))
        tables = [draw(benchmarks(kind, each)) for each in classes if draw(st.integers(0, 4))]
        found.append(
            factories.node(
                f"n{number}",
                kind,
                ready=draw(st.integers(0, 4)) > 0,
                has_profile=draw(st.integers(0, 9)) > 0,
                heartbeat_age_s=draw(st.sampled_from((5.0, 5.0, 5.0, 900.0, None))),
                processors=[factories.processor(c, draw(SHARES), draw(SHARES)) for c in classes],
                benchmarks=tables,
            ).with_(price_per_hour=draw(st.none() | st.floats(0.1, 9.0)))
        )
    return tuple(found)


@st.composite
def specs(draw):
    """Return how batching is tuned, within limits that may be narrow."""
    least, most = sorted(draw(st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES))))
    limits = factories.limits((least, most), (0, draw(st.sampled_from((0, 20_000)))), (1, 2))
    mode = draw(st.sampled_from(("Auto", "Auto", "Recommend", "Fixed")))
    initial = Batching(max_batch_size=draw(st.sampled_from((least, most))))
    return BatchingSpec(
        mode=mode,
        algorithm=draw(st.sampled_from(("Trend", "Trend", "Guarded"))),
        on_overload=draw(st.sampled_from(("Queue", "Reject"))),
        limits=limits,
        initial=initial if mode == "Fixed" or draw(st.booleans()) else None,
        guardrails=Guardrails(
            min_seconds_between_reloads=draw(st.sampled_from((0, 60))),
            max_reloads_per_hour=draw(st.sampled_from((0, 4))),
        ),
    )


@st.composite
def changes(draw):
    """Return up to three changes, newest first, of which the newest may be under way."""
    outcomes = ("Applied", "Refused", "RolledBack", "Interrupted")
    found = []
    for number in range(draw(st.integers(0, 3))):
        under_way = number == 0 and draw(st.booleans())
        found.append(
            BatchingChange(
                time=factories.at(-10 - 400 * number),
                before=draw(batchings),
                after=draw(batchings),
                actuator=draw(st.sampled_from(("Reload", "InPlace", "LiveCap"))),
                reason=draw(REASONS),
                message="why",
                outcome="InProgress" if under_way else draw(st.sampled_from(outcomes)),
                generation=draw(st.integers(0, 2)),
            )
        )
    return tuple(found)


@st.composite
def placements(draw):
    """Return where the model is, which may be a type that is gone, or nowhere."""
    kind = draw(st.none() | st.sampled_from((*TYPES, "gone")))
    full = draw(st.lists(st.sampled_from(TYPES), max_size=2, unique=True))
    return PlacementStatus(
        node_type=kind,
        processor=None if kind is None else draw(st.sampled_from(CLASSES)),
        further_node_types=() if kind is None else draw(st.sampled_from(((), (), ("b", "z")))),
        preferred_node=draw(st.none() | st.sampled_from(("n0", "n9"))),
        since=None if kind is None else draw(MOMENTS),
        reason=draw(REASONS),
        message="as before",
        unschedulable=tuple(
            UnschedulablePlace(node_type=t, processor="cpu", time=draw(MOMENTS), message="full")
            for t in full
        ),
    )


@st.composite
def statuses(draw):
    """Return any status that the API server may hold."""
    return InferenceModelStatus(
        observed_generation=draw(st.integers(-1, 2)),
        conditions=draw(_conditions()),
        placement=draw(st.none() | placements()),
        batching=BatchingStatus(
            applied=draw(maybe_batchings),
            last_good=draw(maybe_batchings),
            recommended=draw(maybe_batchings),
            needed_replicas=draw(st.none() | st.integers(0, 101)),
            unattainable=draw(st.none() | st.just("a batch of one takes too long")),
            desired_replicas=draw(st.none() | st.integers(1, 9)),
            fewer_replicas=draw(
                st.none() | st.builds(FewerReplicas, replicas=st.integers(1, 9), since=MOMENTS)
            ),
            reason=draw(st.just("") | REASONS),
            message="as before",
            changes=draw(changes()),
            recent_reloads=tuple(sorted(draw(st.lists(MOMENTS, max_size=5)))),
        ),
        observed=draw(st.none() | _observed()),
        service_times=draw(_service_times()),
    )


@st.composite
def _conditions(draw):
    kinds = draw(st.lists(st.sampled_from(tuple(ConditionType)), unique=True))
    return tuple(
        Condition(
            type=kind,
            status=draw(st.sampled_from(("True", "False", "Unknown"))),
            reason=draw(REASONS),
            message="as before",
            observed_generation=draw(st.integers(0, 2)),
            last_transition_time=draw(MOMENTS),
        )
        for kind in kinds
    )


def _observed():
    figure = st.none() | st.floats(0, 1e6)
    count = st.integers(0, 10**6)
    return st.builds(
        ObservedStatus,
        latency_milliseconds=figure,
        inferences_per_second=st.floats(0, 1e6),
        mean_batch_size=figure,
        failed_requests=count,
        rejected_requests=st.none() | count,
    )


@st.composite
def _service_times(draw):
    found = []
    for kind in draw(st.lists(st.sampled_from(TYPES), max_size=2, unique=True)):
        sizes = draw(st.lists(st.sampled_from(SIZES), max_size=4, unique=True))
        times = st.sampled_from((1e-3, 5.0, 1e7))
        points = [ServiceTimePoint(batch_size=s, milliseconds=draw(times)) for s in sorted(sizes)]
        found.append(
            ServiceTimes(
                node_type=kind, processor="cpu", measured_at=draw(MOMENTS), points=tuple(points)
            )
        )
    return tuple(found)


@st.composite
def servings(draw):
    """Return what serves, consistent or not."""
    pods = tuple(
        factories.pod(f"p{number}", ready=draw(st.booleans())).with_(batching=draw(maybe_batchings))
        for number in range(draw(st.integers(0, 3)))
    )
    problem = draw(st.sampled_from(("", "", "", Reason.POD_UNSCHEDULABLE, Reason.POD_FAILING)))
    return ServingState(
        exists=draw(st.booleans()),
        desired_replicas=draw(st.integers(0, 3)),
        ready_replicas=draw(st.integers(0, len(pods))),
        updated_replicas=draw(st.integers(0, len(pods))),
        progress_deadline_exceeded=draw(st.booleans()),
        problem_reason=problem,
        problem_message="words" if problem else "",
        unscheduled_since=draw(st.none() | MOMENTS),
        model_ready=draw(st.sampled_from((None, True, True, False))),
        batchable=draw(st.integers(0, 9)) > 0,
        pods=pods,
    )


def _at_rest(model):
    """Return what serves when all is as the specification asks, with what was applied."""
    wanted = model.spec.replicas
    applied = model.status.batching.applied or Batching(max_batch_size=8)
    pods = tuple(factories.pod(f"p{n}").with_(batching=applied) for n in range(wanted))
    return ServingState(
        exists=True,
        desired_replicas=wanted,
        ready_replicas=wanted,
        updated_replicas=wanted,
        model_ready=True if pods else None,
        pods=pods,
    )


@st.composite
def snapshots(draw):
    """Return everything that a decision sees."""
    latency = draw(st.sampled_from((None, 1, 50, 5000)))
    wanted = factories.objectives(latency, draw(st.sampled_from((None, 10))) if latency else 10)
    model = factories.model(
        generation=draw(st.integers(1, 2)),
        model=factories.source(config=draw(st.sampled_from(CONFIGS))),
        objectives=wanted,
        placement=PlacementSpec(
            policy=draw(st.sampled_from(("LeastWorkload", "BestFit", "Cheapest"))),
            spread=draw(st.sampled_from(("Nodes", "Nodes", "NodeTypes"))),
        ),
        batching=draw(specs()),
        replicas=draw(st.integers(0, 3)),
        status=draw(statuses()),
    )
    return factories.snapshot(
        model=model,
        nodes=draw(nodes()),
        serving=draw(servings()) if draw(st.booleans()) else _at_rest(model),
        has_runtime=draw(st.integers(0, 9)) > 0,
    )


@st.composite
def windows(draw):
    """Return a window of any of the kinds that servers show."""
    requests = draw(st.sampled_from((0, 5, 1000)))
    failures = draw(st.sampled_from((0, 0, 7)))
    served = requests > 0
    latency_ms = draw(st.floats(0.1, 1e5)) if served else None
    batch = draw(st.sampled_from((1, 4, 16)))
    pending = draw(st.none() | st.integers(0, 5000))
    return factories.window(
        requests=requests,
        inferences=requests,
        failures=failures,
        rejected=draw(st.sampled_from((None, 0, 3) if failures else (0, 3))),
        requests_per_s=requests / 10,
        inferences_per_s=requests / 10,
        offered_inferences_per_s=requests / 10 + draw(st.floats(0, 1e4)),
        mean_latency_ms=latency_ms,
        latency_ms=latency_ms,
        latency_estimated=draw(st.booleans()),
        mean_batch_size=float(batch) if served else None,
        queue_ms=draw(st.floats(0, 1e5)) if served else None,
        compute_ms=draw(st.floats(0.01, 1e4)) if served else None,
        service_times={batch: (50, draw(st.floats(0.01, 1e4)))} if served else {},
        pending=pending,
        pending_before=pending,
        arrived=tuple((1.0, requests // 10) for _ in range(10)) if draw(st.booleans()) else (),
    )
