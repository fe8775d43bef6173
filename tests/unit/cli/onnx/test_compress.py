"""``ferryman compress``: what a variant is worth is measured, and said as it is."""

import json
from decimal import Decimal

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from ferryman.cli import errors, main
from ferryman.cli.onnx import compress, compress_view
from ferryman.cli.onnx.compress_view import CompressReport
from ferryman.clients.onnx import compression
from ferryman.core.compression.accuracy import Metric
from ferryman.core.compression.speed import Speed
from tests.unit.cli.onnx import small_models as small

ROWS = 24


def pictures(seed, rows=ROWS):
    return np.random.default_rng(seed).standard_normal((rows, 1, 8, 8), np.float32)


@pytest.fixture
def files(tmp_path):
    """Write a model and rows to calibrate and to check with; labels are the model's own answers."""
    model = small.save(small.classifier(), tmp_path / "model.onnx")
    [scores] = onnxruntime.InferenceSession(model).run(None, {"x": pictures(2)})
    np.savez(tmp_path / "calibrate.npz", x=pictures(1))
    np.savez(tmp_path / "check.npz", x=pictures(2))
    # Every fourth label is another than the model would answer.
    labels = (scores.argmax(axis=1) + (np.arange(ROWS) % 4 == 0)) % scores.shape[1]
    np.savez(tmp_path / "labelled.npz", x=pictures(2), labels=labels)
    return tmp_path


@pytest.fixture
def run(files, capsys):
    """Return a function that compresses the model; it returns the status, and what was said."""

    def compressed(*arguments, check="check.npz", model="model.onnx"):
        given = ["--check", files / check, "--rounds", "6", "--json", *arguments]
        status = main.main(["compress", str(files / model), *map(str, given)])
        shown = capsys.readouterr()
        return status, shown.err or json.loads(shown.out)

    return compressed


def int8(files):
    return ["--int8", "--calibrate", files / "calibrate.npz"]


def kinds(path):
    return {node.op_type for node in onnx.load(path).graph.node}


def test_int8_is_written_with_its_accuracy(run, files):
    status, report = run(*int8(files), "--metric", "cosine")
    assert status == errors.DONE, report
    assert 0.95 < report["accuracy"] < 1.0
    assert report["originalAccuracy"] == pytest.approx(1.0)
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds(files / "model-int8.onnx")
    assert report["outputs"] == ["y"]
    assert report["comparedOn"] == f"{ROWS} rows"


def test_the_accuracy_is_what_the_written_file_has(run, files):
    _, report = run(*int8(files), "--metric", "top1")
    answers = [
        onnxruntime.InferenceSession(files / name).run(None, {"x": pictures(2)})[0].argmax(axis=1)
        for name in ("model.onnx", "model-int8.onnx")
    ]
    assert report["accuracy"] == np.mean(answers[0] == answers[1])


def test_float16_computes_in_half_precision_and_keeps_its_types(run, files):
    status, report = run("--float16", "--metric", "error")
    assert status == errors.DONE, report
    assert 0.99 < report["accuracy"] < 1.0
    made = onnx.load(files / "model-float16.onnx")
    assert {held.data_type for held in made.graph.initializer} == {onnx.TensorProto.FLOAT16}
    assert made.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert report["variantBytes"] < report["originalBytes"]


def test_pruned_weights_have_the_share_of_zeros_that_was_asked_for(run, files):
    status, report = run("--prune", "0.5", "--metric", "cosine")
    assert status == errors.DONE, report
    made = onnx.load(files / "model-pruned.onnx")
    for held in map(onnx.numpy_helper.to_array, made.graph.initializer):
        assert np.mean(held == 0) == pytest.approx(0.5)
    assert 0.3 < report["accuracy"] < 1.0


def test_labels_count_what_is_right_and_the_original_has_its_own_share(run, files):
    status, report = run("--float16", "--metric", "labels", check="labelled.npz")
    assert status == errors.DONE
    assert report["originalAccuracy"] == 0.75
    assert report["accuracy"] == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("floor", "status"), [pytest.param("0.1", 0, id="above"), pytest.param("1", 1, id="below")]
)
def test_the_status_says_when_the_accuracy_is_below_the_floor(run, files, floor, status):
    ended, report = run("--prune", "0.3", "--metric", "error", "--floor", floor)
    assert ended == status
    assert report["floor"] == float(floor)
    assert (files / "model-pruned.onnx").exists()


