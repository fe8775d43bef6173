import pynvml
import pytest

from ferryman.agent.nvidia import NvidiaProcessors
from ferryman.agent.processors import Discovery, Host, Utilisation
from ferryman.api.node_profile import Partition
from ferryman.clients.nvidia.nvml import Nvml
from tests.unit.agent.simulated_nvml import (
    SimulatedGpu,
    SimulatedInstance,
    SimulatedLibrary,
)

LOST = pynvml.NVML_ERROR_GPU_IS_LOST
LOST_REASON = "GPU 1 does not answer (GPU is lost): drain the node and restart it"
UNSUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED
NOT_LOADED = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
SILENT_REASON = "NVML stopped answering (Driver Not Loaded): see whether the driver is loaded"


def plugin(library, tmp_path, labels=None):
    host = Host(8_000, 2**35, labels=labels or {}, sys=tmp_path)
    return NvidiaProcessors(host, Nvml(lambda: library))


def add_pci_device(sys, vendor="0x10de", kind="0x030200", address="0000:3b:00.0"):
    folder = sys / "bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


def test_two_healthy_gpus_are_one_processor_with_the_sum_of_their_memory(tmp_path):
    gpus = plugin(SimulatedLibrary(SimulatedGpu(), SimulatedGpu(busy_percent=60)), tmp_path)
    found = gpus.discover()
    (processor,) = found.processors
    assert (processor.processor_class, processor.product) == ("gpu", "NVIDIA A100-SXM4-80GB")
    assert (processor.count, processor.memory_bytes) == (2, 2 * 85_899_345_920)
    assert (processor.sharing, processor.unavailable) == ("none", None)
    assert found.devices == ("gpu NVIDIA A100-SXM4-80GB 81920",) * 2
    assert found.notes == ()
    assert gpus.sample(1.0) == {"gpu": Utilisation(processor=0.5, memory=0.1)}


ONE, THREE = SimulatedInstance(), SimulatedInstance("X MIG 3g.40gb", 42_144_366_592)


def test_under_mig_utilisation_is_unknown_and_never_zero(tmp_path):
    gpus = plugin(SimulatedLibrary(SimulatedGpu(mig=1)), tmp_path)
    found = gpus.discover()
    assert found.processors[0].sharing == "mig"
    assert found.devices == ("gpu NVIDIA A100-SXM4-80GB MIG 81920",)
    assert found.notes == ("GPU utilisation is unknown: NVML does not measure it under MIG",)
    assert gpus.sample(1.0)["gpu"].processor is None


def test_mig_instances_are_counted_by_profile_over_all_gpus(tmp_path):
    first = SimulatedGpu(mig=1, instances=(ONE, None, THREE, ONE))
    second = SimulatedGpu(uuid="GPU-1", mig=1, instances=(ONE,))
    found = plugin(SimulatedLibrary(first, second), tmp_path).discover()
    assert found.processors[0].partitions == (
        Partition(profile="1g.10gb", count=3, memory_bytes=10_200_547_328),
        Partition(profile="3g.40gb", count=1, memory_bytes=42_144_366_592),
    )
    assert found.devices == (
        "gpu NVIDIA A100-SXM4-80GB MIG 2x1g.10gb+1x3g.40gb 81920",
        "gpu NVIDIA A100-SXM4-80GB MIG 1x1g.10gb 81920",
    )


def test_another_mig_layout_is_another_node_type(tmp_path):
    layouts = [(ONE,) * 7, (THREE, THREE), ()]
    devices = {
        plugin(SimulatedLibrary(SimulatedGpu(mig=1, instances=each)), tmp_path).discover().devices
        for each in layouts
    }
    assert len(devices) == 3


@pytest.mark.parametrize(
    ("instance", "partition"),
    [
        pytest.param(
            SimulatedInstance(errors={"memory": UNSUPPORTED}),
            Partition(profile="1g.10gb", count=1, memory_bytes=0),
            id="no memory: unknown",
        ),
        pytest.param(
            SimulatedInstance(name=b"NVIDIA A100"),
            Partition(profile="unknown", count=1, memory_bytes=10_200_547_328),
            id="no profile in its name: unknown",
        ),
    ],
)
def test_a_mig_instance_that_tells_little_counts_all_the_same(tmp_path, instance, partition):
    library = SimulatedLibrary(SimulatedGpu(mig=1, instances=(instance,)))
    assert plugin(library, tmp_path).discover().processors[0].partitions == (partition,)


