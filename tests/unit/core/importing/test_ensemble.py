import pytest

from ferryman.core.importing.triton import repository
from ferryman.core.importing.triton.model import StoredModel
from tests.unit.core.importing import sources
from tests.unit.core.importing.sources import asked, left, stored

RESNET = (sources.ENSEMBLE, sources.PREPROCESS, sources.RESNET)


def imported(*texts):
    return repository.imported([stored(text) for text in texts], asked())


def refusal(ensemble, *others):
    found = imported(ensemble, *others)[0]
    assert found.manifest is None
    return found.refusal


def test_an_ensemble_is_a_pipeline_and_its_members_are_steps_alone():
    (found,) = imported(*RESNET)
    spec = found.manifest["spec"]

    assert found.manifest["kind"] == "InferencePipeline"
    assert found.manifest["metadata"] == {"name": "ensemble-resnet"}
    assert spec["inputs"] == [{"name": "INPUT", "datatype": "UINT8", "shape": [-1, -1]}]
    assert spec["outputs"] == [
        {"name": "OUTPUT", "from": "resnet-trt.out", "datatype": "FP32", "shape": [-1, 1000]}
    ]
    assert [(step["name"], step["inputMap"]) for step in spec["steps"]] == [
        ("preprocess", {"BYTES": "INPUT"}),
        ("resnet-trt", {"in:0": "preprocess.IMAGE"}),
    ]
    assert [step["initial"] for step in spec["steps"]] == [
        {"instances": 8, "maxBatchSize": 256},
        {"instances": 1, "maxBatchSize": 128},
    ]
    assert spec["steps"][0]["limits"] == {"maxBatchSize": {"max": 256}, "instances": {"max": 8}}
    assert spec["steps"][1]["model"]["storageUri"] == "pvc://models/repository/resnet_trt"
    assert spec["balancing"] == {"mode": "Fixed"}
    assert left(found).keys() == {
        "name",
        "preprocess: instance_group[0].kind",
        "resnet_trt: dynamic_batching.max_queue_delay_microseconds",
    }


def test_a_model_that_runs_twice_is_two_steps_and_tensors_get_names_that_may_be():
    (found,) = imported(sources.ADD_SUB, sources.ADDER)
    spec = found.manifest["spec"]

    assert [(step["name"], step["inputMap"]) for step in spec["steps"]] == [
        ("add-sub", {"A": "INPUT0", "B": "INPUT1"}),
        ("add-sub-2", {"A": "add-sub.SUM", "B": "add-sub.DIFF"}),
    ]
    assert spec["outputs"][0]["name"] == "SUM_OF_ALL"
    assert left(found) == {
        "ensemble_scheduling.step[0].model_version": "a step has the version that its files say: "
        "have its storageUri hold that alone",
        "output[0].name": "it is called SUM_OF_ALL: clients must name it so",
    }


def test_what_else_an_ensemble_says_is_left_out_and_members_hints_are_told():
    unbatched = StoredModel("resnet_trt", {"backend": "tensorrt"})
    (found,) = repository.imported(
        [
            stored(sources.ENSEMBLE + "version_policy { all { } } response_cache { enable: true }"),
            stored(sources.PREPROCESS),
            unbatched,
        ],
        asked(),
    )

    assert {"version_policy", "response_cache"} <= left(found).keys()
    assert [each[:43] for each in found.hints] == [
        "preprocess: dynamic_batching is not stated,",
        "resnet_trt: max_batch_size is not stated, n",
    ]
    assert found.manifest["spec"]["steps"][1]["initial"] == {"instances": 1}


def test_tensors_that_would_have_one_name_get_two():
    ensemble = sources.ADD_SUB.replace('"INPUT0"', '"a b"').replace('"INPUT1"', '"a:b"')
    (found,) = imported(ensemble.replace("SUM OF ALL", "1"), sources.ADDER)

    assert [each["name"] for each in found.manifest["spec"]["inputs"]] == ["a_b", "a_b_1"]
    assert found.manifest["spec"]["outputs"][0]["name"] == "_1"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('value: "image" } },', 'value: "INPUT" } },', "two make the tensor INPUT"),
        ('key: "out" value: "OUTPUT"', 'key: "out" value: "image"', "two make the tensor image"),
        (
            'key: "out" value: "OUTPUT"',
            'key: "out" value: "other"',
            "tensor OUTPUT is read as an output, but nothing",
        ),
        (
            'key: "in:0" value: "image"',
            'key: "in:0" value: "x"',
            "tensor x is read by step resnet_trt",
        ),
        (
            'model_name: "resnet_trt"',
            'model_name: "gone"',
            "its step gone is not in the repository",
        ),
        ('model_name: "resnet_trt"', 'model_name: "ensemble_resnet"', "is an ensemble: put that"),
        ('model_name: "resnet_trt"', "", "no letter that an object's may have"),
        ("TYPE_UINT8 dims: [ -1 ]", "TYPE_UINT8 dims: [ 0 ]", "tensor INPUT has no data_type, or"),
        ("data_type: TYPE_UINT8 ", "", "tensor INPUT has no data_type, or"),
        ("dims: [ 1000 ]", "dims: [ 999 ]", "resnet-trt.out"),
        ('"ensemble_resnet" platform', '"resnet_trt" platform', "is named like the pipeline"),
        ('output [ { name: "OUTPUT"', 'output [ { name: "INPUT"', "two"),
    ],
)
def test_an_ensemble_that_could_not_be_served_is_refused_in_words(before, after, words):
    ensemble = sources.ENSEMBLE.replace(before, after)
    assert ensemble != sources.ENSEMBLE
    if '"resnet_trt" platform' in ensemble:
        other = StoredModel("resnet_trt", stored(sources.RESNET).config)
        found = repository.imported(
            [StoredModel("resnet-trt", stored(ensemble).config), stored(sources.PREPROCESS), other],
            asked(),
        )
        assert words in found[0].refusal
        return
    if after.endswith('"INPUT"') and after.startswith("output"):
        ensemble = ensemble.replace('key: "out" value: "OUTPUT"', 'key: "out" value: "INPUT"')

    assert words in refusal(ensemble, sources.PREPROCESS, sources.RESNET)


def test_the_members_of_an_ensemble_that_is_refused_are_models():
    ensemble = sources.ENSEMBLE.replace('value: "image" } },', 'value: "INPUT" } },')
    found = imported(ensemble, sources.PREPROCESS, sources.RESNET)

    assert [(each.name, each.manifest is not None) for each in found] == [
        ("ensemble_resnet", False),
        ("preprocess", True),
        ("resnet_trt", True),
    ]


def test_an_ensemble_without_steps_or_with_a_tensor_twice_is_refused():
    assert "states no step" in refusal('name: "e" platform: "ensemble"')
    twice = sources.ENSEMBLE + 'input { name: "INPUT" data_type: TYPE_UINT8 dims: [ 1 ] }'
    assert "input INPUT of the ensemble is there twice" in refusal(twice, *RESNET[1:])


def test_one_number_a_row_is_a_tensor():
    ensemble = sources.ENSEMBLE.replace("dims: [ 1000 ]", "")
    resnet = sources.RESNET.replace(
        'output [ { name: "out" data_type: TYPE_FP32 dims: [ 1000 ] } ]', ""
    )
    (found,) = imported(ensemble, sources.PREPROCESS, resnet)

    assert found.manifest["spec"]["outputs"][0]["shape"] == [-1]
