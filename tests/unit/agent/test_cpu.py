import pytest

from ferryman.agent.cpu import CpuProcessors, cpu_model
from ferryman.agent.processors import Host, Utilisation
from tests.unit.agent.cgroups import v1

XEON = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)  CPU @ 2.20GHz\n"
GRAVITON = "processor: 0\nCPU implementer\t: 0x41\nCPU variant: 0x3\nCPU part: 0xd0c\n"
EPYC = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"
CLOUD = "cpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Intel(R) Xeon(R) CPU @ 2.00GHz\n"
NUMBERED = "cpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9, altivec supported\n"


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        pytest.param(XEON, "Intel(R) Xeon(R) CPU @ 2.20GHz", id="x86 names its model"),
        pytest.param(EPYC, "AMD EPYC (family 25 model 17)", id="no generation in the name"),
        pytest.param(
            CLOUD,
            "Intel(R) Xeon(R) CPU @ 2.00GHz (family 6 model 85)",
            id="a clock rate is no generation",
        ),
        pytest.param(NUMBERED, "AMD EPYC 7763", id="a name with a number says enough"),
        pytest.param(GRAVITON, "Arm Neoverse-N1 r3", id="Arm names parts"),
        pytest.param(POWER, "POWER9, altivec supported", id="POWER names its cpu"),
        pytest.param("", "unknown", id="nothing is unknown"),
        pytest.param("model name\t:\n", "unknown", id="an empty name is unknown"),
        pytest.param(f"model name: {'x' * 400}", "x" * 256, id="a long name is cut"),
    ],
)
def test_cpu_model(cpuinfo, model):
    assert cpu_model(cpuinfo) == model


@pytest.fixture
def host(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(XEON)
    return Host(500, 1_000, cgroup_root=tmp_path / "cgroup", proc=tmp_path / "proc", sys=tmp_path)


def test_the_cpu_is_one_processor_with_the_allocatable_memory(host):
    (processor,) = CpuProcessors(host).discover().processors
    assert (processor.processor_class, processor.count, processor.memory_bytes) == ("cpu", 1, 1_000)
    assert processor.product == "Intel(R) Xeon(R) CPU @ 2.20GHz"


def test_use_is_the_nodes_own_over_what_it_can_allocate(host):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, usage_ns=7_000_000_000, used=400, cache=150)
    first = cpu.sample(10.0)["cpu"]  # a rate needs two readings
    assert (first.processor, first.memory) == (None, 0.25)
    assert first.notes == (
        "CPU utilisation is unknown: it takes two looks, and this was the first",
    )
    v1(host.cgroup_root, usage_ns=8_000_000_000, used=400, cache=150)
    assert cpu.sample(14.0) == {"cpu": Utilisation(0.5, 0.25)}  # 0.25 of 0.5 cores


def test_a_quota_below_the_allocatable_is_noted_and_bounds_what_can_be_used(host):
    v1(host.cgroup_root, usage_ns=0)
    (host.cgroup_root / "cpu").mkdir()
    (host.cgroup_root / "cpu/cpu.cfs_quota_us").write_text("20000\n")
    (host.cgroup_root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    cpu = CpuProcessors(host)
    found = cpu.discover()
    assert found.cpu.quota_millicores == 200
    assert found.notes[-1] == (
        "the node's cgroup allows 200 millicores, but the Node offers 500 to pods: "
        "let the kubelet reserve the rest (kubeReserved)"
    )
    cpu.sample(0.0)
    v1(host.cgroup_root, usage_ns=100_000_000)
    assert cpu.sample(1.0)["cpu"].processor == 0.5  # 0.1 of the 0.2 cores that it can have


def test_a_quota_that_suffices_is_recorded_without_a_note(host):
    v1(host.cgroup_root)
    (host.cgroup_root / "cpu").mkdir()
    (host.cgroup_root / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    (host.cgroup_root / "cpu/cpu.cfs_period_us").write_text("100000\n")
    found = CpuProcessors(host).discover()
    assert found.cpu.quota_millicores == 500
    assert not any("kubeReserved" in note for note in found.notes)


def test_without_a_cgroup_the_quota_is_absent(host):
    assert CpuProcessors(host).discover().cpu.quota_millicores is None


def test_use_beyond_the_allocatable_counts_as_full(host):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, usage_ns=0, used=2_000)
    cpu.sample(0.0)
    v1(host.cgroup_root, usage_ns=9_000_000_000, used=2_000)
    assert cpu.sample(1.0) == {"cpu": Utilisation(1.0, 1.0)}


def test_a_counter_that_fell_back_makes_one_sample_unknown(host):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, usage_ns=5_000_000_000)
    cpu.sample(0.0)
    v1(host.cgroup_root, usage_ns=0)
    assert cpu.sample(1.0)["cpu"].processor is None
    v1(host.cgroup_root, usage_ns=250_000_000)
    assert cpu.sample(2.0)["cpu"].processor == 0.5