def test_mig_instances_that_may_not_be_listed_are_none_and_utilisation_stays_unknown(tmp_path):
    denied = {"instance": pynvml.NVML_ERROR_NO_PERMISSION}
    library = SimulatedLibrary(SimulatedGpu(mig=1, instances=(ONE,), errors=denied))
    gpus = plugin(library, tmp_path)
    assert gpus.discover().processors[0].partitions == ()
    assert gpus.sample(1.0)["gpu"].processor is None


def test_a_whole_gpu_beside_a_divided_one_is_a_note(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(mig=1), SimulatedGpu(uuid="GPU-1"))
    gpus = plugin(library, tmp_path)
    assert "some are whole" in gpus.discover().notes[0]
    assert gpus.sample(1.0)["gpu"].processor is None


@pytest.fixture
def refuse_mig_mode(monkeypatch):
    """Return what makes a library refuse to say whether MIG is on."""

    def refuse(library, error):
        def answer(_handle):
            raise pynvml.NVMLError(error)

        monkeypatch.setattr(library, "nvmlDeviceGetMigMode", answer)

    return refuse


@pytest.mark.parametrize("error", [UNSUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND])
def test_a_gpu_or_a_library_that_knows_no_mig_is_measured_as_a_whole(
    tmp_path, refuse_mig_mode, error
):
    library = SimulatedLibrary(SimulatedGpu())
    refuse_mig_mode(library, error)
    gpus = plugin(library, tmp_path)
    assert gpus.discover().processors[0].sharing == "none"
    assert gpus.sample(1.0) == {"gpu": Utilisation(processor=0.4, memory=0.1)}


def test_where_nvml_does_not_say_whether_mig_is_on_utilisation_is_unknown_and_never_zero(
    tmp_path, refuse_mig_mode
):
    library = SimulatedLibrary(SimulatedGpu(mig=1, instances=(ONE, THREE)))
    gpus = plugin(library, tmp_path)
    refuse_mig_mode(library, pynvml.NVML_ERROR_UNKNOWN)
    gpus.discover()
    sample = gpus.sample(1.0)["gpu"]
    assert (sample.processor, sample.memory) == (None, 0.1)
    (note,) = sample.notes
    assert note.endswith("(it does not say whether MIG is on)")


def test_where_nvml_does_not_say_whether_mig_is_on_each_gpu_keeps_its_layout(
    tmp_path, refuse_mig_mode
):
    divided = SimulatedGpu(uuid="GPU-1", mig=1, instances=(ONE, THREE))
    library = SimulatedLibrary(SimulatedGpu(), divided)
    gpus = plugin(library, tmp_path)
    before = gpus.discover()
    refuse_mig_mode(library, pynvml.NVML_ERROR_UNKNOWN)
    for _ in range(2):
        assert gpus.discover() == before
    library.gpus.pop(0)  # the other is now number 0
    assert sorted(gpus.discover().devices) == sorted(before.devices)


def test_a_lost_gpu_is_told_where_nvml_does_not_say_whether_mig_is_on(tmp_path, refuse_mig_mode):
    library = SimulatedLibrary(SimulatedGpu(), SimulatedGpu(uuid="GPU-1"))
    gpus = plugin(library, tmp_path)
    gpus.discover()
    refuse_mig_mode(library, pynvml.NVML_ERROR_UNKNOWN)
    library.gpus[1].errors = {"utilisation": LOST}
    assert gpus.sample(1.0)["gpu"].unavailable == LOST_REASON


def test_unsupported_utilisation_is_unknown_while_memory_is_known(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(mig=None, errors={"utilisation": UNSUPPORTED}))
    gpus = plugin(library, tmp_path)
    assert gpus.discover().processors[0].sharing == "none"
    sample = gpus.sample(1.0)["gpu"]
    assert (sample.processor, sample.memory) == (None, 0.1)
    assert sample.notes == (
        "GPU utilisation is unknown: NVML does not tell it of GPU 0 (Not Supported)",
    )


def test_one_gpu_of_unknown_use_makes_the_class_unknown(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(), SimulatedGpu(errors={"utilisation": UNSUPPORTED}))
    gpus = plugin(library, tmp_path)
    gpus.discover()
    assert gpus.sample(1.0)["gpu"].processor is None


