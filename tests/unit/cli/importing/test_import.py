import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from ferryman.cli import main, output
from ferryman.cli.importing import view
from ferryman.core.importing.outcome import Imported, LeftOut
from hack.docs import examples
from hack.docs.blocks import blocks
from tests.unit.core.importing import sources
from tests.unit.core.importing.sources import service

HEADER = (
    "Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,"
    "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)\n"
)


@pytest.fixture
def imported(capsys):
    """Return a function that imports, and gives status, objects and what was said."""

    def run(*arguments, objectives=("--latency-ms", "50")):
        status = main.main(["import", *map(str, arguments), *objectives])
        shown = capsys.readouterr()
        assert all(line.startswith("ferryman import: ") for line in shown.err.splitlines())
        return status, list(yaml.safe_load_all(shown.out)), shown.err

    return run


@pytest.fixture
def file(tmp_path):
    """Return a function that writes a file of objects."""

    def write(*documents, name="services.yaml"):
        path = tmp_path / name
        path.write_text(yaml.safe_dump_all(documents), "utf-8")
        return path

    return write


@pytest.fixture
def repository(tmp_path):
    """Write the repository of an ensemble, and a folder that is no model."""
    for name, text, model in (
        ("ensemble_resnet", sources.ENSEMBLE, None),
        ("preprocess", sources.PREPROCESS, "model.py"),
        ("resnet_trt", sources.RESNET, "model.plan"),
        ("bare", None, "model.onnx"),
    ):
        version = tmp_path / "models" / name / "1"
        version.mkdir(parents=True)
        if text:
            (version.parent / "config.pbtxt").write_text(text)
        if model:
            (version / model).touch()
    (tmp_path / "models" / "notes").mkdir()
    (tmp_path / "models" / ".git" / "1").mkdir(parents=True)
    return tmp_path / "models"


def test_services_of_a_file_are_printed_one_after_the_other(imported, file):
    several = {"apiVersion": "v1", "kind": "List", "items": [service(name="b"), service(name="c")]}
    status, found, said = imported(file(service(), several))

    assert status == 0
    assert [each["metadata"]["name"] for each in found] == ["detector", "b", "c"]
    assert "detector: s3://models/detector must be the folder" in said


def test_json_is_one_object_or_a_list_as_kubectl_reads_it(capsys, file):
    main.main(["import", str(file(service())), "--latency-ms", "50", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["kind"] == "InferenceModel"
    main.main(
        ["import", str(file(service(), service(name="b"))), "--min-per-second", "9", "-o", "json"]
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], len(found["items"])) == ("List", 2)
    assert found["items"][0]["spec"]["objectives"] == {"throughput": {"minPerSecond": 9}}


def test_standard_input_is_read(imported, monkeypatch):
    content = io.BytesIO(json.dumps(service()).encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=content))

    assert imported("-")[1][0]["metadata"]["name"] == "detector"


def test_what_cannot_be_imported_does_not_keep_the_rest_from_it(imported, file):
    sklearn = service({"modelFormat": {"name": "sklearn"}}, name="iris")
    status, found, said = imported(file(sklearn, service()))

    assert (status, len(found)) == (1, 1)
    assert "iris: not imported: Triton has no backend for its format sklearn" in said


def test_where_nothing_can_be_imported_nothing_is_printed(capsys, file):
    path = file(service({"modelFormat": {"name": "sklearn"}}))

    assert main.main(["import", str(path), "--latency-ms", "50"]) == 1
    assert capsys.readouterr().out == ""


def test_strict_ends_otherwise_where_something_is_left_out(imported, file):
    path = file(service(canaryTrafficPercent=10))
    status, _, said = imported(path)

    assert status == 0
    assert "detector: spec.predictor.canaryTrafficPercent is left out: Ferryman splits" in said
    assert imported(path, "--strict")[0] == 6
    assert imported(file(service()), "--strict")[0] == 0


