import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import PlacementSpec, ResourceRequirements
from ferryman.api.model_source import ModelFormat, Variant
from ferryman.api.node_profile import BenchmarkPoint
from ferryman.api.pods.scheduling import Toleration
from ferryman.core.placement.filters import (
    FILTERS,
    FilterContext,
    Place,
    Refusal,
    first_refusal,
    is_fresh,
    unusable,
    why_forbidden,
)
from tests.factories import (
    NOW,
    at,
    benchmark,
    model,
    node,
    processor,
    profile_status,
    runtime,
    runtime_processor,
    source,
)

CPU_ONLY = runtime(processors=[runtime_processor("cpu")])


@pytest.mark.parametrize(
    ("asked", "served", "reason", "words"),
    [
        pytest.param(model(), runtime(), None, "", id="every class is allowed by default"),
        pytest.param(
            model(placement=PlacementSpec(processors=("npu", "gpu"))),
            runtime(),
            None,
            "",
            id="allowed by name",
        ),
        pytest.param(
            model(placement=PlacementSpec(processors=("cpu", "npu"))),
            runtime(),
            Reason.PROCESSOR_NOT_ALLOWED,
            "spec.placement.processors allows cpu, npu only",
            id="not allowed",
        ),
        pytest.param(
            model(),
            CPU_ONLY,
            Reason.PROCESSOR_NOT_IN_RUNTIME,
            "runtime triton serves cpu only",
            id="the runtime does not serve it",
        ),
        pytest.param(
            model(model=source(model_format="tensorrt")),
            runtime(),
            Reason.FORMAT_NOT_SUPPORTED,
            "runtime triton serves onnx on gpu, the model is tensorrt",
            id="the format has no backend",
        ),
        pytest.param(
            model(model=source(model_format="python")),
            runtime(
                processors=[
                    runtime_processor("gpu", backends={"python": "python"}, allow_code=False)
                ]
            ),
            Reason.FORMAT_NOT_SUPPORTED,
            "processor class gpu of the runtime has allowCode false, and models of python are code",
            id="the format is code, and none is allowed",
        ),
        pytest.param(
            model(
                model=source(
                    model_format="tensorrt",
                    variants=(Variant(processor="gpu", model_format=ModelFormat(name="onnx")),),
                )
            ),
            runtime(),
            None,
            "",
            id="the variant's format counts",
        ),
    ],
)
def test_permits_gpu(asked, served, reason, words):
    refusal = why_forbidden(asked, served, "gpu")
    assert (refusal.reason if refusal else None) == reason
    assert (refusal.message if refusal else "") == words


def ask(asked=None, *, served=None, table=None, measured=True, **node_fields):
    """Ask the filters about a cpu node, good in every respect unless told otherwise."""
    served = served or runtime()
    place_node = node("n", **node_fields)
    entry = runtime_processor("cpu")
    question = FilterContext(model=asked or model(), runtime=served, now=NOW)
    place = Place(
        node=place_node,
        profile=place_node.profile,
        processor=place_node.profile.processors[0],
        entry=entry,
        unusable=unusable(served, entry, (table or benchmark()) if measured else None),
    )
    return first_refusal(question, place)


def test_a_good_place_passes_every_filter():
    assert ask() == (len(FILTERS), None)


