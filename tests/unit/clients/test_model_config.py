"""Reading and changing the batching in a ModelConfig."""

import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from ferryman.api.batching import Batching
from ferryman.clients.model_config import (
    batching_of,
    has_unknown_fields,
    instances_known,
    largest_batch_size,
    not_batchable,
    shape_tensors,
    variable_inputs,
    with_batching,
)


def config(text):
    return text_format.Parse(text, ModelConfig())


PLAIN = """
name: "m" backend: "onnxruntime" max_batch_size: 16
dynamic_batching { max_queue_delay_microseconds: 100 }
instance_group { count: 2 kind: KIND_CPU }
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(PLAIN, (16, 100, 2), id="all three are read"),
        pytest.param(
            "max_batch_size: 4", (4, 0, 1), id="without a batcher: no delay, one instance"
        ),
        pytest.param("max_batch_size: 4 instance_group {}", (4, 0, 1), id="no count: one instance"),
    ],
)
def test_batching_of(text, expected):
    found = batching_of(config(text))
    assert found is not None
    assert (
        found.max_batch_size,
        found.max_queue_delay_microseconds,
        found.instances,
    ) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("backend: 'x'", "no batch dimension", id="max_batch_size 0"),
        pytest.param("max_batch_size: 4 sequence_batching {}", "stateful", id="sequences"),
        pytest.param("ensemble_scheduling {}", "ensemble", id="an ensemble"),
        pytest.param(
            "max_batch_size: 4 model_transaction_policy { decoupled: true }",
            "decoupled",
            id="a decoupled model",
        ),
    ],
)
def test_models_that_cannot_be_batched_say_why(text, why):
    assert why in not_batchable(config(text))
    assert batching_of(config(text)) is None


def test_a_change_of_batching_changes_nothing_else():
    before = config(PLAIN + 'parameters { key: "k" value { string_value: "v" } }')
    wanted = Batching(max_batch_size=32, max_queue_delay_microseconds=7, instances=3)
    after = with_batching(before, wanted)
    assert batching_of(after) == wanted
    assert batching_of(before) == Batching(
        max_batch_size=16, max_queue_delay_microseconds=100, instances=2
    )
    assert with_batching(after, batching_of(before)) == before


@pytest.mark.parametrize(
    ("preferred", "bound", "kept"),
    [
        pytest.param([4, 8], 6, [4], id="sizes beyond the bound are dropped"),
        pytest.param([4, 8], 4, [], id="the bound alone is no preference"),
        pytest.param([16], 32, [], id="the list that Triton completed follows the bound up"),
        pytest.param([16], 8, [], id="and down"),
        pytest.param([4, 16], 32, [4, 16], id="a list that a person wrote is kept"),
    ],
)
def test_preferred_batch_sizes(preferred, bound, kept):
    before = config(PLAIN)
    before.dynamic_batching.preferred_batch_size.extend(preferred)
    read = batching_of(before)
    assert read is not None
    after = with_batching(before, read.with_(max_batch_size=bound))
    assert list(after.dynamic_batching.preferred_batch_size) == kept
    assert batching_of(after).preferred_batch_size == tuple(kept)


POLICIES = {
    "none": ("", (0, 0)),
    "reject": ("default_timeout_microseconds: 900 max_queue_size: 5", (900, 5)),
    "with override": ("default_timeout_microseconds: 900 allow_timeout_override: true", (900, 0)),
    "delay": ("timeout_action: DELAY default_timeout_microseconds: 900", (0, 0)),
}


def with_policy(text):
    policy = f"default_queue_policy {{ {text} }}" if text else ""
    return config(
        f"max_batch_size: 4 instance_group {{ count: 1 }} dynamic_batching {{ {policy} }}"
    )


@pytest.mark.parametrize(("text", "read"), POLICIES.values(), ids=POLICIES.keys())
def test_a_queue_policy_is_read_and_kept(text, read):
    found = batching_of(with_policy(text))
    assert (found.default_timeout_microseconds, found.max_queue_size) == read
    assert with_batching(with_policy(text), found) == with_policy(text)


@pytest.mark.parametrize(
    ("text", "wanted", "after"),
    [
        pytest.param("none", (700, 3), "default_timeout_microseconds: 700 max_queue_size: 3"),
        pytest.param("reject", (0, 0), ""),
        pytest.param("reject", (0, 5), "max_queue_size: 5"),
        pytest.param(
            "with override",
            (700, 0),
            "default_timeout_microseconds: 700 allow_timeout_override: true",
        ),
        pytest.param("delay", (700, 0), "default_timeout_microseconds: 700"),
    ],
)
def test_a_queue_policy_is_changed_in_what_is_decided_only(text, wanted, after):
    timeout_us, size = wanted
    batching = Batching(
        max_batch_size=4, default_timeout_microseconds=timeout_us, max_queue_size=size
    )
    changed = with_batching(with_policy(POLICIES[text][0]), batching)
    assert changed == with_policy(after)
    assert batching_of(changed) == batching


@pytest.mark.parametrize(
    ("text", "field"),
    [
        pytest.param("max_batch_size: 70000", "max_batch_size", id="a bound"),
        pytest.param(
            "max_batch_size: 4 dynamic_batching { max_queue_delay_microseconds: 20000000 }",
            "max_queue_delay_microseconds",
            id="a delay",
        ),
        pytest.param(
            f"max_batch_size: 65 dynamic_batching {{ preferred_batch_size: {[*range(1, 66)]} }}",
            "preferred_batch_size",
            id="65 preferred sizes",
        ),
    ],
)
def test_what_the_api_cannot_state_is_not_batchable(text, field):
    assert f"its {field} is beyond what Ferryman can state" in not_batchable(config(text))
    assert batching_of(config(text)) is None


def test_all_groups_of_the_first_kind_get_the_instances():
    before = config("""
        max_batch_size: 4
        instance_group { count: 1 kind: KIND_GPU gpus: 0 }
        instance_group { count: 1 kind: KIND_GPU gpus: 1 }
        instance_group { count: 1 kind: KIND_CPU }
    """)
    after = with_batching(before, Batching(max_batch_size=4, instances=3))
    assert [group.count for group in after.instance_group] == [3, 3, 1]


def test_what_is_not_tuned_stays_word_for_word():
    """Rate limiter, devices, priorities, warm-up, cache and parameters are the owner's."""
    before = config("""
        max_batch_size: 8
        instance_group { count: 1 kind: KIND_GPU gpus: [ 0, 1 ] rate_limiter {
            resources { name: "R1" count: 4 } resources { name: "R2" global: true count: 2 }
            priority: 2 } }
        dynamic_batching { priority_levels: 2 default_priority_level: 2
            priority_queue_policy { key: 1 value { default_timeout_microseconds: 100000 } } }
        optimization { execution_accelerators { gpu_execution_accelerator {
            name: "tensorrt" parameters { key: "precision_mode" value: "FP16" } } } }
        version_policy { specific { versions: [ 1, 3 ] } }
        response_cache { enable: true }
        parameters { key: "metadata" value { string_value: 'it is "quoted"' } }
    """)
    after = with_batching(before, Batching(max_batch_size=4, instances=2))
    assert (after.max_batch_size, after.instance_group[0].count) == (4, 2)
    after.max_batch_size, after.instance_group[0].count = 8, 1
    assert after == before


