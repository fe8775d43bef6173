"""Every reason why a candidate is not chosen: a person meets each of them, in words."""

import ast
import re
from pathlib import Path

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements
from ferryman.api.model_source import ModelFormat
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.core import placement
from ferryman.core.placement.choose import choose
from tests.factories import (
    NOW,
    benchmark,
    model,
    node,
    objectives,
    processor,
    runtime,
    runtime_processor,
    snapshot,
    source,
)
from tests.unit.core.placement.departures.test_unschedulable import NODES, given_up, placed
from tests.unit.core.placement.test_costs import large, measured, times
from tests.unit.core.test_parallelism import RUNTIME as DEVICES
from tests.unit.core.test_parallelism import gpu_node, python_model

CORE = Path(placement.__file__).parents[1]
#: What decides about candidates of the operator; the planner's own words are in fleet/options.py.
MODULES = (
    "placement/filters.py",
    "placement/least_workload.py",
    "placement/least_cost.py",
    "placement/policies.py",
    "placement/choose.py",
    "placement/fresh.py",
    "placement/retained.py",
    "fleet/sizing.py",
)
#: What imports the modules that decide.
DECIDING = (
    "placement/choose.py",
    "placement/fresh.py",
    "placement/policies.py",
    "placement/candidates.py",
)
#: Not of a candidate that lost: why one was chosen, kept or could have been, or of them all.
NO_REFUSALS = {
    Reason.LEAST_WORKLOAD,
    Reason.BEST_FIT,
    Reason.CHEAPEST,
    Reason.FALLBACK,
    Reason.REBALANCED,
    Reason.RETAINED,
    Reason.FEASIBLE,
    Reason.NO_CANDIDATE,
    Reason.RUNTIME_NOT_FOUND,
}

BEST_FIT = PlacementSpec(policy="BestFit")
NONSENSE = BenchmarkPoint.model_construct(
    batch_size=1,
    images_per_second=0.0,
    latency_p50_milliseconds=1.0,
    latency_p99_milliseconds=1.0,
)
BIG = {"cpu": "64", "memory": "64Gi"}
MUCH = ResourceRequirements(requests={"cpu": "64"})
UNREADABLE = ResourceRequirements(requests={"cpu": "four"})

#: A reason -> what is asked, of which nodes, and what the message must name.
CASES = {
    Reason.PROCESSOR_NOT_ALLOWED: (
        {"model": model(placement=PlacementSpec(processors=("gpu",)))},
        "spec.placement.processors",
    ),
    Reason.PROCESSOR_NOT_IN_RUNTIME: (
        {"runtime": runtime(processors=[runtime_processor("gpu")])},
        "runtime triton serves gpu only",
    ),
    Reason.FORMAT_NOT_SUPPORTED: (
        {"model": model(model=source().with_(model_format=ModelFormat(name="tensorrt")))},
        "the model is tensorrt",
    ),
    Reason.NODE_SELECTOR_NOT_MET: (
        {"model": model(placement=PlacementSpec(node_selector={"zone": "a"}))},
        "zone=a",
    ),
    Reason.NODE_NOT_READY: ({"nodes": [node(lost=True)]}, "not ready"),
    Reason.TAINT_NOT_TOLERATED: ({"nodes": [node(taints=("a=b:NoSchedule",))]}, "a=b:NoSchedule"),
    Reason.NO_NODE_PROFILE: ({"nodes": [node(has_profile=False)]}, "see whether it runs"),
    Reason.PROFILE_STALE: ({"nodes": [node(heartbeat_age_s=600)]}, "see whether it runs"),
    Reason.PROCESSOR_UNAVAILABLE: (
        {"nodes": [node(processors=[processor(unavailable="XID 79: it fell off the bus")])]},
        "XID 79",
    ),
    Reason.NOT_BENCHMARKED: ({"nodes": [node(benchmarks=[])]}, "not yet measured"),
    Reason.BENCHMARK_FAILED: (
        {"nodes": [node(benchmarks=[benchmark(points=(), error="no memory")])]},
        "no memory",
    ),
    Reason.INVALID_BENCHMARK: (
        {"nodes": [node(benchmarks=[benchmark(points=(NONSENSE,))])]},
        "not plausible",
    ),
    Reason.SEVERAL_NODES_NEEDED: (
        {"model": python_model(), "runtime": DEVICES, "nodes": [gpu_node(2)]},
        "4 are needed on one node",
    ),
    Reason.INSUFFICIENT_RESOURCES: ({"model": model(resources=MUCH)}, "64000m needed"),
    Reason.POD_UNSCHEDULABLE: (
        {"model": placed("medium", tried=(given_up(),)), "nodes": NODES},
        "for the model's pods until",
    ),
    Reason.INVALID_SPEC: (
        {"model": model(resources=UNREADABLE)},
        "cannot be read",
    ),
    Reason.MORE_WORKLOAD: ({"nodes": [node(), large()]}, "more than large"),
    Reason.MORE_COST: (
        {"model": model(placement=BEST_FIT), "nodes": [node(), large(allocatable=BIG)]},
        "more than",
    ),
    Reason.PRICE_UNKNOWN: (
        {
            "model": model(placement=PlacementSpec(policy="Cheapest")),
            "nodes": [node().with_(price_per_hour=1.0), large()],
        },
        "serving.ferryman.dev/price-per-hour",
    ),
    Reason.LATENCY_UNREACHABLE: (
        {
            "model": measured(times(), placement=BEST_FIT, objectives=objectives(5)),
            "nodes": [node(), large()],
        },
        "a batch of one takes",
    ),
    Reason.NEEDS_CAPACITY: (
        {
            "model": measured(times(ms=(10.0,)), placement=BEST_FIT, objectives=objectives(50, 60)),
            "nodes": [node(), large()],
        },
        "replicas needed",
    ),
}


@pytest.mark.parametrize("reason", CASES)
def test_a_candidate_that_loses_says_why(reason):
    asked, words = CASES[reason]
    lost = [each for each in choose(snapshot(**asked), NOW).candidates if each.reason == reason]
    assert lost, reason
    for each in lost:
        assert words in each.message
        assert is_in_words(each.message), each.message


def test_no_reason_is_left_out():
    assert set(CASES) == {r for path in MODULES for r in reasons_in(CORE / path)} - NO_REFUSALS


def test_every_policy_and_filter_is_looked_at():
    """A module that comes to decide about candidates belongs into the walk."""
    imported = "".join((CORE / path).read_text() for path in DECIDING)
    deciding = {
        f"placement/{name}.py"
        for name in re.findall(r"\b(least_\w+|filters|policy_\w+)\b", imported)
    }
    assert deciding <= set(MODULES)


def reasons_in(path):
    """Return the reasons that a module names."""
    for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "Reason":
            yield Reason[each.attr]


def is_in_words(message):
    """Whether a person can read it: a sentence, without the marks of code or of no value."""
    marks = r"\b(None|nan|inf|Traceback|\w+Error)\b|[<>{}]|\(\)"
    return len(message.split()) > 2 and re.search(marks, message) is None
