"""Triton's model configuration: the overlay below, what is decided on top."""

import pytest

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.clients import model_config, pbtxt
from ferryman.core.errors import RejectedError
from ferryman.core.triton import config as triton_config
from tests import factories

BATCHING = Batching(max_batch_size=16, max_queue_delay_microseconds=500, instances=2)


def configured(config, batching=BATCHING, model_format="onnx", live_cap=None):
    source = factories.source(model_format=model_format, config=config)
    entry = factories.runtime_processor()
    return triton_config.model_config("resnet50", entry, source, batching, live_cap)


def test_name_backend_and_batching_are_laid_over_an_empty_overlay():
    assert configured({}) == {
        "name": "resnet50",
        "backend": "onnxruntime",
        "max_batch_size": 16,
        "dynamic_batching": {"max_queue_delay_microseconds": 500},
        "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
    }


def test_triton_takes_what_is_configured():
    config = configured({"dynamic_batching": {"preferred_batch_size": [4, 8, 32]}})
    assert pbtxt.decode(pbtxt.encode(config)) == {
        "name": "resnet50",
        "backend": "onnxruntime",
        "max_batch_size": 16,
        "dynamic_batching": {
            "preferred_batch_size": [4, 8],
            "max_queue_delay_microseconds": "500",
        },
        "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
    }


@pytest.mark.parametrize(
    ("overlay", "key", "value"),
    [
        pytest.param(
            {"parameters": {"k": {"string_value": "v"}}},
            "parameters",
            {"k": {"string_value": "v"}},
            id="a field that is not decided passes through",
        ),
        pytest.param({"version_policy": None}, "version_policy", None, id="a null is left out"),
        pytest.param({"max_batch_size": 64}, "max_batch_size", 16, id="the decided bound wins"),
        pytest.param({"maxBatchSize": 64}, "max_batch_size", 16, id="so it does in camel case"),
        pytest.param(
            {"dynamicBatching": {"maxQueueDelayMicroseconds": 9, "preserveOrdering": True}},
            "dynamic_batching",
            {"max_queue_delay_microseconds": 500, "preserve_ordering": True},
            id="the decided delay wins, the rest of the batcher stays",
        ),
        pytest.param(
            {"instance_group": [{"profile": ["0"], "count": 7, "kind": "KIND_GPU"}]},
            "instance_group",
            [{"profile": ["0"], "count": 2, "kind": "KIND_CPU"}],
            id="count and kind are decided, the group's profile stays",
        ),
        pytest.param({"backend": "onnxruntime"}, "backend", "onnxruntime", id="the same backend"),
        pytest.param(
            {"model_warmup": [{"name": "w", "batchSize": "128"}]},
            "max_batch_size",
            128,
            id="the bound is no smaller than the warm-up, without which Triton does not load",
        ),
        pytest.param(
            {"model_warmup": [{"name": "w"}, {"batch_size": 4}]},
            "max_batch_size",
            16,
            id="a smaller warm-up changes nothing",
        ),
        pytest.param(
            {"dynamic_batching": {"preferred_batch_size": ["8", 4]}},
            "dynamic_batching",
            {"preferred_batch_size": [8, 4], "max_queue_delay_microseconds": 500},
            id="numbers may be strings of digits, as JSON made of messages has them",
        ),
    ],
)
def test_overlay(overlay, key, value):
    assert configured(overlay).get(key) == value


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        pytest.param({"name": "x"}, "remove name", id="a name is refused"),
        pytest.param({"platform": "x"}, "remove platform", id="a platform is refused"),
        pytest.param({"backend": "tensorrt"}, "serves this format with onnxruntime", id="backend"),
        pytest.param({"ensemble_scheduling": {}}, "serves one model", id="an ensemble is refused"),
        pytest.param(
            {"parameters": {"a": [{"b": "file:x"}]}},
            r"config\.parameters\.a\[0\]\.b starts with file:",
            id="a string that replaces files is refused wherever it stands",
        ),
        pytest.param(
            {"parameters": {"file:1/model.onnx": 1}}, "starts with file:", id="and so is a key"
        ),
        pytest.param({"max_batch_size": "8.5"}, "max_batch_size must be a whole", id="a fraction"),
        pytest.param({"max_batch_size": True}, "max_batch_size must be a whole", id="a true bound"),
        pytest.param({"max_batch_size": -5}, "at least 0, not -5", id="a negative bound"),
        pytest.param({"dynamic_batching": 3}, "must be an object, not 3", id="a number as batcher"),
        pytest.param(
            {"dynamic_batching": {"max_queue_delay_microseconds": 1.5}},
            "max_queue_delay_microseconds must be a whole number",
            id="a fraction as delay",
        ),
        pytest.param(
            {"dynamic_batching": {"preferred_batch_size": 4}},
            "preferred_batch_size must be a list of whole numbers",
            id="one preferred size that is no list",
        ),
        pytest.param(
            {"dynamic_batching": {"preferred_batch_size": ["four"]}},
            "preferred_batch_size must be a list of whole numbers",
            id="a preferred size that is a text",
        ),
        pytest.param(
            {"dynamic_batching": {"preferred_batch_size": [0]}}, "numbers from 1", id="a size of 0"
        ),
        pytest.param(
            {"dynamic_batching": {"preferred_batch_size": [*range(1, 66)]}},
            "has 65 sizes: state 64",
            id="more preferred sizes than the API can state",
        ),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": 3}},
            "default_queue_policy must be an object, not 3",
            id="a number as queue policy",
        ),
        pytest.param(
            {"dynamic_batching": {"default_queue_policy": {"max_queue_size": "-9"}}},
            "max_queue_size must be a whole number",
            id="a text as queue size",
        ),
        pytest.param(
            {"dynamic_batching": {"defaultQueuePolicy": {"defaultTimeoutMicroseconds": 10**9}}},
            "default_timeout_microseconds must not exceed 600_000_000, but is 1_000_000_000",
            id="a timeout beyond what the API can state",
        ),
        pytest.param({"max_batch_size": 70_000}, "must not exceed 65_536", id="a bound beyond it"),
        pytest.param({"instance_group": {}}, "must be a list of objects", id="a group, no list"),
        pytest.param({"model_warmup": {}}, "model_warmup must be a list", id="a warm-up, no list"),
        pytest.param(
            {"model_warmup": [{"batch_size": True}]}, "batch_size must be", id="a warm-up of true"
        ),
        pytest.param({"max_batch_size": "9" * 5000}, "max_batch_size must", id="endless digits"),
        pytest.param({"instance_group": [1]}, "must be a list of objects", id="a list of numbers"),
        pytest.param({"instance_group": [{}, {}]}, "has 2 groups", id="two instance groups"),
        pytest.param({"instance_group": [{"count": "٣"}]}, "count must be", id="a text as count"),
    ],
)
def test_an_overlay_that_contradicts_what_is_decided(overlay, words):
    with pytest.raises(RejectedError, match=words) as caught:
        configured(overlay)
    assert caught.value.reason == Reason.INVALID_CONFIG