@pytest.mark.parametrize(
    "function",
    [
        pytest.param("handle", id="its handle is refused"),
        pytest.param("memory", id="its memory is refused"),
        pytest.param("utilisation", id="its utilisation is refused"),
    ],
)
def test_a_gpu_that_gets_lost_makes_the_class_unavailable_but_keeps_the_fingerprint(
    tmp_path, function
):
    library = SimulatedLibrary(SimulatedGpu(), SimulatedGpu())
    gpus = plugin(library, tmp_path)
    before = gpus.discover()
    library.gpus[1].errors = {function: LOST}
    sample = gpus.sample(1.0)["gpu"]
    assert (sample.unavailable, sample.unavailable_count) == (LOST_REASON, 1)
    assert (sample.processor, sample.memory) == (0.4, 0.1)  # those of the GPU that works
    after = gpus.discover()
    assert after.devices == before.devices
    assert after.processors[0].unavailable == LOST_REASON


def test_a_gpu_that_was_lost_from_the_start_is_named_unknown(tmp_path):
    gpus = plugin(SimulatedLibrary(SimulatedGpu(errors={"handle": LOST})), tmp_path)
    (processor,) = gpus.discover().processors
    assert processor.product == "NVIDIA GPU (unknown)"
    assert processor.unavailable == LOST_REASON.replace("1", "0")


def test_a_gpu_that_comes_back_is_available_again(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    gpus = plugin(library, tmp_path)
    gpus.discover()
    library.gpus[0].errors = {"utilisation": LOST}
    assert gpus.sample(1.0)["gpu"].unavailable is not None
    library.gpus[0].errors = None
    assert gpus.sample(2.0)["gpu"] == Utilisation(processor=0.4, memory=0.1)


def missing_library(tmp_path):
    library = SimulatedLibrary(init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    return plugin(library, tmp_path)


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(None, id="no PCI device at all"),
        pytest.param({"vendor": "0x8086"}, id="another vendor's GPU"),
        pytest.param({"kind": "0x020700"}, id="NVIDIA's network card"),
    ],
)
def test_a_missing_library_is_passed_over_in_silence_without_an_nvidia_gpu(tmp_path, device):
    if device is not None:
        add_pci_device(tmp_path, **device)
    gpus = missing_library(tmp_path)
    assert gpus.discover() == Discovery()
    assert gpus.sample(1.0) == {}


def test_a_missing_library_is_a_note_where_there_is_an_nvidia_gpu(tmp_path):
    add_pci_device(tmp_path)
    assert missing_library(tmp_path).discover().notes == (
        "NVIDIA device 0000:3b:00.0 is there but NVML is not: NVML Shared Library Not Found",
    )


def test_a_missing_python_package_is_unavailable_and_says_so(tmp_path):
    def refuse():
        raise ImportError("No module named 'pynvml'")

    add_pci_device(tmp_path)
    found = NvidiaProcessors(Host(1, 1, sys=tmp_path), Nvml(refuse)).discover()
    assert "nvidia-ml-py is not installed" in found.notes[0]