@pytest.mark.parametrize(
    ("counts", "known"),
    [
        pytest.param([2, 2], True, id="equal counts are one answer"),
        pytest.param([2, 1], False, id="unequal counts are none"),
        pytest.param([], False, id="no group says nothing"),
    ],
)
def test_instances_known(counts, known):
    groups = " ".join(f"instance_group {{ count: {count} }}" for count in counts)
    assert instances_known(config(groups)) is known


def test_a_model_without_instance_groups_gets_one():
    after = with_batching(config("max_batch_size: 4"), Batching(max_batch_size=4, instances=2))
    assert [group.count for group in after.instance_group] == [2]


def test_fields_of_a_newer_schema_are_noticed():
    newer = ModelConfig.FromString(config(PLAIN).SerializeToString() + b"\xfa\x3f\x01x")
    assert has_unknown_fields(newer)
    assert not has_unknown_fields(config(PLAIN))


def capped(start="8", file="/live-cap/max-batch-size", more=""):
    return config(f"""{PLAIN} {more}
parameters {{ key: "FERRYMAN_LIVE_CAP_FILE" value {{ string_value: "{file}" }} }}
parameters {{ key: "FERRYMAN_LIVE_CAP_START" value {{ string_value: "{start}" }} }}""")


def test_with_a_live_cap_the_bound_is_where_that_starts():
    found = capped()
    assert batching_of(found).max_batch_size == 8
    assert largest_batch_size(found) == 16


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(config(PLAIN), id="no parameters"),
        pytest.param(capped(file="/my/file"), id="a live cap that is not Ferryman's"),
        pytest.param(capped(start=""), id="no start"),
        pytest.param(capped(start="0"), id="a start of 0"),
        pytest.param(capped(start="many"), id="a garbled start"),
        pytest.param(
            capped(more='input { name: "s" is_shape_tensor: true }'),
            id="a shape tensor, for which the library knows no bound",
        ),
    ],
)
def test_otherwise_the_bound_is_tritons_own(message):
    assert batching_of(message).max_batch_size == 16
    assert largest_batch_size(message) is None
    assert with_batching(message, Batching(max_batch_size=4)).max_batch_size == 4