def test_a_speed_is_measured_and_never_claimed(run):
    _, report = run("--prune", "0.5", "--metric", "cosine", "--batch-size", "4")
    speed = report["speed"]
    assert speed["originalMs"] > 0
    assert speed["least"] <= speed["ratio"] <= speed["most"]
    expected = "Faster" if speed["least"] > 1 else "Slower" if speed["most"] < 1 else "Same"
    assert speed["verdict"] == expected
    assert (report["batchSize"], report["threads"]) == (4, 1)


def test_the_entry_of_a_pipeline_promises_no_more_than_was_measured(run):
    _, report = run("--prune", "0.2", "--metric", "cosine")
    [entry] = report["variants"]
    assert entry["name"] == "pruned"
    assert Decimal(entry["accuracy"]) <= Decimal(report["accuracy"])
    assert Decimal(report["accuracy"]) - Decimal(entry["accuracy"]) < Decimal("0.0001")
    [measured] = entry["speeds"]
    assert Decimal(measured["speedup"]) <= Decimal(report["speed"]["least"])


@pytest.mark.parametrize("opset", [11, 13, 17])
def test_older_versions_and_constant_nodes_are_brought_to_what_quantising_needs(run, files, opset):
    small.save(small.classifier(opset, constant=True), files / "old.onnx")
    status, report = run(*int8(files), "--metric", "cosine", model="old.onnx")
    assert status == errors.DONE, report
    made = onnx.load(files / "old-int8.onnx")
    assert made.opset_import[0].version >= 13
    held = [each for each in made.graph.initializer if each.data_type == onnx.TensorProto.INT8]
    assert len([each for each in held if len(each.dims) > 1]) == 3


@pytest.mark.parametrize("more", [["--calibration", "percentile"], ["--reduce-range"]])
def test_how_ranges_are_found_can_be_chosen(run, files, more):
    status, report = run(*int8(files), *more, "--metric", "cosine")
    assert status == errors.DONE, report
    if more == ["--reduce-range"]:
        held = onnx.load(files / "model-int8.onnx").graph.initializer
        weights = [onnx.numpy_helper.to_array(each) for each in held if each.data_type == 3]
        assert all(np.abs(each.astype(int)).max() <= 64 for each in weights)


def test_weights_of_a_large_model_lie_beside_it(run, files, monkeypatch):
    monkeypatch.setattr("ferryman.clients.onnx.graph.MOST_BYTES", 100)
    shapes = {"wide": (small.WIDTH, 512), "narrow": (512, small.WIDTH)}
    nodes = [small.node("MatMul", "x wide", "a"), small.node("MatMul", "a narrow", "y")]
    weights = [small.weight(name, *shape) for name, shape in shapes.items()]
    small.save(small.model(nodes, [small.X], [small.Y], weights), files / "large.onnx")
    np.savez(files / "rows.npz", x=np.ones((4, small.WIDTH), np.float32))
    for arguments in (["--prune", "0.5"], ["--int8", "--calibrate", files / "rows.npz"]):
        more = {"model": "large.onnx", "check": "rows.npz"}
        status, report = run(*arguments, "--metric", "cosine", **more)
        assert status == errors.DONE, report
    assert (files / "large-pruned.onnx.data").exists()
    assert (files / "large-int8.onnx.data").exists()


def test_a_model_without_batches_is_checked_row_by_row(run, files):
    first, last = small.info("x", [1, small.WIDTH]), small.info("y", [1, small.WIDTH])
    small.save(small.chain(2, first, last), files / "one.onnx")
    np.savez(files / "one.npz", x=np.ones((5, 1, small.WIDTH), np.float32))
    status, report = run("--float16", "--metric", "error", model="one.onnx", check="one.npz")
    assert (status, report["comparedOn"]) == (errors.DONE, "5 rows")


# What is refused