def test_a_driver_that_stops_answering_makes_the_class_unavailable_and_is_started_anew(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    gpus = plugin(library, tmp_path)
    gpus.discover()
    library.count_error = pynvml.NVML_ERROR_UNKNOWN
    assert gpus.sample(1.0)["gpu"].unavailable == (
        "NVML stopped answering (Unknown Error): see whether the driver is loaded"
    )
    library.count_error = None
    assert gpus.sample(2.0)["gpu"].processor == 0.4
    assert library.calls == ["init", "shutdown", "init"]


def test_an_upgraded_driver_wants_a_new_process(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    gpus = plugin(library, tmp_path)
    gpus.discover()
    library.count_error = library.init_error = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    for _ in range(2):
        assert "delete the agent's pod" in gpus.sample(1.0)["gpu"].unavailable


@pytest.fixture
def unlike():
    """Return a library with a GPU of each kind: divided, whole, and lost from the start."""
    divided = SimulatedGpu(mig=1, instances=(ONE, THREE))
    lost = SimulatedGpu(uuid="GPU-2", errors={"handle": LOST})
    return SimulatedLibrary(divided, SimulatedGpu(uuid="GPU-1", name="Tesla T4"), lost)


def test_while_nvml_is_silent_the_gpus_stay_what_they_were_and_are_out_of_use(tmp_path, unlike):
    gpus = plugin(unlike, tmp_path)
    before = gpus.discover()
    unlike.count_error = unlike.init_error = NOT_LOADED
    for _ in range(2):  # first it does not answer, then it does not start
        silent = gpus.discover()
        out = {"unavailable": SILENT_REASON, "unavailable_count": 3}
        assert silent.processors == (before.processors[0].with_(**out),)
        assert (silent.devices, silent.notes) == (before.devices, before.notes)
        assert gpus.sample(1.0) == {"gpu": Utilisation(**out)}


def test_when_nvml_answers_again_all_is_as_it_was(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    gpus = plugin(library, tmp_path)
    before = gpus.discover()
    library.count_error = library.init_error = NOT_LOADED
    assert gpus.discover().processors[0].unavailable == SILENT_REASON
    library.count_error = library.init_error = None
    assert gpus.sample(1.0) == {"gpu": Utilisation(processor=0.4, memory=0.1)}
    assert gpus.discover() == before


def test_the_gpus_stay_when_the_plugin_is_built_anew_while_nvml_is_silent(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    nvml = Nvml(lambda: library)
    before = NvidiaProcessors(Host(8_000, 2**35, sys=tmp_path), nvml).discover()
    library.count_error = library.init_error = NOT_LOADED
    host = Host(8_000, 2**35, labels={"new": "label"}, sys=tmp_path)
    anew = NvidiaProcessors(host, nvml)
    assert anew.discover().devices == before.devices
    assert anew.discover().processors[0].unavailable == SILENT_REASON
    assert anew.sample(1.0)["gpu"] == Utilisation(unavailable=SILENT_REASON, unavailable_count=1)


def test_nvml_that_falls_silent_and_never_listed_a_gpu_is_passed_over_in_silence(tmp_path):
    library = SimulatedLibrary()
    gpus = plugin(library, tmp_path)
    assert gpus.discover() == Discovery()
    library.count_error = library.init_error = NOT_LOADED
    assert (gpus.discover(), gpus.sample(1.0)) == (Discovery(), {})


def test_gpus_of_several_products_are_named_together(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(), SimulatedGpu(name=b"Tesla T4"))
    found = plugin(library, tmp_path).discover()
    assert found.processors[0].product == "NVIDIA A100-SXM4-80GB + Tesla T4"
    assert found.notes == ("GPUs of several products count as one class here",)


GFD = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-SHARED",
    "nvidia.com/gpu.count": "1",
    "nvidia.com/cuda.driver-version.full": "550.54.015",
    "nvidia.com/mig.strategy": "none",
    "nvidia.com/gpu.replicas": "4",
}


@pytest.mark.parametrize("strategy", ["time-slicing", "mps"])
def test_the_labels_tell_how_a_gpu_is_shared_and_by_how_many(tmp_path, strategy):
    labels = GFD | {"nvidia.com/gpu.sharing-strategy": strategy}
    found = plugin(SimulatedLibrary(SimulatedGpu()), tmp_path, labels).discover()
    (processor,) = found.processors
    assert (processor.sharing, processor.replicas) == (strategy, 4)
    assert (processor.mig_strategy, processor.driver) == ("none", "550.54.015")
    assert found.notes == ()


def test_mig_instances_that_are_time_sliced_are_recorded_as_both(tmp_path):
    labels = GFD | {
        "nvidia.com/gpu.sharing-strategy": "time-slicing",
        "nvidia.com/mig.strategy": "single",
        "nvidia.com/gpu.count": "7",
        "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb-SHARED",
    }
    found = plugin(
        SimulatedLibrary(SimulatedGpu(mig=1, instances=(ONE,) * 7)), tmp_path, labels
    ).discover()
    (processor,) = found.processors
    assert (processor.sharing, processor.replicas, processor.mig_strategy) == ("mig", 4, "single")
    assert found.notes[1:] == ("MIG instances are shared further by time-slicing",)


def test_without_labels_the_driver_is_what_nvml_says(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    assert plugin(library, tmp_path).discover().processors[0].driver == "550.54.15"
    library.driver = None
    assert plugin(library, tmp_path).discover().processors[0].driver is None


def test_where_labels_and_nvml_disagree_a_note_says_which_counts(tmp_path):
    labels = GFD | {
        "nvidia.com/cuda.driver-version.full": "535.104.5",
        "nvidia.com/gpu.product": "Tesla-T4",
        "nvidia.com/gpu.count": "2",
    }
    found = plugin(SimulatedLibrary(SimulatedGpu()), tmp_path, labels).discover()
    (processor,) = found.processors
    assert (processor.driver, processor.count) == ("535.104.5", 1)
    assert processor.product == "NVIDIA A100-SXM4-80GB"
    assert [note.rpartition(": ")[2] for note in found.notes] == [
        "the label counts; it may be from before an upgrade",
        "NVML counts",
        "NVML counts",
    ]


def test_the_real_library_is_asked_by_default_and_needs_no_driver_to_be_there(tmp_path):
    found = NvidiaProcessors(Host(1, 1, sys=tmp_path)).discover()
    assert found == Discovery() or found.processors


@pytest.mark.parametrize(
    ("gpu", "why"),
    [
        pytest.param(SimulatedGpu(errors={"memory": UNSUPPORTED}), "Not Supported", id="refused"),
        pytest.param(SimulatedGpu(total=0, used=0), "it answers with a number", id="0 in all"),
        pytest.param(SimulatedGpu(total=2**64 - 1), "it answers with a number", id="all ones"),
        pytest.param(
            SimulatedGpu(used=2**64 - 1), "it answers with a number", id="use of all ones"
        ),
    ],
)
def test_memory_that_nvml_does_not_tell_is_unknown_and_said(tmp_path, gpu, why):
    gpus = plugin(SimulatedLibrary(gpu), tmp_path)
    gpus.discover()
    sample = gpus.sample(1.0)["gpu"]
    assert (sample.processor, sample.memory, sample.unavailable) == (0.4, None, None)
    (note,) = sample.notes
    assert note.startswith("GPU memory utilisation is unknown: NVML does not tell it of GPU 0 (")
    assert why in note


def test_memory_that_is_unknown_of_one_gpu_is_no_sum(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(), SimulatedGpu(errors={"memory": UNSUPPORTED}))
    assert plugin(library, tmp_path).discover().processors[0].memory_bytes == 0


def test_a_share_that_no_gpu_can_have_is_unknown(tmp_path):
    gpus = plugin(SimulatedLibrary(SimulatedGpu(busy_percent=4_294_967_295)), tmp_path)
    gpus.discover()
    assert gpus.sample(1.0)["gpu"].processor is None


def test_a_name_of_strange_bytes_is_read_all_the_same(tmp_path):
    gpus = plugin(SimulatedLibrary(SimulatedGpu(name=b"Tesla \xff\xfe")), tmp_path)
    assert gpus.discover().processors[0].product.startswith("Tesla ")


def test_gpus_that_nobody_could_name_are_told_apart_by_their_numbers(tmp_path):
    lost = SimulatedGpu(errors={"handle": LOST})
    devices = set()
    for number in ("0x2330", "0x1eb8"):
        sys = tmp_path / number
        add_pci_device(sys)
        (sys / "bus/pci/devices/0000:3b:00.0/device").write_text(f"{number}\n")
        devices |= set(plugin(SimulatedLibrary(lost), sys).discover().devices)
    assert devices == {
        "gpu NVIDIA GPU (unknown, PCI 0x2330) 0",
        "gpu NVIDIA GPU (unknown, PCI 0x1eb8) 0",
    }


def test_a_gpu_on_the_bus_that_nvml_does_not_list_is_a_note(tmp_path):
    for number in range(2):
        add_pci_device(tmp_path, address=f"0000:3b:0{number}.0")
    (note,) = plugin(SimulatedLibrary(SimulatedGpu()), tmp_path).discover().notes
    assert note.startswith("2 NVIDIA GPUs are on the PCI bus, NVML lists 1: ")


def test_a_jetson_without_nvml_is_a_note_though_its_gpu_is_on_no_bus(tmp_path):
    (tmp_path / "device-tree").mkdir()
    (tmp_path / "device-tree/compatible").write_bytes(b"nvidia,p3701\0nvidia,tegra234\0")
    library = SimulatedLibrary(init_error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    host = Host(1, 1, sys=tmp_path, proc=tmp_path)
    (note,) = NvidiaProcessors(host, Nvml(lambda: library)).discover().notes
    assert note.startswith("NVIDIA device of this board is there but NVML is not: ")


def test_a_plugin_that_is_built_anew_starts_a_library_anew_that_shows_no_gpu(tmp_path):
    library = SimulatedLibrary(SimulatedGpu(errors={"handle": pynvml.NVML_ERROR_UNKNOWN}))
    nvml = Nvml(lambda: library)
    NvidiaProcessors(Host(1, 1, sys=tmp_path), nvml).discover()
    NvidiaProcessors(Host(1, 1, sys=tmp_path), nvml).discover()
    assert library.calls == ["init", "shutdown", "init"]


def test_a_library_that_shows_gpus_goes_on_when_the_plugin_is_built_anew(tmp_path):
    library = SimulatedLibrary(SimulatedGpu())
    nvml = Nvml(lambda: library)
    for _ in range(2):
        NvidiaProcessors(Host(1, 1, sys=tmp_path), nvml).discover()
    assert library.calls == ["init"]