def test_a_format_without_backend_is_refused_with_those_that_have_one():
    with pytest.raises(RejectedError, match=r"no backend for python \(it has onnx\)") as caught:
        configured({}, model_format="python")
    assert caught.value.reason == Reason.FORMAT_NOT_SUPPORTED


UNTUNABLE = {
    "no batch dimension": ({"max_batch_size": 0}, "no batch dimension"),
    "a sequence batcher": ({"sequenceBatching": {}, "max_batch_size": 4}, "sequence batcher"),
    "a decoupled model": ({"model_transaction_policy": {"decoupled": True}}, "decoupled"),
}


@pytest.mark.parametrize(("overlay", "words"), UNTUNABLE.values(), ids=UNTUNABLE.keys())
def test_what_must_not_be_tuned_says_why(overlay, words):
    found = triton_config.refusal_to_tune(overlay)
    assert found is not None
    assert found.reason == Reason.NOT_BATCHABLE
    assert words in found.message


@pytest.mark.parametrize("overlay", [{}, {"model_transaction_policy": {"decoupled": False}}])
def test_everything_else_is_tuned(overlay):
    assert triton_config.refusal_to_tune(overlay) is None


@pytest.mark.parametrize(("overlay", "_words"), UNTUNABLE.values(), ids=UNTUNABLE.keys())
def test_the_batching_of_an_untunable_model_stays_as_stated(overlay, _words):
    config = configured(overlay, Batching(max_batch_size=1, instances=3))
    assert "dynamic_batching" not in config
    assert config.get("max_batch_size", 0) == overlay.get("max_batch_size", 0)
    assert config["instance_group"] == [{"count": 3, "kind": "KIND_CPU"}]


@pytest.mark.parametrize(
    ("overlay", "spec", "expected"),
    [
        pytest.param({"max_batch_size": 0}, {}, (1, 0, 1), id="no batch dimension shows as 1"),
        pytest.param(
            {"max_batch_size": 4, "sequence_batching": {}, "instance_group": [{"count": 2}]},
            {},
            (4, 0, 2),
            id="bound and instances as stated",
        ),
        pytest.param(
            {
                "max_batch_size": 4,
                "dynamic_batching": {"max_queue_delay_microseconds": 70},
                "model_transaction_policy": {"decoupled": True},
            },
            {"initial": Batching(max_batch_size=9, instances=3)},
            (4, 70, 3),
            id="delay as stated, instances from spec.batching.initial",
        ),
    ],
)
def test_stated_batching(overlay, spec, expected):
    found = triton_config.stated_batching(overlay, BatchingSpec(**spec))
    assert (
        found.max_batch_size,
        found.max_queue_delay_microseconds,
        found.instances,
    ) == expected


