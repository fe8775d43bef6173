import pytest

from ferryman.core.importing.outcome import NotImportableError
from ferryman.core.importing.triton import repository
from ferryman.core.importing.triton.model import StoredModel
from tests.unit.core.importing import sources
from tests.unit.core.importing.sources import asked, left, stored

TENSORS = 'input { name: "x" data_type: TYPE_FP32 dims: [ 4 ] } '


def one(text, *files, name=None, **options):
    (found,) = repository.imported([stored(text, *files, name=name)], asked(**options))
    return found


def spec(text, *files, **options):
    found = one(text, *files, **options)
    assert found.refusal == ""
    return found.manifest["spec"]


def test_a_model_that_cannot_be_batched_is_served_as_it_is():
    found = one(sources.DENSENET)

    assert found.manifest["metadata"] == {"name": "densenet-onnx"}
    assert found.manifest["spec"] == {
        "model": {
            "storageUri": "pvc://models/repository/densenet_onnx",
            "modelFormat": {"name": "onnx"},
            "config": {
                "max_batch_size": 0,
                "input": [
                    {
                        "name": "data_0",
                        "data_type": "TYPE_FP32",
                        "dims": [3, 224, 224],
                        "reshape": {"shape": [1, 3, 224, 224]},
                    }
                ],
                "output": [
                    {
                        "name": "fc6_1",
                        "data_type": "TYPE_FP32",
                        "dims": [1000],
                        "label_filename": "labels.txt",
                    }
                ],
            },
        },
        "runtimeRef": {"name": "triton"},
        "objectives": {"latency": {"percentile": 99, "targetMilliseconds": 50}},
    }
    assert left(found) == {"name": "it is called densenet-onnx: clients must ask for that"}


def test_what_was_batched_is_where_tuning_can_begin_and_the_rest_stays():
    found = one(
        'name: "m" backend: "onnxruntime" max_batch_size: 256 '
        "dynamic_batching { preferred_batch_size: [ 8, 16 ] max_queue_delay_microseconds: 30000 "
        "priority_levels: 2 default_priority_level: 1 "
        "default_queue_policy { max_queue_size: 5 } } "
        "instance_group { count: 8 kind: KIND_GPU gpus: [ 0, 1 ] profile: [ 'p' ] } "
        "instance_group { count: 1 kind: KIND_CPU } "
        "response_cache { enable: true } "
        "version_policy { latest { num_versions: 2 } } "
        'parameters { key: "threads" value { string_value: "2" } } '
        'model_warmup { name: "w" batch_size: 4 }'
    )

    assert found.manifest["spec"]["batching"] == {
        "mode": "Fixed",
        "initial": {"maxBatchSize": 256, "maxQueueDelayMicroseconds": 30_000, "instances": 8},
        "limits": {
            "maxBatchSize": {"max": 256},
            "maxQueueDelayMicroseconds": {"max": 30_000},
            "instances": {"max": 8},
        },
    }
    assert found.manifest["spec"]["model"]["config"] == {
        "dynamic_batching": {
            "preferred_batch_size": [8, 16],
            "priority_levels": 2,
            "default_priority_level": 1,
            "default_queue_policy": {"max_queue_size": 5},
        },
        "instance_group": [{"profile": ["p"]}],
        "response_cache": {"enable": True},
        "version_policy": {"latest": {"num_versions": 2}},
        "parameters": {"threads": {"string_value": "2"}},
        "model_warmup": [{"name": "w", "batch_size": 4}],
    }
    assert left(found).keys() == {
        "instance_group[0].kind",
        "instance_group[0].gpus",
        "instance_group[1]",
    }


@pytest.mark.parametrize(
    "scheduler",
    ["sequence_batching { }", "model_transaction_policy { decoupled: true }"],
)
def test_what_is_not_tuned_keeps_its_batching_in_its_configuration(scheduler):
    found = spec(
        f'name: "m" backend: "python" max_batch_size: 8 {scheduler} instance_group {{ count: 2 }}'
    )

    assert "batching" not in found
    assert found["model"]["config"]["max_batch_size"] == 8
    assert found["model"]["config"]["instance_group"] == [{"count": 2}]


def test_a_figure_beyond_what_there_is_is_the_most_there_is():
    sizes = ", ".join(map(str, range(1, 70)))
    found = one(
        'name: "m" backend: "onnxruntime" max_batch_size: 80 instance_group { count: 100 } '
        f"dynamic_batching {{ preferred_batch_size: [ {sizes} ] "
        "max_queue_delay_microseconds: 20000000 }"
    )

    initial = found.manifest["spec"]["batching"]["initial"]
    assert initial == {"maxBatchSize": 80, "maxQueueDelayMicroseconds": 10**7, "instances": 64}
    assert "config" not in found.manifest["spec"]["model"]
    assert len(found.left_out) == 3


