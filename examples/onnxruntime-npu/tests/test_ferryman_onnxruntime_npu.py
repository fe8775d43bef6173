import json
import sys

import pytest

import ferryman_onnxruntime_npu as plugin
from ferryman.agent.processors import Discovery, Host, Utilisation
from ferryman_onnxruntime_npu import Npu, NpuProcessors, NpuUnknownError

INTEL = Npu("OpenVINOExecutionProvider", "Intel", 0x7D1D)
GIB = 2**30


def node(sys_root, ask=lambda: [INTEL]):
    return NpuProcessors(Host(8_000, 30 * GIB + 5, sys=sys_root), ask)


def add_accelerator(sys_root, number=0, busy_us=None):
    device = sys_root / f"class/accel/accel{number}/device"
    device.mkdir(parents=True, exist_ok=True)
    if busy_us is not None:
        (device / "npu_busy_time_us").write_text(f"{busy_us}\n")


def refuse():
    raise NpuUnknownError("ModuleNotFoundError: No module named 'onnxruntime'")


def test_the_npus_are_one_processor_in_the_nodes_memory(tmp_path):
    found = node(tmp_path, lambda: [INTEL, INTEL]).discover()
    (npu,) = found.processors
    assert (npu.processor_class, npu.count, npu.memory_bytes) == ("npu", 2, 30 * GIB + 5)
    assert npu.product == "Intel NPU 0x7d1d (OpenVINO)"
    assert found.devices == ("npu Intel NPU 0x7d1d (OpenVINO) 30720",) * 2
    assert found.notes == ()


def test_a_node_without_an_npu_is_passed_over_in_silence(tmp_path):
    for ask in (list, refuse):
        npus = node(tmp_path, ask)
        assert (npus.discover(), npus.sample(1.0)) == (Discovery(), {})


@pytest.mark.parametrize(
    ("ask", "why"),
    [
        pytest.param(refuse, "No module named 'onnxruntime'", id="no library"),
        pytest.param(list, "no execution provider", id="a library without the provider"),
    ],
)
def test_an_accelerator_that_cannot_be_asked_about_is_a_note(tmp_path, ask, why):
    add_accelerator(tmp_path)
    (note,) = node(tmp_path, ask).discover().notes
    assert note.startswith("accelerator accel0 is there but not seen: ")
    assert why in note


@pytest.mark.parametrize("answer", [lambda: [INTEL], list, refuse])
def test_the_library_is_asked_once_whatever_it_answers(tmp_path, answer):
    asked = []
    npus = node(tmp_path, lambda: asked.append(1) or answer())
    first = npus.discover()
    assert npus.discover() == first
    assert len(asked) == 1


def test_use_is_busy_time_over_elapsed_time(tmp_path):
    npus = node(tmp_path, lambda: [INTEL, INTEL])
    npus.discover()
    add_accelerator(tmp_path, 0, 1_000_000)
    add_accelerator(tmp_path, 1, 0)
    assert npus.sample(10.0) == {"npu": Utilisation()}  # a rate needs two readings
    add_accelerator(tmp_path, 0, 5_000_000)
    add_accelerator(tmp_path, 1, 1_000_000)
    assert npus.sample(15.0) == {"npu": Utilisation(0.5)}
    add_accelerator(tmp_path, 0, 0)  # the driver was loaded anew
    assert npus.sample(20.0) == {"npu": Utilisation()}


@pytest.mark.parametrize(
    ("busy", "why"),
    [
        pytest.param(None, "does not count busy time", id="no counter"),
        pytest.param("soon", "invalid literal", id="no number"),
    ],
)
def test_use_that_is_not_told_is_unknown_with_a_note_and_never_zero(tmp_path, busy, why):
    npus = node(tmp_path)
    npus.discover()
    add_accelerator(tmp_path, 0, busy)
    seen = npus.sample(1.0)["npu"]
    assert seen.processor is None
    assert why in seen.notes[0]


def test_an_npu_that_two_providers_can_use_counts_once():
    answer = json.dumps([["QNNExecutionProvider", "A", 1], ["AExecutionProvider", "A", 1]])
    assert plugin.parse(answer) == (Npu("AExecutionProvider", "A", 1),)


def test_npus_of_two_providers_count_each():
    answer = json.dumps([["QNNExecutionProvider", "B", 2], ["AExecutionProvider", "A", 1]])
    assert [npu.vendor for npu in plugin.parse(answer)] == ["B", "A"]


@pytest.mark.parametrize("answer", ["", "{}x", "[1]", '[["a", "b", "c"]]', "7"])
def test_an_answer_that_makes_no_sense_is_refused(answer):
    with pytest.raises(NpuUnknownError, match="makes no sense"):
        plugin.parse(answer)


def test_without_the_library_the_probe_says_so(monkeypatch):
    monkeypatch.setattr(plugin, "PROBE", "import onnxruntime_that_is_not_there")
    with pytest.raises(NpuUnknownError, match="No module named 'onnxruntime_that_is_not_there'"):
        plugin.probe()


def test_a_probe_that_dies_without_a_word_is_told_by_its_exit_status(monkeypatch):
    monkeypatch.setattr(plugin, "PROBE", "raise SystemExit(3)")
    with pytest.raises(NpuUnknownError, match="exit status 3"):
        plugin.probe()


def test_a_probe_that_cannot_be_started_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(NpuUnknownError, match="No such file"):
        plugin.probe()


def test_the_real_library_knows_what_the_probe_asks_for():
    pytest.importorskip("onnxruntime")
    assert all(isinstance(npu, Npu) for npu in plugin.probe())