def untuned(config, **batching):
    source = factories.source(config=config)
    spec, entry = BatchingSpec(**batching), factories.runtime_processor()
    return triton_config.untuned("resnet50", spec, entry, source)


def test_the_untuned_part_keeps_the_preferred_sizes_that_a_low_bound_hides():
    sizes = {"dynamic_batching": {"preferred_batch_size": [8, 256]}}
    assert untuned(sizes)["dynamic_batching"]["preferred_batch_size"] == [8, 256]


def test_the_untuned_part_of_an_untunable_model_is_all_of_it():
    stated = {"max_batch_size": 0, "instance_group": [{"count": 2}]}
    assert untuned(stated)["instance_group"] == [{"count": 2, "kind": "KIND_CPU"}]
    assert untuned(stated)["max_batch_size"] == 0


TIMED = BATCHING.with_(default_timeout_microseconds=40_000, max_queue_size=100)


@pytest.mark.parametrize(
    ("overlay", "batching", "expected"),
    [
        pytest.param({}, BATCHING, {}, id="what is not decided is not stated"),
        pytest.param(
            {},
            BATCHING.with_(preferred_batch_size=(4, 8)),
            {"preferred_batch_size": [4, 8]},
            id="preferred sizes",
        ),
        pytest.param(
            {}, BATCHING.with_(preferred_batch_size=(16,)), {}, id="the bound alone is none"
        ),
        pytest.param(
            {},
            TIMED,
            {
                "default_queue_policy": {
                    "timeout_action": "REJECT",
                    "default_timeout_microseconds": 40_000,
                    "max_queue_size": 100,
                }
            },
            id="a queue policy",
        ),
        pytest.param(
            {},
            BATCHING.with_(max_queue_size=100),
            {"default_queue_policy": {"timeout_action": "REJECT", "max_queue_size": 100}},
            id="a bounded queue alone",
        ),
        pytest.param(
            {"preferred_batch_size": [2, 32]},
            BATCHING.with_(preferred_batch_size=(4, 8)),
            {"preferred_batch_size": [2]},
            id="the overlay's own sizes win",
        ),
        pytest.param(
            {"defaultQueuePolicy": {"timeoutAction": "DELAY", "defaultTimeoutMicroseconds": 7}},
            TIMED,
            {
                "default_queue_policy": {
                    "timeout_action": "DELAY",
                    "default_timeout_microseconds": 7,
                }
            },
            id="the overlay's own policy wins as a whole",
        ),
    ],
)
def test_preferred_sizes_and_queue_policy(overlay, batching, expected):
    found = configured({"dynamic_batching": overlay}, batching)["dynamic_batching"]
    assert found == {**expected, "max_queue_delay_microseconds": 500}
    assert pbtxt.encode(configured({"dynamic_batching": overlay}, batching))


@pytest.mark.parametrize(
    ("overlay", "fields"),
    [
        pytest.param({}, {}, id="an overlay without own words"),
        pytest.param({"preferred_batch_size": []}, {"preferred_batch_size": ()}, id="no sizes"),
        pytest.param(
            {"preferredBatchSize": [8, 4, 32]}, {"preferred_batch_size": (4, 8)}, id="its sizes"
        ),
        pytest.param(
            {"default_queue_policy": {}},
            {"default_timeout_microseconds": 0, "max_queue_size": 0},
            id="a policy that never rejects",
        ),
        pytest.param(
            {"default_queue_policy": {"default_timeout_microseconds": 9}},
            {"default_timeout_microseconds": 9, "max_queue_size": 0},
            id="its timeout: to reject is Triton's default",
        ),
        pytest.param(
            {
                "default_queue_policy": {
                    "timeout_action": "DELAY",
                    "default_timeout_microseconds": 9,
                    "max_queue_size": 5,
                }
            },
            {"default_timeout_microseconds": 0, "max_queue_size": 5},
            id="a policy that delays rejects by its size only",
        ),
    ],
)
def test_what_comes_into_force_is_what_triton_then_shows(overlay, fields):
    """The oracle is the adapter's reading of the rendered file, which knows no overlays."""
    wanted = TIMED.with_(preferred_batch_size=(2,))
    config = {"dynamic_batching": overlay}
    expected = wanted.with_(**fields)
    assert triton_config.in_effect(config, wanted) == expected
    rendered = pbtxt.parse(configured(config, triton_config.in_effect(config, wanted)))
    assert model_config.batching_of(rendered) == expected
    assert model_config.with_batching(rendered, expected) == rendered