def test_objectives_are_what_is_said_and_never_made_up(imported, file):
    path = file(service())
    said = ("--latency-ms", "20", "--percentile", "95", "--min-per-second", "100")
    _, found, _ = imported(path, "--runtime", "mine", objectives=said)

    assert found[0]["spec"]["runtimeRef"] == {"name": "mine"}
    assert found[0]["spec"]["objectives"] == {
        "latency": {"percentile": 95, "targetMilliseconds": 20},
        "throughput": {"minPerSecond": 100},
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "state what is to be met, which no source says"),
        (("--min-per-second", "5", "--percentile", "99"), "state --latency-ms beside it"),
    ],
)
def test_without_objectives_nothing_is_printed(imported, file, arguments, words):
    status, found, said = imported(file(service()), *arguments, objectives=())

    assert (status, found) == (2, [])
    assert words in said


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--storage-uri", "models"), "begins with none of oci://"),
        (("--runtime", "Mine!"), "is no name of an InferenceRuntime"),
        (("--format", "onyx"), "did you mean onnx?"),
        (("--latency-ms", "0"), "out of range"),
    ],
)
def test_an_option_that_cannot_be_is_refused(capsys, file, option, words):
    with pytest.raises(SystemExit) as ended:
        main.main(["import", str(file(service())), *option])

    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_repository_is_its_pipelines_and_the_models_that_are_left(imported, repository):
    status, found, said = imported(repository, "--storage-uri", "pvc://models")

    assert status == 0
    assert [(each["kind"], each["metadata"]["name"]) for each in found] == [
        ("InferencePipeline", "ensemble-resnet"),
        ("InferenceModel", "bare"),
    ]
    assert found[1]["spec"]["model"]["storageUri"] == "pvc://models/bare"
    assert "notes: the folder is left out" in said
    assert ".git" not in said


def test_a_folder_is_called_what_it_is_called_here_whatever_it_links_to(imported, repository):
    (repository / "linked").symlink_to(repository / "bare", target_is_directory=True)
    (repository / "gone").symlink_to("nowhere")
    status, found, said = imported(repository, "--storage-uri", "pvc://m", "--model", "linked")

    assert status == 0
    assert found[0]["metadata"]["name"] == "linked"
    assert found[0]["spec"]["model"]["storageUri"] == "pvc://m/linked"
    assert "gone: the folder is left out: it is a link to what is not there" in said


def test_versions_are_the_folders_that_triton_takes_for_some(imported, repository):
    for name in ("0", "01", "v1", "\u0661"):
        version = repository / f"m{ord(name[0])}-{len(name)}" / name
        version.mkdir(parents=True)
        (version / "model.onnx").touch()
    status, found, said = imported(repository, "--storage-uri", "pvc://models")

    assert status == 0
    assert [each["metadata"]["name"] for each in found] == ["ensemble-resnet", "bare"]
    assert said.count("a number without leading 0") == 5


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        pytest.param(lambda path: path.write_text("max_batch: 1"), "no field named", id="words"),
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe"), "is not UTF-8", id="UTF-16"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="a directory"),
        pytest.param(lambda path: path.symlink_to("nowhere"), "No such file", id="a lost link"),
    ],
)
def test_one_configuration_that_cannot_be_read_keeps_no_other_model(
    imported, repository, spoil, words
):
    spoil(repository / "bare" / "config.pbtxt")
    status, found, said = imported(repository, "--storage-uri", "pvc://models")

    assert status == 1
    assert [each["metadata"]["name"] for each in found] == ["ensemble-resnet"]
    assert "bare: not imported: " in said
    assert words in said


def test_one_model_of_it_by_its_name_or_its_folder(imported, repository):
    prefix = ("--storage-uri", "s3://bucket/repository")
    named = imported(repository, *prefix, "--model", "preprocess")[1]
    folder = imported(repository / "preprocess", *prefix)[1]
    alone = imported(repository / "preprocess" / "config.pbtxt", *prefix)[1]

    assert named == folder == alone
    assert named[0]["spec"]["batching"]["initial"]["maxBatchSize"] == 256
    status, _, said = imported(repository, *prefix, "--model", "gone")
    assert status == 2
    assert "there is no model gone, but bare, ensemble_resnet" in said


