"""What the ONNX Runtime adapter asks of ONNX Runtime, and which file it opens."""

from __future__ import annotations

import re

import onnxruntime
import pytest

from tests.integration.onnx_serving import adapter_parts


@pytest.fixture(scope="module")
def parts():
    return adapter_parts()


def asked(parts, optimization=None, **parameters):
    stated = {key.replace("__", "."): {"string_value": v} for key, v in parameters.items()}
    return parts["session_options"].read(
        {"name": "m", "parameters": stated, "optimization": optimization or {}}
    )


@pytest.mark.parametrize(
    ("level", "name"),
    [(0, "ENABLE_ALL"), (-1, "ENABLE_BASIC"), (1, "ENABLE_EXTENDED"), (2, "DISABLE_ALL")],
)
def test_the_graph_level_is_the_one_asked_for(parts, level, name):
    options = onnxruntime.SessionOptions()
    asked(parts, {"graph": {"level": level}}).apply(options)
    assert options.graph_optimization_level.name == f"ORT_{name}"


def test_every_option_that_the_cpu_has_is_honoured(parts):
    wanted = asked(
        parts, execution_mode="1", enable_mem_arena="OFF", enable_mem_pattern="0",
        session__use_device_allocator_for_initializers="1",
    )  # fmt: skip
    options = onnxruntime.SessionOptions()
    wanted.apply(options)
    assert options.execution_mode.name == "ORT_PARALLEL"
    assert (options.enable_cpu_mem_arena, options.enable_mem_pattern) == (False, False)
    key = "session.use_device_allocator_for_initializers"
    assert options.get_session_config_entry(key) == "1"
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    assert wanted.ignored == ()


def test_an_arena_is_shrunk_after_each_run_where_that_is_asked_for(parts):
    wanted = asked(parts, memory__enable_memory_arena_shrinkage="cpu:0")
    key = "memory.enable_memory_arena_shrinkage"
    assert wanted.run_options().get_run_config_entry(key) == "cpu:0"
    assert asked(parts).run_options() is None


@pytest.mark.parametrize(
    ("optimization", "parameters", "words"),
    [
        pytest.param(
            {"execution_accelerators": {"cpu_execution_accelerator": [{"name": "openvino"}]}}, {},
            "accelerator 'openvino' has no effect: this image has only ONNX Runtime's CPU provider",
            id="an accelerator that is not here",
        ),
        pytest.param(
            {"execution_accelerators": {"gpu_execution_accelerator": [{"name": "tensorrt"}]}}, {},
            "accelerator 'tensorrt' has no effect: it is for GPUs",
            id="an accelerator for GPUs",
        ),
        pytest.param(
            {}, {"cudnn_conv_algo_search": "0"},
            "parameter 'cudnn_conv_algo_search' has no effect: it is for GPUs",
            id="a parameter for GPUs",
        ),
        pytest.param(
            {}, {"intra_op_threads": "4"},
            "parameter 'intra_op_threads' has no effect: this backend does not know it",
            id="a mistyped parameter",
        ),
        pytest.param(
            {}, {"memory__enable_memory_arena_shrinkage": "cpu:0;gpu:0"},
            "is 'cpu:0;gpu:0', of which only 'cpu:0' has an effect",
            id="the arena of a GPU",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_had_here_is_said(parts, optimization, parameters, words):
    (said,) = asked(parts, optimization, **parameters).ignored
    assert words in said


@pytest.mark.parametrize(
    "parameter",
    ["intra_op_thread_count", "TRITON_BATCH_STRATEGY_PATH", "FERRYMAN_LIVE_CAP_START"],
)
def test_parameters_with_readers_of_their_own_are_not_called_unknown(parts, parameter):
    assert asked(parts, **{parameter: "1"}).ignored == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param(
            {"parameters": {"execution_mode": {"string_value": "2"}}},
            "parameter 'execution_mode' must be 0 (sequential) or 1 (parallel), not '2'",
            id="execution mode",
        ),
        pytest.param(
            {"parameters": {"enable_mem_arena": {"string_value": "maybe"}}},
            "parameter 'enable_mem_arena' must be 1 or 0, not 'maybe'",
            id="switch",
        ),
        pytest.param(
            {"optimization": {"execution_accelerators": {
                "cpu_execution_accelerator": [{"name": "onednn"}]}}},
            "execution accelerator 'onednn' is unknown",
            id="accelerator",
        ),
        pytest.param(
            {"model_operations": {"op_library_filename": ["/nowhere.so"]}},
            "model_operations: the library of operators '/nowhere.so' cannot be loaded",
            id="library of operators",
        ),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(parts, config, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parts["session_options"].read(config).apply(onnxruntime.SessionOptions())


# Where the graph lies


@pytest.mark.parametrize(
    ("stated", "folder", "file"),
    [
        pytest.param(None, False, "model.onnx", id="by default"),
        pytest.param("bert.onnx", False, "bert.onnx", id="a name of its own"),
        pytest.param("cpu/bert.onnx", False, "cpu/bert.onnx", id="in a folder"),
        pytest.param(None, True, "model.onnx/model.onnx", id="a folder with its data"),
        pytest.param("bert.onnx", True, "bert.onnx/model.onnx", id="a folder of another name"),
    ],
)
def test_the_graph_is_a_file_or_a_folder_with_its_data(parts, tmp_path, stated, folder, file):
    if folder:
        (tmp_path / file).parent.mkdir()
    config = {"name": "m", "default_model_filename": stated}
    assert parts["onnx_session"].model_file(tmp_path, config) == tmp_path / file


@pytest.mark.parametrize("name", ["/etc/passwd", "../2/model.onnx"])
def test_a_graph_outside_of_its_version_is_refused(parts, tmp_path, name):
    with pytest.raises(ValueError, match="must lie in the folder of the model's version"):
        parts["onnx_session"].model_file(tmp_path, {"default_model_filename": name})
