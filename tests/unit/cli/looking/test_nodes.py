import json
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from ferryman.cli import main
from ferryman.cli.benchmarking import curve_plot
from ferryman.cli.looking import nodes_view
from ferryman.core.placement.nodes.node_types import summarise
from tests.factories import at, benchmark, node, points, processor

EXAMPLE = Path("tests/data/snapshot.yaml")
SVG = "{http://www.w3.org/2000/svg}"


def known(*rates, half_width=2.0):
    """Return rows whose intervals are known."""
    return tuple(
        point.with_(images_per_second_half_width=half_width, rounds=3, ended="Stable")
        for point in points(*rates)
    )


def seen(*nodes):
    console = Console(width=300, no_color=True)
    with console.capture() as capture:
        nodes_view.show(summarise(nodes), console)
    return [" ".join(line.split()) for line in capture.get().splitlines()]


def test_a_row_has_the_nodes_the_processor_the_peak_and_what_is_free():
    tables = [benchmark(points=known(50, 80, 70), measured_at=at(-60), measured_on="b")]
    cpu = {"utilisation": 0.3, "memory_utilisation": None}
    nodes = [
        node("a", processors=[processor("cpu", **cpu)], benchmarks=tables),
        node("b", processors=[processor("cpu", 0.1, None)], benchmarks=tables, ready=False),
    ]
    assert seen(*nodes)[1] == (
        "cpu-small 1 of 2 usable cpu: test cpu, 8 GiB triton 80 ± 2 images/s at 2 "
        "2026-11-21 12:59 on b 0.10 / 0.20 unknown 4 CPU, 8 GiB, 1 nvidia.com/gpu"
    )


def test_a_second_class_stands_below_without_repeating_what_is_the_node_types():
    gpu = processor("gpu", count=2, sharing="mig", memory_bytes=0)
    shown = seen(node(processors=[processor("cpu"), gpu]))
    assert shown[2].startswith("gpu: 2 x test gpu, shared by mig triton 100 images/s at 2")
    assert shown[1].endswith("4 CPU, 8 GiB, 1 nvidia.com/gpu")
    assert shown[2].endswith("0.10 / 0.10 0.20 / 0.20")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"benchmarks": []}, "- not measured -", id="not measured"),
        pytest.param(
            {"benchmarks": [benchmark(points=(), error="boom")]}, "triton failed", id="it failed"
        ),
    ],
)
def test_a_node_type_without_rows_says_so(fields, words):
    assert words in seen(node(**fields))[1]


def test_a_node_without_a_profile_has_a_row():
    assert seen(node(has_profile=False))[1] == (
        "(no profile) 1 - - - - - - 4 CPU, 8 GiB, 1 nvidia.com/gpu"
    )


def test_failures_notes_and_lost_processors_are_said_below():
    table = benchmark(error="it broke", note="cut short", measured_at=at(-60))
    lost = processor("cpu", unavailable="XID 79")
    shown = seen(node(processors=[lost], benchmarks=[table]))
    assert shown[2:] == [
        "cpu-small cpu: unavailable on node-1: XID 79",
        f"cpu-small cpu under triton: the last measurement failed ({at(-60)}): it broke",
        "cpu-small cpu under triton: cut short",
    ]


def test_published_vulnerabilities_of_what_was_measured_are_said_below():
    shown = seen(node(benchmarks=[benchmark(image="tritonserver:25.07-py3")]))
    assert shown[-1].startswith(
        "cpu-small cpu under triton: the image tritonserver:25.07-py3 has a tritonserver with "
        "published vulnerabilities (CVE-2025-33201"
    )


def test_taints_are_said_below():
    shown = seen(node(taints=("gpu=:NoSchedule",)))
    assert shown[-1] == "cpu-small: tainted gpu=:NoSchedule: what serves there must tolerate it"


def test_some_nodes_may_not_know_their_utilisation():
    shown = seen(node("a"), node("b", processors=[processor("cpu", None, None)]))
    assert "0.10 / 0.10 (1 unknown) 0.20 / 0.20 (1 unknown)" in shown[1]


def test_without_nodes_there_is_no_table():
    assert seen() == ["no nodes"]