REFUSED = {
    "no kind": (["--metric", "top1"], "one of the arguments --int8 --float16 --prune is required"),
    "two kinds": (["--float16", "--prune", "0.5"], "not allowed with argument"),
    "no metric": (["--float16"], "required: --metric"),
    "another metric": (["--float16", "--metric", "cosin"], "did you mean cosine?"),
    "all weights": (["--prune", "1", "--metric", "cosine"], "no more than 0.99"),
    "too few rounds": (["--float16", "--metric", "cosine", "--rounds", "5"], "6 or more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_arguments_that_do_not_fit_are_refused(run, case, capsys):
    arguments, words = REFUSED[case]
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == errors.WRONG
    assert words in capsys.readouterr().err


WRONG = {
    "nothing to calibrate with": (["--int8", "--metric", "top1"], "needs --calibrate FILE"),
    "nothing to calibrate": (
        ["--float16", "--metric", "top1", "--reduce-range"],
        "belong to --int8",
    ),
    "no labels": (["--float16", "--metric", "labels"], "holds no array `labels`"),
    "an output that there is not": (
        ["--float16", "--metric", "cosine", "--answer", "Y"],
        "did you mean y?",
    ),
    "rows from standard input": (
        ["--float16", "--metric", "cosine", "--check", "-"],
        "name a file instead of `-`",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_the_model_is_a_sentence(run, files, case):
    arguments, words = WRONG[case]
    status, said = run(*arguments)
    assert status == errors.WRONG
    assert words in said
    assert said.count("\n") == 1
    assert not list(files.glob("model-*"))


def test_a_metric_that_does_not_suit_the_answers_is_said_before_the_work(run, files, monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(compression, "to_float16", never)
    small.save(small.chain(2), files / "chain.onnx")
    np.savez(files / "chain.npz", x=np.ones((4, small.WIDTH), np.float32), labels=np.zeros((4, 2)))
    status, said = run("--float16", "--metric", "labels", model="chain.onnx", check="chain.npz")
    assert status == errors.WRONG
    assert "8 labels for 4 answers" in said


def test_a_model_without_trained_weights_cannot_be_pruned(run, files):
    built = small.model([small.node("Relu", "x", "y")], [small.X], [small.Y])
    small.save(built, files / "relu.onnx")
    np.savez(files / "relu.npz", x=np.ones((4, small.WIDTH), np.float32))
    status, said = run("--prune", "0.5", "--metric", "cosine", model="relu.onnx", check="relu.npz")
    assert status == errors.FAILED
    assert "it has no weights of convolutions or matrix products" in said


def test_a_file_that_is_there_is_left_alone(run, files):
    (files / "model-float16.onnx").write_bytes(b"mine")
    status, said = run("--float16", "--metric", "cosine")
    assert status == errors.WRONG
    assert "is there already" in said
    assert (files / "model-float16.onnx").read_bytes() == b"mine"


# What is shown


def report(**more):
    known = {
        "model": "model.onnx", "variant": small.Path("model-int8.onnx"), "kind": "int8",
        "metric": Metric.TOP1, "rows": "64 rows", "compared": ("y",), "original_accuracy": 1.0,
        "accuracy": 0.98765, "floor": None, "original_bytes": 102_469_265,
        "variant_bytes": 26_075_863, "speed": Speed(100.0, 40.0, 2.5, 2.25, 2.75),
        "batch_size": 1, "threads": 1, "instruction_sets": ("avx2", "avx512_vnni"),
    }  # fmt: skip
    return CompressReport(**{**known, **more})


@pytest.fixture
def shown(monkeypatch, capsys):
    def at(columns, **more):
        monkeypatch.setenv("COLUMNS", str(columns))
        compress_view.show(report(**more), as_json=False)
        return capsys.readouterr().out

    return at


def test_the_table_has_both_and_the_entry_is_yaml(shown):
    said = shown(80)
    assert "│ original │ 102.47 │ 100 │   1.0000 │" in said
    assert "│ int8     │  26.08 │  40 │   0.9876 │" in said
    assert "(avx2, avx512_vnni; threads: 1, rows: 1) it is 2.50 times as fast" in said
    entry = yaml.safe_load(said[said.index("variants:") :])
    assert entry == {
        "variants": [
            {
                "name": "int8",
                "storageUri": "pvc://models/model-int8",
                "accuracy": "0.9876",
                "speeds": [{"processor": "cpu", "speedup": "2.25"}],
            }
        ]
    }


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        pytest.param((10.0, 12.0, 0.83, 0.8, 0.9), "it is slower, 0.83 times as fast", id="slower"),
        pytest.param(
            (10.0, 9.9, 1.01, 0.9, 1.2), "no faster and no slower that could be measured", id="same"
        ),
    ],
)
def test_what_is_not_faster_is_not_said_to_be(shown, speed, words):
    assert words in shown(80, speed=Speed(*speed))


def test_what_is_below_the_floor_is_said_to_be(shown):
    assert "the accuracy is below the floor of 0.99" in shown(80, floor=0.99)
    assert "below" not in shown(80, floor=0.9)


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_of_the_table_is_wider_than_the_terminal(shown, columns):
    table = shown(columns).partition("on this CPU")[0]
    assert all(len(line) <= columns for line in table.splitlines())


def test_the_ways_to_calibrate_are_those_of_the_library():
    assert tuple(compression.CALIBRATIONS) == compress.CALIBRATIONS
