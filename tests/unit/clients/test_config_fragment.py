import pytest

from ferryman.api.batching import Batching
from ferryman.clients.config_fragment import fragment, mismatch, stated
from ferryman.clients.pbtxt import ConfigInvalid, from_text

CONFIG = """
name: "m" backend: "onnxruntime" max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: 3 }
instance_group { name: "m_0" count: 1 kind: KIND_GPU gpus: 0 }
dynamic_batching { preferred_batch_size: 8 }
"""


def test_a_fragment_has_the_fields_of_batching_and_nothing_else():
    wanted = Batching(max_batch_size=16, max_queue_delay_microseconds=500, instances=2)
    found = from_text(fragment(CONFIG, wanted))

    assert [field.name for field, _ in found.ListFields()] == [
        "max_batch_size",
        "instance_group",
        "dynamic_batching",
    ]
    assert (found.max_batch_size, found.dynamic_batching.max_queue_delay_microseconds) == (16, 500)
    assert list(found.dynamic_batching.preferred_batch_size) == []


def test_what_the_groups_say_beside_their_count_is_kept_but_tritons_own_name():
    (group,) = from_text(fragment(CONFIG, Batching(max_batch_size=8, instances=3))).instance_group

    assert (group.name, group.count, list(group.gpus)) == ("", 3, [0])


def test_what_is_no_configuration_is_refused():
    with pytest.raises(ConfigInvalid):
        fragment("max_batch_size: many", Batching(max_batch_size=8))


LIVE = """
name: "m" backend: "onnxruntime" max_batch_size: 16 default_model_filename: "model.onnx"
input { name: "x" data_type: TYPE_FP32 dims: 3 }
output { name: "y" data_type: TYPE_FP32 dims: 3 }
parameters { key: "a" value { string_value: "1" } }
parameters { key: "added" value { string_value: "2" } }
"""


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("", id="one that leaves everything open"),
        pytest.param(CONFIG, id="one with another batching"),
        pytest.param('parameters { key: "a" value { string_value: "1" } }', id="one parameter"),
    ],
)
def test_a_file_that_the_server_completed_is_the_one_it_loaded(file):
    assert mismatch(file, LIVE) == ""


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ('name: "other"', "name is 'other' in the file and 'm' in the server"),
        ('backend: "python"', "backend is 'python'"),
        ('input { name: "z" }', "input is ['z'] in the file and ['x'] in the server"),
        ('output { name: "z" }', "output is ['z']"),
        ('parameters { key: "a" value { string_value: "2" } }', "parameters differ: a"),
        ('parameters { key: "b" value { string_value: "2" } }', "parameters differ: b"),
    ],
)
def test_a_file_that_states_something_else_is_not(file, words):
    assert words in mismatch(file, LIVE)


@pytest.mark.parametrize(
    ("batching", "file", "sizes"),
    [
        pytest.param("preferred_batch_size: 8", None, None, id="the bound alone is Triton's own"),
        pytest.param("preferred_batch_size: [4, 8]", None, [4, 8], id="others are the owner's"),
        pytest.param("preferred_batch_size: 4", None, [4], id="so is one below the bound"),
        pytest.param(
            "preferred_batch_size: [2, 8]",
            "max_batch_size: 8 dynamic_batching { }",
            None,
            id="what the file does not state was tuned",
        ),
    ],
)
def test_preferred_sizes_are_stated_unless_triton_completed_them(batching, file, sizes):
    found = stated(f"max_batch_size: 8 dynamic_batching {{ {batching} }}", file)

    assert found["dynamic_batching"].get("preferred_batch_size") == sizes


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("", ("REJECT", 0, 0), id="none, which is stated as well"),
        pytest.param(
            "default_timeout_microseconds: 500000 max_queue_size: 64",
            ("REJECT", 500_000, 64),
            id="one that rejects",
        ),
        pytest.param(
            "timeout_action: DELAY default_timeout_microseconds: 5 max_queue_size: 9",
            ("DELAY", 0, 9),
            id="one that delays: its time rejects nobody",
        ),
    ],
)
def test_the_queue_policy_is_stated_as_far_as_a_batching_can_tell(policy, expected):
    config = f"max_batch_size: 8 dynamic_batching {{ default_queue_policy {{ {policy} }} }}"

    assert tuple(stated(config)["dynamic_batching"]["default_queue_policy"].values()) == expected


def test_the_sizes_of_warm_up_batches_are_stated():
    found = stated('max_batch_size: 8 model_warmup { name: "w" batch_size: 8 }')

    assert found["model_warmup"] == [{"batch_size": 8}]
