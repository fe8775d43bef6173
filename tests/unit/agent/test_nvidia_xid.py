import pynvml
import pytest

from ferryman.agent.nvidia import NvidiaProcessors
from ferryman.agent.processors import Host
from ferryman.clients.nvidia import nvml_library, xid
from ferryman.clients.nvidia import xid_catalogue as catalogue
from ferryman.clients.nvidia.nvml import Nvml
from tests.unit.agent.simulated_nvml import SimulatedGpu, SimulatedLibrary

HOST = Host(8_000, 2**35)
FALLEN = (
    "GPU 1 reported XID 79 (it has fallen off the bus): drain the node and restart it, "
    "then restart the agent's pod"
)


@pytest.fixture
def library():
    return SimulatedLibrary(SimulatedGpu(), SimulatedGpu(uuid=b"GPU-1"))


@pytest.fixture
def nvml(library):
    return Nvml(lambda: library)


@pytest.fixture
def gpus(nvml):
    plugin = NvidiaProcessors(HOST, nvml)
    plugin.discover()
    return plugin


@pytest.mark.parametrize(
    "number", [8, 13, 31, 32, 43, 45, 63, 68, 69, 85, 102, 126, 135, 137, 139, 171]
)
def test_what_concerns_an_application_or_nobody_takes_no_gpu_out_and_is_not_said(
    library, gpus, number
):
    library.gpus[1].xids = [number]
    assert gpus.sample(1.0)["gpu"].unavailable is None
    assert library.gpus[1].xids == []
    assert gpus.discover().notes == ()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        pytest.param(94, "restart the application that ran there", id="a contained memory error"),
        pytest.param(92, "see whether they go on", id="corrected memory errors"),
        pytest.param(154, "see the node's kernel log", id="another recovery is recommended"),
    ],
)
def test_what_leaves_the_gpu_usable_and_asks_for_something_is_a_note(library, gpus, number, remedy):
    library.gpus[1].xids = [number, number]
    assert gpus.sample(1.0)["gpu"].unavailable is None
    (note,) = gpus.discover().notes
    assert note.startswith(f"GPU 1 reported XID {number} (")
    assert remedy in note


def test_what_somebody_ignores_is_as_if_it_had_not_happened(library):
    nvml = Nvml(lambda: library, ignored_xids=frozenset({79, 94}))
    gpus = NvidiaProcessors(HOST, nvml)
    gpus.discover()
    library.gpus[1].xids = [79, 94]
    assert gpus.sample(1.0)["gpu"].unavailable is None
    assert gpus.discover().notes == ()
    library.gpus[0].xids = [48]
    assert gpus.sample(2.0)["gpu"].unavailable is not None


def test_no_number_is_in_two_classes_and_each_has_a_remedy():
    classes = [catalogue.OF_APPLICATIONS, catalogue.HARMLESS, set(catalogue.NOTED)]
    classes.append(set(catalogue._CRITICAL))
    assert sum(map(len, classes)) == len(set().union(*classes))
    assert all(": " in catalogue.reason(number) for number in range(200))


@pytest.mark.parametrize(
    ("numbers", "remedy"),
    [
        pytest.param((46, 48, 64, 95, 109, 119, 120, 140, 143, 158), "reset the GPU", id="reset"),
        pytest.param((79,), "restart it", id="restart of the node"),
        pytest.param((13, 31, 32, 69, 94), "restart the application", id="of the application"),
        pytest.param((63, 43, 121, 137), "there is nothing to do", id="nothing"),
    ],
)
def test_remedies_are_those_of_nvidias_catalogue(numbers, remedy):
    assert all(remedy in catalogue.reason(number) for number in numbers)


def test_a_critical_error_takes_the_class_out_and_says_what_to_do(library, gpus):
    library.gpus[1].xids = [31, 79, 48]
    sample = gpus.sample(1.0)["gpu"]
    assert (sample.unavailable, sample.unavailable_count) == (FALLEN, 1)
    assert (sample.processor, sample.memory) == (0.4, 0.1)  # those of the GPU that works
    assert gpus.discover().processors[0].unavailable == FALLEN


@pytest.mark.parametrize(
    ("number", "words"),
    [
        pytest.param(48, "a double-bit memory error): drain the node and reset", id="known"),
        pytest.param(999, "XID 999 (a critical error): drain the node and reset", id="unknown"),
    ],
)
def test_every_critical_error_has_a_remedy(library, gpus, number, words):
    library.gpus[0].xids = [number]
    assert words in gpus.sample(1.0)["gpu"].unavailable


def test_events_are_read_without_waiting_and_no_more_than_a_few_at_once(library, gpus):
    library.gpus[0].xids = [13] * 1_000
    before = len(library.waits_ms)
    gpus.sample(1.0)
    assert set(library.waits_ms) == {0}
    assert len(library.waits_ms) - before == xid.MAX_EVENTS + 1  # the other GPU has none


