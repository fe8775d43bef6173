import pytest

from ferryman.cli.files import profile_file
from ferryman.cli.files.profile_file import ProfileError

HEADER = (
    "Model,Batch,Concurrency,Model Config Path,Instance Group,Max Batch Size,"
    "Satisfies Constraints,Throughput (infer/sec),p99 Latency (ms)"
)


def written(folder, *rows, header=HEADER, before=""):
    path = folder / "metrics.csv"
    path.write_text("\n".join([before, header, *rows, ""]))
    return path


def row(batch=1, concurrency=16, group="1/GPU", bound=8, throughput=800.0, model="m"):
    return f"{model},{batch},{concurrency},{model}_config_1,{group},{bound},Yes,{throughput},9.9"


def read(path):
    profile = profile_file.read_model_analyzer(path, "m")
    return {
        curve.instances: [(point.batch_size, point.milliseconds) for point in curve.points]
        for curve in profile.curves
    }


def test_full_batches_take_their_size_by_the_throughput(tmp_path):
    path = written(
        tmp_path,
        row(throughput=800.0),
        row(throughput=1000.0, concurrency=32),
        row(throughput=200.0, bound=1, concurrency=2),
        row(throughput=900.0, group="2:GPU", concurrency=32),
        row(batch=3, concurrency=6, throughput=500.0),
    )
    assert read(path) == {
        1: [(1, pytest.approx(5.0)), (6, pytest.approx(12.0)), (8, pytest.approx(8.0))],
        2: [(8, pytest.approx(16 / 0.9))],
    }


def test_rows_that_do_not_say_how_large_batches_were_are_left_out(tmp_path):
    path = written(
        tmp_path,
        row(),
        row(concurrency=8, bound=16),
        row(batch=16, bound=8),
        row(group="1:GPU + 1:CPU", bound=4),
        row(model="other", bound=2),
    )
    assert read(path) == {1: [(8, pytest.approx(10.0))]}


def test_counts_may_have_gone_through_a_spreadsheet(tmp_path):
    path = written(tmp_path, row(batch="1.0", concurrency="16.0", bound="8.00"))
    assert read(path) == {1: [(8, pytest.approx(10.0))]}


def test_a_column_that_is_there_twice_may_say_the_same(tmp_path):
    path = written(tmp_path, f"{row()},1", header=f"{HEADER},Batch")
    assert read(path) == {1: [(8, pytest.approx(10.0))]}


def test_other_tables_of_the_same_file_do_not_matter(tmp_path):
    path = written(tmp_path, row(), before="Model,GPU UUID,Batch\nm,GPU-1,1\n")
    assert read(path) == {1: [(8, pytest.approx(10.0))]}


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        pytest.param([row()], "a,b", "no table has the columns", id="another table"),
        pytest.param([row(model="n")], HEADER, "no row of m, but of n", id="another model"),
        pytest.param([], HEADER, "no row of m, but of no model", id="nothing was measured"),
        pytest.param([row(concurrency=1)], HEADER, "known to be full", id="never saturated"),
        pytest.param(["m,1"], HEADER, "line 3 has 2 columns", id="a row that was cut off"),
        pytest.param([row(batch="x")], HEADER, "Batch must be a whole number", id="no number"),
        pytest.param([row(bound=8.5)], HEADER, "Max Batch Size must be a whole", id="a fraction"),
        pytest.param([row(batch=-1)], HEADER, "Batch must be a whole number", id="below 0"),
        pytest.param([row(batch="1,000")], HEADER, "has 10 columns", id="thousands"),
        pytest.param(
            [row()],
            HEADER.replace("Max Batch Size", "Max Batch"),
            r"its table lacks the column Max Batch Size: is it",
            id="a column that is missing",
        ),
        pytest.param(
            [row()],
            "Model,Batch,Concurrency",
            "lacks the columns Instance Group, Max Batch Size, Throughput",
            id="several columns that are missing",
        ),
        pytest.param(
            [], HEADER.replace(",", ";"), "with commas between the cells", id="semicolons"
        ),
        pytest.param(
            [f"{row()},2"],
            f"{HEADER},Batch",
            "line 3: the column 'Batch' is there twice, with '1' and '2'",
            id="a column that is there twice",
        ),
        pytest.param([row(batch=0)], HEADER, "known to be full", id="batches of nothing"),
        pytest.param([row(bound=0)], HEADER, "known to be full", id="a model without batches"),
        pytest.param([row(throughput=0)], HEADER, "must be a number above 0", id="no throughput"),
        pytest.param(
            [row(bound=99_999_999, concurrency=10**9)],
            HEADER,
            "batchSize",
            id="larger than is served",
        ),
    ],
)
def test_what_is_of_no_use_is_refused_with_the_reason(tmp_path, rows, header, words):
    with pytest.raises(ProfileError, match=words):
        read(written(tmp_path, *rows, header=header))


def test_a_profile_of_our_own_is_read_and_its_errors_name_the_field(tmp_path):
    path = tmp_path / "profile.yaml"
    path.write_text("curves: [{points: [{batchSize: 1, milliseconds: 5}]}]\n")
    assert profile_file.read(path).curves[0].instances == 1
    path.write_text("curves: [{points: [{batchSize: 1, ms: 5}]}]\n")
    with pytest.raises(ProfileError, match=r"curves\[0\].points\[0\].ms: there is no such field"):
        profile_file.read(path)
