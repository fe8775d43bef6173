"""What of a model's configuration would run code, and where that is refused."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.core.errors import RejectedError
from ferryman.core.triton import code
from ferryman.core.triton import config as triton_config
from tests import factories

DATA, CODE = {"onnx": "onnxruntime"}, {"onnx": "onnxruntime", "python": "python"}


def entry(backends=None, allow_code=None):
    return factories.runtime_processor(backends=backends or DATA, allow_code=allow_code)


def configured(config, served, model_format="onnx"):
    source = factories.source(model_format=model_format, config=config)
    model = factories.model(model=source)
    return triton_config.model_config(model, served, source, Batching(max_batch_size=8))


@pytest.mark.parametrize(
    ("served", "allowed"),
    [
        pytest.param(entry(), False, id="a class whose models are data allows none"),
        pytest.param(entry(CODE), True, id="one that serves python runs it in any case"),
        pytest.param(entry({"pytorch": "pytorch"}), True, id="as one that serves pytorch does"),
        pytest.param(entry({"onnx": "ours"}), True, id="a backend that is not known may"),
        pytest.param(entry(allow_code=True), True, id="it may be allowed"),
        pytest.param(entry(CODE, allow_code=False), False, id="or forbidden"),
    ],
)
def test_where_code_is_allowed(served, allowed):
    assert code.is_allowed(served) is allowed


LOADING = {
    "an environment of Python's": (
        {"parameters": {"EXECUTION_ENV_PATH": {"string_value": "/srv/env.tar.gz"}}},
        "config states the parameter EXECUTION_ENV_PATH",
    ),
    "a batching strategy": (
        {"parameters": {"TRITON_BATCH_STRATEGY_PATH": {"string_value": "strategy"}}},
        "config states the parameter TRITON_BATCH_STRATEGY_PATH",
    ),
    "a library of operations": (
        {"model_operations": {"op_library_filename": ["ops"]}},
        "config.model_operations.op_library_filename names 'op_library_filename'",
    ),
    "one in the other spelling": (
        {"modelOperations": {"opLibraryFilename": ["ops"]}},
        "config.model_operations.opLibraryFilename names 'opLibraryFilename'",
    ),
    "another library in the backend's place": (
        {"runtime": "libtriton_mine"},
        "config states runtime",
    ),
    "a message that is there for libraries alone": (
        {"model_operations": {}},
        "config states model_operations",
    ),
    "a program as any value": (
        {"parameters": {"x": {"string_value": "ops.so.1"}}},
        "config.parameters.x.string_value names 'ops.so.1'",
    ),
    "a script": (
        {"default_model_filename": "model.py"},
        "config.default_model_filename names 'model.py'",
    ),
    "an accelerator's plug-in": (
        {
            "optimization": {
                "execution_accelerators": {
                    "gpu_execution_accelerator": [
                        {"name": "tensorrt", "parameters": {"trt_extra_plugin_lib_paths": "x"}}
                    ]
                }
            }
        },
        "names 'trt_extra_plugin_lib_paths'",
    ),
}


@pytest.mark.parametrize(("config", "words"), LOADING.values(), ids=LOADING.keys())
def test_what_loads_code_is_refused_where_none_is_allowed(config, words):
    with pytest.raises(RejectedError) as refused:
        configured(config, entry())
    assert refused.value.reason is Reason.INVALID_CONFIG
    assert words in str(refused.value)
    assert str(refused.value).endswith("or use a runtime whose class has allowCode true")
    configured(config, entry(CODE))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"default_model_filename": "graph.onnx"}, id="another file's name"),
        pytest.param({"parameters": {"label": {"string_value": "libraries"}}}, id="mere words"),
        pytest.param({"parameters": {"x": {"string_value": "a..b"}}}, id="dots in a word"),
    ],
)
def test_what_loads_none_is_taken(config):
    configured(config, entry())


OUTSIDE = {
    "a model of another folder": {"default_model_filename": "../other/1/model.onnx"},
    "a model anywhere": {"defaultModelFilename": "/etc/model.onnx"},
    "by the compute capability": {"cc_model_filenames": {"8.0": "/srv/x.plan"}},
    "a warm-up's data": {
        "model_warmup": [{"inputs": {"in": {"input_data_file": "../../../../proc/1/environ"}}}]
    },
    "a warm-up's data anywhere": {
        "model_warmup": [{"inputs": {"in": {"inputDataFile": "/dev/zero"}}}]
    },
    "labels": {"output": [{"name": "o", "label_filename": "/etc/passwd"}]},
    "whatever climbs": {"parameters": {"x": {"string_value": "$$TRITON_MODEL_DIRECTORY/../y"}}},
}


@pytest.mark.parametrize("served", [entry(), entry(CODE)], ids=["data only", "code allowed"])
@pytest.mark.parametrize("config", OUTSIDE.values(), ids=OUTSIDE.keys())
def test_files_outside_the_models_folder_are_refused(config, served):
    with pytest.raises(RejectedError, match="name a file inside the model's own folder"):
        configured(config, served)


def test_a_model_that_is_code_is_not_served_where_none_is_allowed():
    with pytest.raises(RejectedError, match="models of python are code") as refused:
        configured({}, entry(CODE, allow_code=False), "python")
    assert refused.value.reason is Reason.FORMAT_NOT_SUPPORTED
    assert configured({}, entry(CODE), "python")["backend"] == "python"


WORDS = st.text("./a", max_size=6)
JSON = st.recursive(
    WORDS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner),
    max_leaves=6,
)


@given(JSON)
def test_whatever_climbs_is_refused_wherever_it_stands(value):
    """The oracle splits paths by another's rules: pathlib's."""
    found = list(texts(value))
    climbs = any(".." in PurePosixPath(text).parts for text in found)
    try:
        configured({"parameters": {"x": value}}, entry(CODE))
    except RejectedError:
        refused = True
    else:
        refused = False
    assert refused is climbs


def texts(value):
    """Yield the strings of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