def test_the_prefix_is_asked_for_where_files_have_none(imported, repository):
    status, _, said = imported(repository)

    assert status == 1
    assert "state --storage-uri PREFIX" in said


def test_one_configuration_may_be_given_another_name(imported, tmp_path):
    path = tmp_path / "best.pbtxt"
    path.write_text(sources.RESNET)
    _, found, _ = imported(path, "--storage-uri", "pvc://models", "--model", "resnet")

    assert found[0]["metadata"]["name"] == "resnet"
    assert found[0]["spec"]["model"]["storageUri"] == "pvc://models/resnet"


def test_a_table_of_model_analyzer_begins_with_the_best_and_says_how_to_tune(imported, tmp_path):
    path = tmp_path / "metrics.csv"
    rows = (
        "m,1,16,m_config_1,1:GPU,8,Yes,100,9.5\n"
        "m,1,64,m_config_2,2/GPU,32,Yes,300,45\n"
        "m,1,64,m_config_3,2:GPU + 1:CPU,32,Yes,900,4\n"
        "m,1,64,m_config_4,2:GPU,64,No,900,4\n"
    )
    path.write_text(HEADER + rows)
    more = ("--storage-uri", "pvc://models", "--format", "onnx")
    status, found, said = imported(
        path, *more, objectives=("--latency-ms", "50", "--min-per-second", "100")
    )

    assert status == 0
    assert found[0]["spec"]["batching"] == {"initial": {"maxBatchSize": 32, "instances": 2}}
    assert "begins with m_config_2: 300 inferences per second, p99 45 ms" in said
    assert f"--model m --p99 50ms --min-throughput 100 --import-model-analyzer {path}" in said
    assert (
        "--min-throughput 5 --import"
        in imported(path, *more, objectives=("--min-per-second", "5"))[2]
    )


def test_the_page_that_says_how_to_move_shows_what_is_printed(imported, tmp_path):
    page = Path("docs/how-to/move.md")
    config = next(block.text for block in blocks(page) if block.text.startswith('name: "detector"'))
    (tmp_path / "config.pbtxt").write_text(config)
    said = ("--storage-uri", "pvc://models", "--latency-ms", "60")
    _, found, _ = imported(tmp_path / "config.pbtxt", objectives=said)

    assert found == [each for _, each in examples.objects(page)]