CAPPED = triton_config.LiveCap(largest=64)


def test_with_a_live_cap_tritons_bound_is_its_own_and_the_decided_one_is_where_the_cap_starts():
    config = configured({"parameters": {"k": {"string_value": "v"}}}, live_cap=CAPPED)
    assert config["max_batch_size"] == 64
    assert config["parameters"] == {
        "k": {"string_value": "v"},
        "FERRYMAN_LIVE_CAP_FILE": {"string_value": "/live-cap/max-batch-size"},
        "FERRYMAN_LIVE_CAP_START": {"string_value": "16"},
    }
    message = pbtxt.from_text(pbtxt.encode(config))
    assert model_config.batching_of(message) == BATCHING
    assert model_config.largest_batch_size(message) == 64


def test_with_a_live_cap_the_users_preferred_sizes_stay_up_to_tritons_own_bound():
    overlay = {"dynamic_batching": {"preferred_batch_size": [8, 32, 128]}}
    config = configured(overlay, live_cap=CAPPED)
    assert config["dynamic_batching"]["preferred_batch_size"] == [8, 32]
    assert model_config.batching_of(pbtxt.from_text(pbtxt.encode(config))) == BATCHING.with_(
        preferred_batch_size=(8,)
    )


def test_a_model_that_is_not_tuned_has_no_live_cap():
    config = configured({"max_batch_size": 0}, live_cap=CAPPED)
    assert (config["max_batch_size"], "parameters" in config) == (0, False)


def test_a_batching_comes_into_force_no_smaller_than_the_warm_up():
    overlay = {"model_warmup": [{"name": "w", "batch_size": 32}]}
    assert triton_config.in_effect(overlay, BATCHING).max_batch_size == 32
    larger = BATCHING.with_(max_batch_size=64)
    assert triton_config.in_effect(overlay, larger) == larger


def test_with_a_live_cap_tritons_own_bound_is_no_smaller_than_the_warm_up():
    overlay = {"model_warmup": [{"name": "w", "batch_size": 128}]}
    assert configured(overlay, live_cap=triton_config.LiveCap(64))["max_batch_size"] == 128


WARM = {"model_warmup": [{"name": "w", "batch_size": 32}]}


@pytest.mark.parametrize(
    ("overlay", "size", "expected"),
    [
        pytest.param({}, (1, 64), (1, 64), id="no warm-up: as stated"),
        pytest.param(WARM, (1, 64), (32, 64), id="the warm-up is the least bound"),
        pytest.param(WARM, (1, 8), (32, 32), id="and the only one where the most is less"),
        pytest.param(WARM, (48, 64), (48, 64), id="a least bound beyond it stays"),
    ],
)
def test_no_bound_below_the_warm_up_is_asked_for(overlay, size, expected):
    spec = BatchingSpec(limits=factories.limits(size=size))
    found = triton_config.within(overlay, spec).limits.max_batch_size
    assert (found.min, found.max) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param({"max_batch_size": 4}, ((4, 8), 500, 64), id="a bound alone states nothing"),
        pytest.param({"preferred_batch_size": (2,)}, ((2,), 500, 64), id="other preferred sizes"),
        pytest.param({"preferred_batch_size": ()}, ((), 500, 64), id="none any more"),
        pytest.param(
            {"default_timeout_microseconds": 9, "max_queue_size": 0},
            ((4, 8), 9, 0),
            id="another queue policy",
        ),
    ],
)
def test_what_another_hand_states_counts_from_then_on(found, expected):
    policy = {"default_timeout_microseconds": 500, "max_queue_size": 64}
    sizes = {"preferred_batch_size": [4, 8], "default_queue_policy": policy}
    overlay = {"dynamic_batching": sizes, **WARM}
    before = triton_config.in_effect(overlay, Batching(max_batch_size=32))
    restated = triton_config.restated(overlay, before, before.with_(**found))

    wanted = Batching(max_batch_size=40, preferred_batch_size=() if expected[0] == () else (3,))
    after = triton_config.in_effect(restated, wanted)
    policy = (after.default_timeout_microseconds, after.max_queue_size)
    assert (after.preferred_batch_size, *policy) == expected
    assert restated["model_warmup"] == WARM["model_warmup"]


def test_a_policy_that_was_left_to_tuning_stays_so_whoever_changes_it():
    other = Batching(max_batch_size=8, default_timeout_microseconds=9)
    found = triton_config.restated({}, Batching(max_batch_size=8), other)
    assert triton_config.in_effect(found, Batching(max_batch_size=8)) == Batching(max_batch_size=8)
