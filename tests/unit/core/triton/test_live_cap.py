"""Which models have a live cap, why others have none, and what its annotation means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.batching import Batching, BatchingLimits, BatchingSpec, MaxBatchSizeLimits
from ferryman.api.conditions import Reason
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.core.errors import RejectedError
from ferryman.core.snapshot import ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.triton import live_cap
from ferryman.core.triton.config import LiveCap
from tests import factories

SOURCE = RuntimeLiveCap(library="/usr/lib/batchstrategy.so")
EIGHT = Batching(max_batch_size=8)
WAITING = EIGHT.with_(max_queue_delay_microseconds=500)
MODE_LIMITS = BatchingLimits(max_batch_size=MaxBatchSizeLimits(min=1, max=32))


def found(
    overlay=None, *, source=SOURCE, batching=EIGHT, spec=None, variable=False, shape_tensors=False
):
    entry = factories.runtime_processor(live_cap=source)
    spec = spec or BatchingSpec(limits=MODE_LIMITS)
    serving = ServingState(variable_inputs=variable, shape_tensors=shape_tensors)
    return live_cap.in_config(live_cap.offer(entry, overlay or {}), spec, serving, batching)


def test_of_several_models_each_reads_a_bound_of_its_own():
    entry = factories.runtime_processor(live_cap=SOURCE)
    offered = live_cap.offer(entry, {}, "/live-cap/detect")
    spec = BatchingSpec(limits=MODE_LIMITS)
    capped = live_cap.in_config(offered, spec, ServingState(), EIGHT)
    assert capped == LiveCap(32, "/live-cap/detect")
    config = triton_config.model_config("detect", entry, factories.source(), EIGHT, capped)
    file = config["parameters"]["FERRYMAN_LIVE_CAP_FILE"]
    assert file == {"string_value": "/live-cap/detect"}


def test_without_one_in_the_runtime_there_is_none_and_nothing_to_explain():
    assert found(source=None) is None
    assert live_cap.status(None) is None


def test_tritons_own_bound_is_the_largest_that_the_limits_allow():
    assert found() == LiveCap(largest=32)
    shown = live_cap.status(found())
    assert (shown.available, shown.reason) == (True, Reason.LIVE_CAP)


def test_tritons_own_bound_is_never_below_what_is_applied():
    assert found(batching=Batching(max_batch_size=48)) == LiveCap(largest=48)


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        pytest.param(
            {"spec": BatchingSpec(mode="Fixed", initial=EIGHT)},
            Reason.MODE_FIXED,
            "stays as stated",
            id="mode Fixed",
        ),
        pytest.param(
            {"overlay": {"parameters": {"TRITON_BATCH_STRATEGY_PATH": {"string_value": "/x"}}}},
            Reason.OWN_STRATEGY,
            "the parameter TRITON_BATCH_STRATEGY_PATH",
            id="a strategy of the model's own",
        ),
        pytest.param(
            {"overlay": {"parameters": {"FERRYMAN_LIVE_CAP_FILE": {"string_value": "/x"}}}},
            Reason.OWN_STRATEGY,
            "the parameter FERRYMAN_LIVE_CAP_FILE",
            id="a live cap of the model's own",
        ),
        pytest.param(
            {"overlay": {"sequence_batching": {}}},
            Reason.NOT_BATCHABLE,
            "sequence_batching",
            id="a model that is not tuned",
        ),
        pytest.param(
            {"shape_tensors": True}, Reason.SHAPE_TENSORS, "cannot be counted", id="shape tensors"
        ),
        pytest.param(
            {"batching": WAITING}, Reason.QUEUE_DELAY, "500 µs", id="a delay, fixed dimensions"
        ),
    ],
)
def test_why_there_is_none(fields, reason, words):
    refused = found(**fields)
    assert refused.reason == reason
    assert words in refused.message
    shown = live_cap.status(refused)
    assert (shown.available, shown.reason, shown.message) == (False, reason, refused.message)


def test_with_a_variable_dimension_the_cap_is_a_target_and_a_delay_its_safety_limit():
    assert found(batching=WAITING, variable=True) == LiveCap(largest=32)


def test_other_parameters_of_the_overlay_are_no_strategy():
    assert found({"parameters": {"k": {"string_value": "v"}}}) == LiveCap(largest=32)


def test_parameters_that_are_no_object_are_refused():
    with pytest.raises(RejectedError, match="parameters must be an object"):
        found({"parameters": ["x"]})


@pytest.mark.parametrize("batching", [EIGHT, WAITING])
@pytest.mark.parametrize("mode", ["Auto", "Recommend", "Fixed"])
def test_what_pods_are_made_for_depends_on_nothing_that_is_tuned(mode, batching):
    """Or a change of the mode or of the delay would roll them."""
    offered = live_cap.offer(factories.runtime_processor(live_cap=SOURCE), {})
    assert offered == live_cap.Offer(SOURCE)
    spec = BatchingSpec(mode=mode, initial=EIGHT)
    live_cap.in_config(offered, spec, ServingState(), batching)


@pytest.mark.parametrize(
    ("annotation", "bound"),
    [
        pytest.param(None, 8, id="absent: the start"),
        pytest.param("", 8, id="empty: the start"),
        pytest.param("5", 5, id="a number"),
        pytest.param("5\n", 5, id="with a line end"),
        pytest.param("007", 7, id="leading zeros"),
        pytest.param("64", 64, id="Triton's own"),
        pytest.param("65", 64, id="beyond Triton's own"),
        *(
            pytest.param(text, 64, id=f"no bound: {text!r}")
            for text in ("0", "-4", "many", "8 rows", "4.5", "0x4", " 4", "9" * 20, "\x00", "٣")
        ),
    ],
)
def test_the_bound_of_an_annotation_is_what_the_library_finds(annotation, bound):
    assert live_cap.bound_in_force(annotation, 8, 64) == bound


@given(text=st.none() | st.text(max_size=70), start=st.integers(1, 64))
def test_whatever_an_annotation_says_some_bound_within_tritons_own_is_in_force(text, start):
    assert 1 <= live_cap.bound_in_force(text, start, 64) <= 64