def test_the_gpu_stays_out_when_the_plugin_is_built_anew(library, gpus, nvml):
    library.gpus[1].xids = [79]
    gpus.sample(1.0)
    anew = NvidiaProcessors(Host(8_000, 2**35, labels={"new": "label"}), nvml)
    assert anew.discover().processors[0].unavailable == FALLEN
    assert anew.sample(2.0)["gpu"].unavailable == FALLEN


def test_the_gpu_stays_out_when_the_driver_is_started_anew(library, gpus):
    library.gpus[1].xids = [79]
    gpus.sample(1.0)
    library.count_error = pynvml.NVML_ERROR_UNKNOWN
    gpus.sample(2.0)
    assert all(each.freed for each in library.event_sets)
    library.count_error = None
    assert gpus.sample(3.0)["gpu"].unavailable == FALLEN
    assert len(library.event_sets) == 4  # two GPUs, registered twice


def test_an_error_says_more_than_that_the_gpu_is_lost_since(library, gpus):
    library.gpus[1].xids = [79]
    library.gpus[1].errors = {"handle": pynvml.NVML_ERROR_GPU_IS_LOST}
    before = gpus.discover().devices
    assert gpus.sample(1.0)["gpu"].unavailable == FALLEN
    assert gpus.discover().devices == before
    assert before == ("gpu NVIDIA A100-SXM4-80GB 81920",) * 2


@pytest.mark.parametrize("function", ["sets", "events", "wait"])
def test_errors_that_cannot_be_seen_are_a_note_and_take_nothing_out(library, nvml, function):
    if function == "sets":
        library.event_sets_error = pynvml.NVML_ERROR_MEMORY
    else:
        library.gpus[1].errors = {function: pynvml.NVML_ERROR_NOT_SUPPORTED}
    found = NvidiaProcessors(HOST, nvml).discover()
    assert found.processors[0].unavailable is None
    assert any(note.startswith("XID errors of GPU 1 cannot be seen: ") for note in found.notes)
    nvml.gpus()
    assert sum(not each.freed for each in library.event_sets) == (0 if function == "sets" else 1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "drain the node and restart it"),
        (pynvml.NVML_ERROR_NOT_FOUND, "drain the node and restart it"),
        (pynvml.NVML_ERROR_GPU_NOT_FOUND, "drain the node and restart it"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "drain the node and reset the GPU"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "let the agent's container use the device"),
        (pynvml.NVML_ERROR_UNKNOWN, "see the node's kernel log"),
    ],
)
def test_a_gpu_without_a_handle_is_out_with_a_remedy(library, gpus, error, words):
    library.gpus[0].errors = {"handle": error}
    unavailable = gpus.sample(1.0)["gpu"].unavailable
    assert unavailable.startswith("GPU 0 does not answer (")
    assert words in unavailable


def test_a_gpu_that_nvml_lists_no_more_is_out_and_keeps_the_fingerprint(library, gpus):
    before = gpus.discover().devices
    library.gpus.pop()
    assert "GPU 1 is no longer listed by NVML" in gpus.sample(1.0)["gpu"].unavailable
    found = gpus.discover()
    assert found.devices == before
    assert found.processors[0].count == 2


def test_of_unlike_gpus_the_one_that_went_is_told_by_its_uuid_and_may_return(library, nvml):
    library.gpus[0].name = "Tesla T4"
    gpus = NvidiaProcessors(HOST, nvml)
    before = gpus.discover()
    went = library.gpus.pop(0)  # the other is now number 0
    assert gpus.sample(1.0)["gpu"].unavailable.startswith("GPU 0 is no longer listed")
    assert sorted(gpus.discover().devices) == sorted(before.devices)
    library.gpus.insert(0, went)
    assert gpus.sample(2.0)["gpu"].unavailable is None


def test_a_uuid_that_is_refused_once_makes_no_gpu_a_stranger(library, gpus):
    library.gpus[1].errors = {"uuid": pynvml.NVML_ERROR_UNKNOWN}
    assert gpus.sample(1.0)["gpu"].unavailable is None


def test_a_gpu_without_a_uuid_is_watched_all_the_same(library, nvml):
    for gpu in library.gpus:
        gpu.errors = {"uuid": pynvml.NVML_ERROR_NOT_SUPPORTED}
    library.gpus[1].xids = [79]
    assert NvidiaProcessors(HOST, nvml).discover().processors[0].unavailable == FALLEN


def test_the_numbers_and_functions_at_the_boundary_are_pynvmls_own():
    errors = {name: value for name, value in vars(nvml_library).items() if name.startswith("ERROR")}
    for name, value in errors.items():
        assert value == getattr(pynvml, f"NVML_{name}"), name
    assert len(errors) == 10
    assert pynvml.nvmlEventTypeXidCriticalError == nvml_library.EVENT_XID
    assert nvml_library.MIG_ENABLED == pynvml.NVML_DEVICE_MIG_ENABLE
    called = [name for name in vars(nvml_library.Library) if name.startswith("nvml")]
    assert len(called) == 16
    assert all(callable(getattr(pynvml, name)) for name in called)