BOMB = "\n".join(
    [
        "a: &a [x]",
        *(
            f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]"
            for old, new in zip("abcdefgh", "bcdefghi", strict=True)
        ),
    ]
)
MERGES = "\n".join(
    [
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(90)) + "}",
        *(
            f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 90)}]}}"
            for old, new in zip("abcd", "bcde", strict=True)
        ),
    ]
)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.yaml", b"kind: [", "this is neither JSON nor YAML", id="broken YAML"),
        pytest.param("a.yaml", b"", "a.yaml is empty", id="nothing"),
        pytest.param("a.yaml", b"---\n---\n", "there is no InferenceService", id="no document"),
        pytest.param("a.yaml", b"kind: Pod", "but Pod without a name", id="another kind"),
        pytest.param("a.yaml", b"\x7fELF\xff\x00", "is not UTF-8", id="a program"),
        pytest.param("a.yaml", b"a: \x00", "is not allowed", id="a control character"),
        pytest.param("a.yaml", BOMB.encode(), "with what its aliases stand for", id="aliases"),
        pytest.param("a.yaml", MERGES.encode(), "10_000 fields are merged", id="merges"),
        pytest.param("a.yaml", b"&a [*a]", "nested more than 64 levels", id="a list of itself"),
        pytest.param("a.yaml", b"[" * 5000, "nested too deeply", id="brackets"),
        pytest.param("a.yaml", b"[" * 100 + b"]" * 100, "more than 64 levels", id="levels"),
        pytest.param("a.yaml", b'{"a": "\\ud800"}', "half a character", id="half a character"),
        pytest.param("a.yaml", b'a: "\\UFFFFFFFF"', "cannot be read", id="no character"),
        pytest.param("a.yaml", b"a: 0x" + b"f" * 4000, "too many digits", id="a number"),
        pytest.param("a.yaml", b"a: !!python/object:os.system x", "line 1", id="a tag"),
        pytest.param("a.yaml", b" " * (16 * 2**20 + 1), "more than 16 MiB", id="16 MiB"),
        pytest.param("config.pbtxt", b"max_batch: 1", "no field named", id="no field"),
        pytest.param("config.pbtxt", b"{{{{", "line:column 1:1", id="no configuration"),
        pytest.param("config.pbtxt", b"\xff\xfe", "is not UTF-8", id="a binary file"),
        pytest.param("config.pbtxt", b"#" * (2**20 + 1), "more than 1 MiB", id="1 MiB"),
        pytest.param(
            "config.pbtxt",
            b"sequence_batching { direct { minimum_slot_utilization: nan } }",
            "minimum_slot_utilization must be a number",
            id="a number that is none",
        ),
        pytest.param("m.csv", b"a,b\n1,2\n", "no table has the columns", id="another table"),
        pytest.param("m.csv", HEADER.encode() + b"m,1,1,c,1:GPU,8.5,Yes,1,1\n", "whole", id="8.5"),
        pytest.param("m.csv", b'"' + b"x" * 200_000, "is no table of CSV", id="a long cell"),
        pytest.param(
            "m.csv",
            HEADER.encode() + b"m,1,1,c,2:TPU,8,Yes,1,1\n",
            "no row has a single",
            id="no row",
        ),
        pytest.param(
            "m.csv",
            HEADER.encode() + b"m,1,1,c,1:GPU,x,Yes,1,1\n",
            "Max Batch Size must",
            id="no number",
        ),
    ],
)
def test_a_file_that_is_none_ends_in_one_sentence(imported, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    status, found, said = imported(path)

    assert (status, found) == (2, [])
    assert words in said
    assert len(said.splitlines()) == 1


def test_a_folder_that_is_none_ends_in_one_sentence(imported, tmp_path):
    assert "is no model repository" in imported(tmp_path)[2]
    assert "No such file" in imported(tmp_path / "gone")[2]
    for index in range(1_001):
        (tmp_path / str(index)).touch()
    status, _, said = imported(tmp_path)
    assert status == 2
    assert "has more than 1_000 entries" in said


def test_a_folder_that_may_not_be_read_is_said_to_be(imported, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "pathlib.Path.iterdir",
        lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    assert "cannot be read: Permission denied" in imported(tmp_path)[2]


def test_words_of_a_file_neither_steer_the_terminal_nor_make_lines(imported, file):
    found = service(name="m\x1b[31m\nferryman: all is well", x={"\u202e": 1}, canary="\n" * 99)
    status, _, said = imported(file(found))

    assert status == 0
    assert not {"\x1b", "\u202e"} & set(said)
    assert "all is well: spec" in said


def test_a_value_keeps_its_meaning_in_yaml(imported, file):
    env = [{"name": "A", "value": "\u202e\x1b é"}, {"name": "B", "value": "1e3"}]
    _, found, _ = imported(file(service({"env": env}, name="m")))

    assert found[0]["spec"]["pod"]["env"] == env


@pytest.mark.parametrize(
    "text", ["1e3", "0o17", "1_000", ".5", "12:30", "0x1f", "-1", "1Gi", ".inf", "y"]
)
def test_what_another_reader_takes_for_something_else_is_in_quotes(capsys, text):
    output.documents("yaml", [{"a": text, "b": 5}])

    assert capsys.readouterr().out == f'a: "{text}"\nb: 5\n'


def test_who_has_very_many_fields_is_told_of_the_first(capsys):
    left = tuple(LeftOut(f"x{index}", "y" * 1_000) for index in range(60))
    view.tell([Imported("m", {}, left_out=left)])
    lines = capsys.readouterr().err.splitlines()

    assert len(lines) == 51
    assert lines[-1] == "ferryman import: m: 10 more fields are left out"
    assert max(map(len, lines)) < 700