def test_a_snapshot_is_shown_as_a_table(capsys):
    assert main.main(["nodes", "--snapshot", str(EXAMPLE)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    assert shown.out.split()[:2] == ["NODE", "TYPE"]
    assert "gpu-a" in shown.out


def test_json_has_every_row_of_every_table(capsys):
    assert main.main(["nodes", "--snapshot", str(EXAMPLE), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["nodeTypes"]
    gpu = next(kind for kind in found if kind["name"] == "gpu-a")
    assert gpu["processors"][0]["benchmarks"][0]["points"][0]["batchSize"] == 1
    assert gpu["usableNodes"] == 1
    assert set(gpu["free"]) >= {"cpu", "memory"}


def test_a_plot_is_written(tmp_path, capsys):
    path = tmp_path / "plot.svg"
    assert main.main(["nodes", "--snapshot", str(EXAMPLE), "--plot", str(path)]) == 0
    assert capsys.readouterr().err == f"ferryman nodes: wrote {path}\n"
    assert ET.fromstring(path.read_text()).tag == f"{SVG}svg"  # noqa: S314  our own file


def test_a_plot_that_cannot_be_written_is_an_error(tmp_path, capsys):
    path = tmp_path / "none" / "plot.svg"
    assert main.main(["nodes", "--snapshot", str(EXAMPLE), "--plot", str(path)]) == 5
    shown = capsys.readouterr()
    assert (shown.out, str(path) in shown.err) == ("", True)


def test_a_snapshot_that_is_missing_is_an_error(tmp_path, capsys):
    assert main.main(["nodes", "--snapshot", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("ferryman nodes: ")


def drawn(*nodes):
    return ET.fromstring(curve_plot.plot(summarise(nodes)))  # noqa: S314  our own text


def lines(svg):
    """Return each polyline's points, by colour and whether it is dashed."""
    return [
        (
            line.get("stroke"),
            line.get("stroke-dasharray") is not None,
            [tuple(map(float, pair.split(","))) for pair in line.get("points").split()],
        )
        for line in svg.iter(f"{SVG}polyline")
    ]


def test_each_table_has_a_line_of_throughput_and_two_of_latency_in_its_colour():
    fast = [benchmark(400.0, node_type="fast")]
    svg = drawn(node("a", "slow"), node("b", "fast", benchmarks=fast))
    found = lines(svg)
    assert [dashed for _, dashed, _ in found] == [False, False, True] * 2
    assert len({colour for colour, _, _ in found}) == 2
    texts = [text.text for text in svg.iter(f"{SVG}text")]
    assert texts[-1] == "slow cpu under triton"
    assert "fast cpu under triton" in texts


def test_more_throughput_is_higher_and_a_larger_batch_further_right():
    [rate, *_] = lines(drawn(node(benchmarks=[benchmark(points=known(10, 20, 40, 80))])))
    xs, ys = zip(*rate[2], strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)
    steps = [b - a for a, b in pairwise(ys)]
    assert steps == pytest.approx([steps[0]] * 3, abs=0.2), "each doubling is the same step"


def test_intervals_are_drawn_where_they_are_known():
    def bars(half_width):
        tables = [benchmark(points=known(10, 20, half_width=half_width))]
        svg = drawn(node(benchmarks=tables))
        return [line for line in svg.iter(f"{SVG}line") if line.get("stroke") != "#dddddd"]

    assert len(bars(2.0)) == 2
    assert bars(0.0) == []
    # An interval that reaches below the axis ends on it.
    assert (
        max(float(bar.get("y2")) for bar in bars(50.0)) == curve_plot.TOP + curve_plot.PANEL_HEIGHT
    )


def test_a_table_of_one_row_can_be_drawn():
    [rate, *_] = lines(drawn(node(benchmarks=[benchmark(points=known(100))])))
    assert len(rate[2]) == 1


def test_names_are_escaped():
    [kind] = summarise([node()])
    svg = ET.fromstring(curve_plot.plot([kind.with_(name="a<b&c")]))  # noqa: S314  our own text
    assert list(svg.iter(f"{SVG}text"))[-1].text == "a<b&c cpu under triton"


def test_without_any_table_there_is_nothing_to_plot():
    with pytest.raises(ValueError, match="no node type has been measured"):
        curve_plot.plot(summarise([node(benchmarks=[])]))
