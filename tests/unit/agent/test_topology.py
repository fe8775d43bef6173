import shutil

import pytest

from ferryman.agent import topology
from ferryman.api.node_profile import CpuTopology

FLAGS = "flags\t\t: fpu sse2 avx2 avx512f amx_tile avx512_vnni avx2_like\n"
NFD = "feature.node.kubernetes.io/cpu-cpuid."


def machine(root, *, packages=1, cores=2, threads=1, nodes=1, cpuinfo=FLAGS):
    """Write a machine's /proc and /sys: threads of one core have neighbouring numbers."""
    for cpu in range(packages * cores * threads):
        folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        first = cpu // threads * threads
        (folder / "physical_package_id").write_text(f"{cpu // (cores * threads)}\n")
        (folder / "thread_siblings_list").write_text(f"{first}-{first + threads - 1}\n")
    (root / "sys/devices/system/cpu/cpufreq").mkdir(parents=True, exist_ok=True)
    for node in range(nodes):
        (root / f"sys/devices/system/node/node{node}").mkdir(parents=True)
    (root / "proc").mkdir()
    (root / "proc/cpuinfo").write_text(cpuinfo)
    return root


def read(root, labels=None):
    return topology.read(root / "proc", root / "sys", labels or {})


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        pytest.param({"packages": 1, "cores": 2}, (1, 1, 2, 2), id="a small virtual machine"),
        pytest.param(
            {"packages": 2, "cores": 4, "threads": 2, "nodes": 4},
            (2, 4, 8, 16),
            id="two sockets with two NUMA nodes each",
        ),
        pytest.param({"nodes": 0}, (1, 1, 2, 2), id="a kernel without NUMA is one node"),
    ],
)
def test_sockets_numa_nodes_cores_and_threads_are_counted(tmp_path, shape, expected):
    seen = read(machine(tmp_path, **shape))
    assert (
        seen.cpu.sockets,
        seen.cpu.numa_nodes,
        seen.cpu.cores,
        seen.cpu.threads,
    ) == expected
    assert seen.notes == ()


def test_an_offline_cpu_whose_topology_the_kernel_takes_away_does_not_count(tmp_path):
    machine(tmp_path)
    shutil.rmtree(tmp_path / "sys/devices/system/cpu/cpu1/topology")
    assert read(tmp_path).cpu.threads == 1


def test_an_offline_cpu_whose_topology_the_kernel_leaves_does_not_count(tmp_path):
    machine(tmp_path, packages=2)
    for cpu, online in ((1, "1"), (2, "0"), (3, "0")):
        (tmp_path / f"sys/devices/system/cpu/cpu{cpu}/online").write_text(f"{online}\n")
    seen = read(tmp_path).cpu
    assert (seen.sockets, seen.cores, seen.threads) == (1, 2, 2)


def test_a_numa_node_of_memory_alone_does_not_count(tmp_path):
    machine(tmp_path, nodes=4)
    for node, cpus in enumerate(("0-1", "", "\n", "2-3")):
        (tmp_path / f"sys/devices/system/node/node{node}/cpulist").write_text(cpus)
    assert read(tmp_path).cpu.numa_nodes == 2


def test_what_one_file_does_not_tell_hides_nothing_else(tmp_path):
    machine(tmp_path)
    for cpu in (0, 1):
        (tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id").unlink()
    seen = read(tmp_path)
    assert (seen.cpu.sockets, seen.cpu.threads, seen.complete) == (None, 2, False)
    assert seen.notes == ("the CPU's sockets are unknown: the kernel does not list them in /sys",)


def test_more_than_a_profile_can_hold_is_unknown(tmp_path):
    machine(tmp_path, nodes=0)
    for node in range(topology.MOST_NUMA_NODES + 1):
        (tmp_path / f"sys/devices/system/node/node{node}").mkdir(parents=True)
    assert read(tmp_path).cpu.numa_nodes is None


def test_only_the_instruction_sets_that_matter_are_named_in_a_fixed_order(tmp_path):
    assert read(machine(tmp_path)).cpu.instruction_sets == (
        "avx2",
        "avx512f",
        "avx512_vnni",
        "amx_tile",
    )


def test_arm_names_its_instruction_sets_as_features(tmp_path):
    arm = "processor\t: 0\nFeatures\t: fp asimd sve i8mm bf16\n"
    assert read(machine(tmp_path, cpuinfo=arm)).cpu.instruction_sets == (
        "asimd",
        "sve",
        "i8mm",
        "bf16",
    )


def test_a_label_of_node_feature_discovery_counts_and_a_note_says_so(tmp_path):
    labels = {f"{NFD}AVX2": "true", f"{NFD}AMXINT8": "true", f"{NFD}SVE": "false"}
    seen = read(machine(tmp_path), labels)
    assert seen.cpu.instruction_sets[-2:] == ("amx_tile", "amx_int8")
    (note,) = seen.notes
    assert note == (
        "node feature discovery labels amx_int8, which /proc/cpuinfo does not name: "
        "the label counts"
    )


def test_what_the_kernel_does_not_tell_is_absent_with_a_note(tmp_path):
    seen = read(tmp_path)
    assert seen.cpu == CpuTopology()
    assert seen.notes == (
        "the CPU's sockets, cores, threads are unknown: the kernel does not list them in /sys",
        "the CPU's instruction sets are unknown: /proc/cpuinfo does not name them",
    )


def test_labels_stand_in_for_a_cpuinfo_without_flags(tmp_path):
    seen = read(machine(tmp_path, cpuinfo="processor: 0\n"), {f"{NFD}AVX2": "true"})
    assert (seen.cpu.instruction_sets, seen.notes) == (("avx2",), ())