def test_where_no_bound_and_no_tensor_is_stated_nobody_knows_whether_it_can_be_batched():
    found = one(
        'name: "m" backend: "onnxruntime" instance_group { count: 2 } '
        "dynamic_batching { max_queue_delay_microseconds: 5 }"
    )

    assert "batching" not in found.manifest["spec"]
    assert "max_batch_size: 0" in found.hints[0]
    assert left(found).keys() == {
        "dynamic_batching.max_queue_delay_microseconds",
        "instance_group[0].count",
    }


def test_a_model_without_a_configuration_is_what_its_file_says():
    model = StoredModel("m", None, frozenset({"model.onnx"}))
    (found,) = repository.imported([model], asked())

    assert found.manifest["spec"]["model"] == {
        "storageUri": "pvc://models/repository/m",
        "modelFormat": {"name": "onnx"},
    }


@pytest.mark.parametrize(
    ("text", "files", "name"),
    [
        ('backend: "pytorch"', (), "pytorch"),
        ('platform: "tensorflow_savedmodel"', (), "tensorflow"),
        ('backend: "vllm"', (), "vllm"),
        ("", ("model.plan", "labels.txt"), "tensorrt"),
        ("", ("model.xml", "model.bin"), "openvino"),
    ],
)
def test_the_format_is_that_of_the_configuration_or_of_the_files(text, files, name):
    assert spec(f'name: "m" {text}', *files)["model"]["modelFormat"] == {"name": name}


def test_or_a_person_says_it():
    assert spec('name: "m"', model_format="onnx")["model"]["modelFormat"] == {"name": "onnx"}


@pytest.mark.parametrize(
    ("text", "files", "words"),
    [
        ('backend: "dali"', (), "backend dali is none of Ferryman's formats"),
        ('platform: "custom"', (), "platform custom is none"),
        ("", (), "neither its configuration nor a file says"),
        ("", ("model.onnx", "model.plan"), "its files are of several"),
        ('backend: "python" parameters { key: "a" value { string_value: "file:x" } }', (), "file:"),
        ('backend: "python" max_batch_size: 70000', (), "max_batch_size must not exceed 65_536"),
        (
            (
                'backend: "python" max_batch_size: 8 dynamic_batching { default_queue_policy '
                "{ default_timeout_microseconds: 99999999999 } }"
            ),
            (),
            "default_timeout_microseconds must not exceed",
        ),
        (f'backend: "python" {TENSORS * 300}', (), "config.input has 300 entries"),
    ],
)
def test_what_cannot_be_served_is_refused_with_what_to_do(text, files, words):
    found = one(f'name: "m" {text}', *files)

    assert found.manifest is None
    assert words in found.refusal


def test_without_a_prefix_nobody_knows_where_the_files_are():
    assert "state --storage-uri PREFIX" in one(sources.DENSENET, storage_uri=None).refusal


def test_a_name_that_no_uri_can_have_is_refused():
    assert "pvc:// must be followed" in one('name: "a b" backend: "python"').refusal


def test_a_model_that_cannot_be_read_keeps_none_from_the_others():
    broken = StoredModel("broken", problem="broken/config.pbtxt: line 1 is wrong")
    found = repository.imported([broken, stored('backend: "python"', name="m")], asked())

    assert [(each.name, each.refusal) for each in found] == [
        ("broken", "broken/config.pbtxt: line 1 is wrong"),
        ("m", ""),
    ]


def test_a_step_that_cannot_be_read_is_named():
    broken = StoredModel("preprocess", problem="it is a directory")
    found = repository.imported([broken, stored(sources.ENSEMBLE)], asked())

    assert found[0].refusal == "its step preprocess cannot be imported: it is a directory"


def test_where_there_is_no_file_yet_one_is_asked_for():
    bare = StoredModel("m", {"backend": "python", "max_batch_size": 2}, frozenset())
    (found,) = repository.imported([bare], asked())

    assert found.hints[0].startswith("its folder has no file of a model yet")
    assert "no file" not in "".join(one('name: "m" backend: "python"', "model.py").hints)


def test_two_models_cannot_have_one_name():
    models = [stored('backend: "python"', name="a_b"), stored('backend: "python"', name="a-b")]
    found = repository.imported(models, asked())

    assert [each.refusal for each in found] == [
        "",
        "another object is called a-b already: rename one of the two",
    ]


def test_one_model_of_a_repository_may_be_meant():
    models = [stored(sources.DENSENET), stored(sources.ADDER)]

    assert [each.name for each in repository.imported(models, asked(model="add_sub"))] == [
        "add_sub"
    ]
    with pytest.raises(NotImportableError, match="no model x, but densenet_onnx, add_sub"):
        repository.imported(models, asked(model="x"))