def test_a_cgroup_that_cannot_be_seen_is_unknown_with_a_note(host):
    seen = CpuProcessors(host).sample(0.0)["cpu"]
    assert (seen.processor, seen.memory) == (None, None)
    assert seen.notes[0].startswith("utilisation of CPU and memory is unknown: ")
    assert "mount the node's /sys/fs/cgroup there" in seen.notes[0]


def test_a_cgroup_that_vanishes_and_returns_is_found_again(host, tmp_path):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root)
    cpu.sample(0.0)
    host.cgroup_root.rename(tmp_path / "away")
    assert cpu.sample(1.0)["cpu"].notes
    (tmp_path / "away").rename(host.cgroup_root)
    assert cpu.sample(2.0)["cpu"].memory == 0.0
    v1(host.cgroup_root, usage_ns=500_000_000)
    assert cpu.sample(4.0)["cpu"] == Utilisation(0.5, 0.0)


def test_a_counter_that_stands_still_is_no_idle_node(host):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, usage_ns=5_000_000_000)
    cpu.sample(0.0)
    seen = cpu.sample(5.0)["cpu"]
    assert seen.processor is None
    assert "stands still" in seen.notes[0]


def test_a_node_whose_cgroup_moved_is_found_where_it_is_now(host, tmp_path):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, "old", usage_ns=5_000_000_000)
    cpu.sample(0.0)
    for controller in ("cpuacct", "memory"):  # it no longer holds the kubelet's
        (host.cgroup_root / controller / "old/kubelet.slice").rename(tmp_path / controller)
    v1(host.cgroup_root, "new", usage_ns=9_000_000_000)
    cpu.discover()
    assert cpu.sample(5.0)["cpu"].processor is None  # what another one counted is no beginning
    v1(host.cgroup_root, "new", usage_ns=9_250_000_000)
    assert cpu.sample(6.0)["cpu"].processor == 0.5


def test_memory_that_cannot_be_read_leaves_the_cpu_known(host):
    cpu = CpuProcessors(host)
    v1(host.cgroup_root, usage_ns=0)
    cpu.sample(0.0)
    v1(host.cgroup_root, usage_ns=250_000_000)
    (host.cgroup_root / "memory/memory.usage_in_bytes").unlink()
    seen = cpu.sample(1.0)["cpu"]
    assert (seen.processor, seen.memory) == (0.5, None)
    assert seen.notes[0].startswith("memory utilisation of the CPU is unknown: ")


def test_a_topology_that_could_not_be_seen_is_looked_for_again(host):
    cpu = CpuProcessors(host)
    assert cpu.discover().cpu.threads is None
    folder = host.sys / "devices/system/cpu/cpu0/topology"
    folder.mkdir(parents=True)
    for name in ("physical_package_id", "thread_siblings_list"):
        (folder / name).write_text("0\n")
    assert cpu.discover().cpu.threads == 1
