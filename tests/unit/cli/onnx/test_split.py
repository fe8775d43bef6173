"""``ferryman split``: parts that answer as the whole does, whatever the model is made of.

The parts are run by what the pipeline's file says, and not by the command's own means.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from ferryman.api.pipelines.inference_pipeline import InferencePipeline
from ferryman.cli import errors, main
from ferryman.core.pipelines import signatures, validation
from tests.unit.cli.onnx import small_models as small
from tests.unit.cli.onnx.small_models import WIDTH, info, node

ROWS = 3


@pytest.fixture
def split(tmp_path, capsys):
    """Return a function that splits a model; it returns the status, and what was said."""

    def run(built, parts, *more):
        path = small.save(built, tmp_path / "in" / "model.onnx")
        arguments = [str(path), "--parts", str(parts), "--rounds", "1", "--json", *map(str, more)]
        if "-o" not in more:
            arguments += ["-o", str(tmp_path / "out")]
        status = main.main(["split", *arguments])
        shown = capsys.readouterr()
        return status, shown.err or json.loads(shown.out)

    return run


def pipeline_of(folder):
    return yaml.safe_load((folder / "pipeline.yaml").read_text(encoding="utf-8"))


def served(folder, inputs):
    """Answer as a server of the pipeline would: each step with what its inputMap names."""
    spec = pipeline_of(folder)["spec"]
    known = {entry["name"]: inputs[entry["name"]] for entry in spec["inputs"]}
    for step in spec["steps"]:
        session = onnxruntime.InferenceSession(folder / step["name"] / "1" / "model.onnx")
        given = {tensor: known[source] for tensor, source in step["inputMap"].items()}
        names = [output.name for output in session.get_outputs()]
        assert names == [output["name"] for output in step["model"]["config"]["output"]]
        answers = session.run(None, given)
        known |= {f"{step['name']}.{n}": a for n, a in zip(names, answers, strict=True)}
    return {entry["name"]: known[entry["from"]] for entry in spec["outputs"]}


def inputs_of(built, seed=7):
    random = np.random.default_rng(seed)
    weights = {each.name for each in built.graph.initializer}
    found = {}
    for each in built.graph.input:
        if each.name not in weights:
            dims = [dim.dim_value or ROWS for dim in each.type.tensor_type.shape.dim]
            found[each.name] = random.standard_normal(dims, np.float32)
    return found


def expect_same_answers(built, folder):
    inputs = inputs_of(built)
    session = onnxruntime.InferenceSession(built.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    whole = dict(zip(names, session.run(None, inputs), strict=True))
    parts = served(folder, inputs)
    assert parts.keys() == whole.keys()
    for name, answer in whole.items():
        np.testing.assert_allclose(parts[name], answer, atol=1e-5, rtol=0)


MODELS = {
    "a chain": (small.chain, 4),
    "skip connections": (small.residual, 3),
    "several inputs and outputs": (small.two_of_each, 3),
    "constants that both ends read": (small.constants, 3),
    "branches that read from outside": (small.captured, 2),
    "shapes that are computed": (small.shaped, 2),
    "rows that are several for a while": (small.folded, 2),
    "inputs that are left out, weights among the inputs": (small.optional_inputs, 2),
    "a function of its own": (small.functions, 3),
    "one row only": (lambda: small.chain(3, info("x", [1, WIDTH]), info("y", [1, WIDTH])), 3),
    "no description of the output": (lambda: small.chain(3, last=info("y", None)), 3),
    "pictures": (small.classifier, 3),
}


@pytest.mark.parametrize("case", MODELS)
def test_parts_answer_as_the_whole_does(split, tmp_path, case):
    build, parts = MODELS[case]
    status, report = split(build(), parts)
    assert status == errors.DONE, report
    assert report["largestDifference"] <= 1e-5
    assert len(report["steps"]) == parts
    expect_same_answers(build(), tmp_path / "out")


@pytest.mark.parametrize("case", MODELS)
def test_the_pipeline_that_is_written_has_no_fault(split, tmp_path, case):
    build, parts = MODELS[case]
    split(build(), parts)
    pipeline = InferencePipeline.model_validate(pipeline_of(tmp_path / "out"))
    known = {s.name: signatures.of_overlay(s.model.config) for s in pipeline.spec.steps}
    assert validation.faults(pipeline, known) == ()


@pytest.mark.parametrize(
    ("times_ms", "more", "nodes"),
    [
        pytest.param([5, 1, 1, 5], [], [2, 2], id="where both sides take equally long"),
        pytest.param([1, 1, 1, 9], [], [3, 1], id="before what takes longest"),
        # Each place is crossed by 32 bytes, which take 32 ms.
        pytest.param([1, 9, 9, 40], ["--bandwidth", "0.001"], [3, 1], id="bytes take time, too"),
    ],
)
def test_it_is_cut(split, monkeypatch, times_ms, more, nodes):
    monkeypatch.setattr(
        "ferryman.clients.onnx.runtime.interleaved",
        lambda runs, _: [[float(time_ms)] for time_ms in times_ms[: len(runs)]],
    )
    status, report = split(small.chain(2), 2, *more)
    assert status == errors.DONE, report
    assert [step["nodes"] for step in report["steps"]] == nodes
    assert report["steps"][1]["receivedBytes"].popitem()[1] == WIDTH * 4


def test_a_wire_goes_from_whoever_makes_a_tensor(split, tmp_path):
    split(small.two_of_each(), 3, "--tensors", 1)
    spec = pipeline_of(tmp_path / "out")["spec"]
    assert [entry["name"] for entry in spec["inputs"]] == ["x", "z"]
    makers = {entry["name"]: entry["from"] for entry in spec["outputs"]}
    assert makers["early"].endswith(".early")
    assert makers["y"] == "part-3.y"
    wires = [wire for step in spec["steps"] for wire in step["inputMap"].values()]
    assert wires.count("z") == 1


def test_dimensions_and_types_are_stated_for_a_server(split, tmp_path):
    split(small.chain(3), 3)
    spec = pipeline_of(tmp_path / "out")["spec"]
    assert spec["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}]
    config = spec["steps"][1]["model"]["config"]
    assert "max_batch_size" not in config
    assert config["input"][0]["dims"] == [WIDTH]
    assert config["input"][0]["data_type"] == "TYPE_FP32"


def test_a_model_of_one_row_is_served_without_batches(split, tmp_path):
    split(small.chain(2, info("x", [1, WIDTH]), info("y", [1, WIDTH])), 2)
    config = pipeline_of(tmp_path / "out")["spec"]["steps"][0]["model"]["config"]
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [1, WIDTH]


def test_rows_stay_rows_over_every_cut(split, tmp_path):
    split(small.folded(), 2)
    [wire] = pipeline_of(tmp_path / "out")["spec"]["steps"][1]["inputMap"].values()
    assert wire in {"part-1.a", "part-1.d"}


def test_tensors_of_any_name_get_one_that_a_pipeline_may_have(split, tmp_path):
    names = {"x": "1/in put:0", "h0": "layer/0.out:0", "y": "soft.max"}
    built = small.renamed(small.chain(2), **{**names, "x": "1/input:0"})
    status, report = split(built, 2)
    assert status == errors.DONE, report
    spec = pipeline_of(tmp_path / "out")["spec"]
    assert spec["inputs"][0]["name"] == "_1_input_0"
    assert spec["outputs"][0]["name"] == "soft_max"
    assert spec["steps"][0]["inputMap"] == {"1/input:0": "_1_input_0"}


def test_weights_may_lie_in_another_file(tmp_path, capsys):
    built = small.chain(3)
    inputs = inputs_of(built)
    path = tmp_path / "in" / "model.onnx"
    path.parent.mkdir()
    whole = onnxruntime.InferenceSession(built.SerializeToString()).run(None, inputs)[0]
    onnx.save_model(
        built, path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    assert (tmp_path / "in" / "weights.bin").stat().st_size >= 3 * 4 * WIDTH**2
    out = str(tmp_path / "out")
    assert main.main(["split", str(path), "--parts", "3", "-o", out, "--rounds", "1"]) == 0
    np.testing.assert_allclose(served(tmp_path / "out", inputs)["y"], whole, atol=1e-5)

    (tmp_path / "in" / "weights.bin").unlink()
    capsys.readouterr()
    assert main.main(["split", str(path), "--parts", "3", "-o", f"{out}2"]) == errors.FAILED
    assert "weights.bin" in capsys.readouterr().err


def test_parts_that_are_too_large_for_a_file_have_their_weights_beside_it(
    split, tmp_path, monkeypatch
):
    monkeypatch.setattr("ferryman.clients.onnx.graph.MOST_BYTES", 100)
    assert split(small.chain(3), 3)[0] == errors.DONE
    step = tmp_path / "out" / "part-1" / "1"
    assert {file.name for file in step.iterdir()} == {"model.onnx", "model.onnx.data"}
    expect_same_answers(small.chain(3), tmp_path / "out")


def test_each_part_has_the_weights_that_it_reads_and_no_others(split, tmp_path):
    split(small.chain(4), 4)
    models = [onnx.load(file) for file in sorted((tmp_path / "out").glob("part-*/1/model.onnx"))]
    names = [{held.name for held in each.graph.initializer} for each in models]
    assert set().union(*names) == {"w0", "w1", "w2", "w3"}
    assert sum(map(len, names)) == 4
    assert {each.opset_import[0].version for each in models} == {small.OPSET}
    assert {each.ir_version for each in models} == {small.IR_VERSION}


def test_answers_are_compared_on_rows_of_yours(split, tmp_path):
    np.savez(tmp_path / "rows.npz", x=np.ones((5, WIDTH), np.float32))
    status, report = split(small.chain(), 2, "--check", tmp_path / "rows.npz", "--batch-size", 2)
    assert (status, report["comparedOn"]) == (errors.DONE, "5 rows")


def test_an_input_that_nothing_reads_is_in_no_step(split, tmp_path):
    nodes = [node("Relu", "x", "a"), node("Neg", "a", "y")]
    unread = info("u", ["n", 2])
    assert split(small.model(nodes, [small.X, unread], [small.Y]), 2)[0] == errors.DONE
    pipeline = yaml.safe_load((tmp_path / "out" / "pipeline.yaml").read_text())
    assert [each["name"] for each in pipeline["spec"]["inputs"]] == ["x"]


# What is refused


def test_more_parts_than_there_are_places_are_refused_with_how_many_there_may_be(split, tmp_path):
    status, said = split(small.chain(2), 5)
    assert status == errors.WRONG
    assert "it can be cut into 4 parts at most" in said
    assert "use --parts 4 or fewer" in said
    assert not (tmp_path / "out").exists()


def test_that_many_parts_are_possible(split):
    assert split(small.chain(2), 4)[0] == errors.DONE


def test_a_model_without_a_place_is_refused(split):
    status, said = split(small.model([node("Relu", "x", "y")], [small.X], [small.Y]), 2)
    assert status == errors.WRONG
    assert "it cannot be cut" in said


def test_as_many_tensors_cross_as_are_asked_for(split):
    status, said = split(small.residual(), 5, "--tensors", 1)
    assert status == errors.WRONG
    assert "with a larger --tensors there may be more" in said
    assert split(small.residual(), 5, "--tensors", 2)[0] == errors.DONE


def test_answers_that_differ_are_said_and_nothing_is_written(split, tmp_path):
    status, said = split(small.random_numbers(), 2)
    assert status == errors.FAILED
    assert "the parts' answers differ from the model's by up to" in said
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


REFUSED = {
    "an input of no dimension": (
        small.model([node("Relu", "x", "a"), node("Neg", "a", "y")], [info("x", [])],
                    [info("y", [])]),
        errors.WRONG, "no server carries x as it is",
    ),
    "an input without an element": (
        small.model([node("Relu", "x", "a"), node("Neg", "a", "y")], [info("x", [0, WIDTH])],
                    [info("y", [0, WIDTH])]),
        errors.WRONG, "no server carries x as it is",
    ),
    "an output that is an input": (
        small.model([node("Relu", "x", "a"), node("Neg", "a", "y")], [small.X], [small.Y, small.X]),
        errors.WRONG, "the output x is an input as it is",
    ),
    "an operator that nobody knows": (
        small.model([node("Nothing", "x", "a"), node("Relu", "a", "y")], [small.X], [small.Y]),
        errors.FAILED, "ONNX Runtime refuses it",
    ),
    "inputs that cannot be drawn": (
        small.model([node("Reshape", "x two", "a"), node("Relu", "a", "y")],
                    [info("x", ["n"])], [info("y", None)],
                    [onnx.numpy_helper.from_array(np.array([2, -1], np.int64), "two")]),
        errors.FAILED, "--check FILE runs it on inputs of yours",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_split_is_refused_in_a_sentence(split, case):
    built, status, words = REFUSED[case]
    ended, said = split(built, 2)
    assert ended == status
    assert words in said
    assert said.count("\n") == 1


def test_what_waits_for_itself_is_refused(split):
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")]
    status, said = split(small.model(nodes, [small.X], [small.Y]), 2)
    assert status in {errors.FAILED, errors.WRONG}
    assert said.count("\n") == 1


def test_a_folder_that_is_there_is_left_alone(split, tmp_path):
    (tmp_path / "out").mkdir()
    status, said = split(small.chain(), 2)
    assert status == errors.WRONG
    assert "is there already" in said
    assert list((tmp_path / "out").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said(split, tmp_path):
    status, said = split(small.chain(), 2, "-o", tmp_path / "none" / "out")
    assert status == errors.NOT_WRITTEN
    assert f"{tmp_path / 'none' / 'out'} cannot be written: " in said


@pytest.mark.parametrize("uri", ["https://models.example/m.onnx", "models"])
def test_a_storage_uri_that_is_none_is_refused_before_the_work(split, uri, capsys):
    with pytest.raises(SystemExit) as ended:
        split(small.chain(), 2, "--storage-uri", uri)
    assert ended.value.code == errors.WRONG
    assert "begins with none of oci://, pvc://, s3://" in capsys.readouterr().err


def test_a_storage_uri_names_each_step(split, tmp_path):
    split(small.chain(), 2, "--storage-uri", "pvc://models/m/")
    steps = pipeline_of(tmp_path / "out")["spec"]["steps"]
    assert [step["model"]["storageUri"] for step in steps] == [
        "pvc://models/m/part-1",
        "pvc://models/m/part-2",
    ]


def test_the_table_says_time_nodes_and_bytes_of_each_step(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    path = small.write_chain(tmp_path)
    assert main.main(["split", str(path), "--parts", "3"]) == errors.DONE
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines()[:7])
    for word in ("part-1", "part-3", "NODES", "MS", "TENSORS TAKEN", "the largest difference is"):
        assert word in shown
    assert Path(tmp_path / "chain-parts" / "pipeline.yaml").is_file()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_what_it_needs_is_said_where_it_is_missing(tmp_path, package):
    program = (
        f"import sys; sys.modules[{package!r}] = None; from ferryman.cli.main import main; "
        f"sys.exit(main(['split', {str(small.write_chain(tmp_path))!r}, '--parts', '2']))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == errors.FAILED
    assert ended.stderr == (
        f"ferryman split: the package {package} is missing: install it with pip install "
        "'ferryman[onnx]'\n"
    )


def test_help_needs_no_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(SystemExit) as ended:
        main.main(["split", "--help"])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("command", "options"),
    [
        pytest.param("split", ["--parts", "2"], id="split"),
        pytest.param("compress", ["--float16", "--check", "x", "--metric", "error"], id="compress"),
    ],
)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        pytest.param("/dev/zero", "is no file", id="a device that never ends"),
        pytest.param("/", "Is a directory", id="the root"),
        pytest.param(".", "Is a directory", id="where one is"),
        pytest.param("", "Is a directory", id="nothing"),
    ],
)
def test_what_is_no_file_is_refused_at_once(capsys, command, options, path, words):
    assert main.main([command, path, *options]) == errors.WRONG
    assert words in capsys.readouterr().err