NONSENSE = BenchmarkPoint.model_construct(batch_size=2, images_per_second=float("nan"))


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        pytest.param(
            {"ready": False},
            Reason.NODE_NOT_READY,
            "n is cordoned",
            id="cordoned",
        ),
        pytest.param(
            {"lost": True},
            Reason.NODE_NOT_READY,
            "n is not ready, or not heard of",
            id="lost",
        ),
        pytest.param(
            {"taints": ("a=b:NoSchedule", "c=:NoExecute")},
            Reason.TAINT_NOT_TOLERATED,
            "n is tainted a=b:NoSchedule, c=:NoExecute: where models may go there all the same, "
            "add a toleration to spec.placement or to the runtime",
            id="tainted",
        ),
        pytest.param(
            {"heartbeat_age_s": None},
            Reason.PROFILE_STALE,
            "the agent on n never reported",
            id="no heartbeat",
        ),
        pytest.param(
            {"heartbeat_age_s": 181},
            Reason.PROFILE_STALE,
            f"the agent on n reported last at {at(-181)}, more than 180 s ago: see whether it runs",
            id="silent for too long",
        ),
        pytest.param(
            {"heartbeat_age_s": -61},
            Reason.PROFILE_STALE,
            f"the agent on n says that it reported at {at(61)}, which is yet to come: see whether "
            "the node's clock is right, and who writes its NodeProfile",
            id="a report of the future",
        ),
        pytest.param(
            {"processors": [processor(unavailable="fell off the bus")]},
            Reason.PROCESSOR_UNAVAILABLE,
            "test cpu on n: fell off the bus",
            id="a broken processor",
        ),
        pytest.param(
            {"measured": False},
            Reason.NOT_BENCHMARKED,
            "not yet measured under runtime triton with image ferryman/triton-cpu:test",
            id="not measured",
        ),
        pytest.param(
            {"measured": False, "served": runtime(measured=False)},
            Reason.NOT_BENCHMARKED,
            "runtime triton has no spec.benchmark, so nothing is measured under it",
            id="never to be measured",
        ),
        pytest.param(
            {"table": benchmark(points=(), error="no space left", measured_on="n-7")},
            Reason.BENCHMARK_FAILED,
            "the benchmark on n-7 failed: no space left",
            id="the measurement failed",
        ),
        pytest.param(
            {"table": benchmark(points=())},
            Reason.BENCHMARK_FAILED,
            "the benchmark on cpu-small-1 failed: no rows",
            id="a table without rows",
        ),
        pytest.param(
            {"table": benchmark().with_(points=(NONSENSE,))},
            Reason.INVALID_BENCHMARK,
            "the benchmark is not plausible: nan images per second at batch size 2",
            id="nonsense in the table",
        ),
        pytest.param(
            {"asked": model(resources=ResourceRequirements(requests={"cpu": "64"}))},
            Reason.INSUFFICIENT_RESOURCES,
            "n has 4000m cpu free, 64000m needed",
            id="too small",
        ),
        pytest.param(
            {
                "asked": model(
                    resources=ResourceRequirements.model_construct(
                        requests={"cpu": "much"}, limits={}
                    )
                )
            },
            Reason.INVALID_SPEC,
            "the resources cannot be read: 'much' is not a quantity: "
            "write for example 500m, 2 or 4Gi",
            id="resources that are no quantities",
        ),
    ],
)
def test_each_filter_says_why_not(fields, reason, words):
    _, refusal = ask(**fields)
    assert (refusal.reason, refusal.message) == (reason, words)


def test_filters_are_asked_in_order_and_the_first_refusal_counts():
    everything_wrong = {
        "ready": False,
        "heartbeat_age_s": 500,
        "processors": [processor(unavailable="lost")],
        "measured": False,
    }
    order = []
    for repaired in ("ready", "heartbeat_age_s", "processors", "measured"):
        passed, refusal = ask(**everything_wrong)
        order.append((passed, refusal.reason))
        del everything_wrong[repaired]
    assert order == [
        (1, Reason.NODE_NOT_READY),
        (3, Reason.PROFILE_STALE),
        (4, Reason.PROCESSOR_UNAVAILABLE),
        (6, Reason.NOT_BENCHMARKED),
    ]


def test_a_label_that_is_not_as_selected_rules_a_node_out():
    asked = model(placement=PlacementSpec(node_selector={"zone": "a"}))
    _, refusal = ask(asked, labels={"zone": "b"})
    assert refusal == Refusal(Reason.NODE_SELECTOR_NOT_MET, "the labels of n do not meet zone=a")
    assert ask(asked, labels={"zone": "a"})[1] is None


def test_a_taint_that_is_tolerated_keeps_nobody_away():
    asked = model(placement=PlacementSpec(tolerations=(Toleration(key="a", value="b"),)))
    assert ask(asked, taints=("a=b:NoSchedule",))[1] is None


def test_a_repetition_that_failed_says_nothing_against_the_rows_of_before():
    assert ask(table=benchmark(error="node was busy"))[1] is None


@pytest.mark.parametrize(
    ("age_s", "fresh"),
    [
        pytest.param(0, True, id="just now"),
        pytest.param(-60, True, id="60 s ahead of our clock"),
        pytest.param(-61, False, id="further ahead than clocks differ"),
        pytest.param(180, True, id="180 s ago"),
        pytest.param(181, False, id="more than 180 s ago"),
        pytest.param(-30, True, id="from a clock that is ahead"),
        pytest.param(None, False, id="never"),
    ],
)
def test_is_fresh(age_s, fresh):
    assert is_fresh(profile_status(heartbeat_age_s=age_s), NOW) is fresh