def test_reading_adds_no_parameters():
    message = config(PLAIN)
    batching_of(message)
    assert message == config(PLAIN)


def test_a_change_moves_the_start_of_the_live_cap_and_leaves_tritons_own_bound():
    changed = with_batching(capped(), Batching(max_batch_size=4, instances=2))
    assert changed.parameters["FERRYMAN_LIVE_CAP_START"].string_value == "4"
    assert changed.max_batch_size == 16
    assert batching_of(changed) == Batching(max_batch_size=4, instances=2)


def test_a_start_beyond_tritons_own_bound_raises_that():
    changed = with_batching(capped(), Batching(max_batch_size=32))
    assert (changed.max_batch_size, batching_of(changed).max_batch_size) == (32, 32)


@pytest.mark.parametrize(
    ("sizes", "wanted", "left"),
    [
        pytest.param("16", (), [16], id="what Triton completed a missing list to stays"),
        pytest.param("4 12", (4,), [4, 12], id="sizes beyond the start stay for a raised cap"),
        pytest.param("4 12", (2,), [2], id="other sizes than wanted are replaced"),
    ],
)
def test_preferred_sizes_beyond_the_live_cap_are_left_alone(sizes, wanted, left):
    message = capped()
    message.dynamic_batching.preferred_batch_size.extend(map(int, sizes.split()))
    after = Batching(max_batch_size=8, preferred_batch_size=wanted)
    changed = with_batching(message, after)
    assert list(changed.dynamic_batching.preferred_batch_size) == left
    assert batching_of(changed).preferred_batch_size == wanted


@pytest.mark.parametrize(
    ("inputs", "variable"),
    [
        pytest.param("dims: [3, 224]", False, id="fixed dimensions"),
        pytest.param("dims: [-1, 224]", True, id="a variable one"),
        pytest.param("dims: [-1] allow_ragged_batch: true", False, id="a ragged input"),
    ],
)
def test_variable_inputs(inputs, variable):
    message = config(f'{PLAIN} input {{ name: "a" dims: [1] }} input {{ name: "b" {inputs} }}')
    assert variable_inputs(message) is variable
    assert not shape_tensors(message)
