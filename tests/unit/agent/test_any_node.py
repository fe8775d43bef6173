"""Whatever a node, its kernel and its driver say of themselves, the agent goes on and publishes."""

# ruff: noqa: D102  the doubles are described by the protocols they stand in for
import random
import re
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ferryman.agent.cpu import CpuProcessors
from ferryman.agent.nvidia import NvidiaProcessors
from ferryman.agent.processors import Host, Inventory
from ferryman.agent.publish import Agent, Settings
from ferryman.api.node_profile import NodeProfileStatus
from ferryman.clients.cluster import ClusterError, Node
from ferryman.clients.nvidia.nvml import Nvml
from tests.unit.agent.simulated_nvml import SimulatedGpu, SimulatedLibrary

START = datetime(2026, 11, 21, 13, 0, tzinfo=UTC)
LABEL_VALUE = re.compile(r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
TOPOLOGY = ("topology/physical_package_id", "topology/thread_siblings_list", "online")
#: Where the readers look.
FILES = (
    "proc/cpuinfo",
    "proc/device-tree/model",
    "sys/devices/virtual/dmi/id/product_name",
    *(f"sys/devices/system/cpu/cpu{n}/{name}" for n in ("0", "1", "9" * 30) for name in TOPOLOGY),
    *(f"sys/devices/system/node/node{n}/cpulist" for n in (0, 1)),
    *(f"sys/bus/pci/devices/0000:00:01.0/{name}" for name in ("vendor", "device", "class")),
    *(f"cgroup/{name}" for name in ("cgroup.controllers", "cpu.stat", "cpu.max", "kubepods/x")),
    *(f"cgroup/{name}" for name in ("memory.current", "memory.stat", "kubepods/memory.current")),
    *("cgroup/cpuacct/kubepods/x", "cgroup/cpuacct/cpuacct.usage", "cgroup/memory/kubepods/x"),
    *("cgroup/memory/memory.usage_in_bytes", "cgroup/memory/memory.stat"),
    *("cgroup/cpu/cpu.cfs_quota_us", "cgroup/cpu/cpu.cfs_period_us"),
)
FOLDER, LOOP, BROKEN = "a folder", "a link to itself", "a file that gives EIO"
CONTENTS = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([FOLDER, LOOP, BROKEN]),
    st.sampled_from(
        [
            *(b"", b"\n\n", b"\xff\xfe", b"\0", b"-1", b"0", b"1", b"9" * 5_000, b"1e400", b"NaN"),
            *(b"18446744073709551615", b"max", b"max 100000", b"50000", b"50000 0", b"0 0 0 0"),
            *(b"usage_usec 5", b"usage_usec", b"usage_usec x", b"inactive_file -1\n\nx"),
            *(b"total_inactive_file 99999999999999999999999", b"0x10de", b"0x030200", b"0-1,4-"),
            b"model name : unknown\nflags :\n",
            b"model name : \x1b[31mX\nCPU part : zz\n: :\n",
            b"vendor_id : IBM/S390\nprocessor 0: machine = \n",
        ]
    ),
)


def write(root, tree):
    for name, content in tree.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if content == FOLDER:
            file.mkdir()
        elif content == LOOP:
            file.symlink_to(file)
        elif content == BROKEN:
            file.symlink_to("/proc/self/mem")  # nothing is mapped at 0
        else:
            file.write_bytes(content)


class Recorder:
    """An API server that takes everything a profile's schema allows."""

    def __init__(self, node):
        self._node = node
        self.statuses = []

    def node(self, _name):
        return self._node

    def apply_profile(self, node):
        pass

    def apply_status(self, _name, status):
        self.statuses.append(NodeProfileStatus.model_validate(status))


def publish(root, node, library):
    """Run an agent for a minute on a node; return the last status that it published."""
    cluster, nvml = Recorder(node), Nvml(lambda: library)

    def inventory(host):
        there = replace(host, proc=root / "proc", sys=root / "sys", cgroup_root=root / "cgroup")
        factories = {"cpu": CpuProcessors, "gpu": lambda host: NvidiaProcessors(host, nvml)}
        return Inventory.build(factories, there)

    agent = Agent(Settings("worker"), cluster, rng=random.Random(1), inventory=inventory)
    for step in range(14):
        agent.tick(1_000.0 + 5 * step, START)
    assert cluster.statuses, "nothing was published"
    return cluster.statuses[-1]


def check(status):
    """Hold a status to what every one must keep."""
    assert LABEL_VALUE.match(status.node_type)
    assert not any(" failed to " in note for note in status.notes), status.notes
    for each in status.processors:
        if each.utilisation is None and each.unavailable is None:
            assert any("utilisation" in note for note in status.notes), "no word why"


NODE = Node("worker", "u-1", "amd64", 2_000, 2**32)
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(FILES), CONTENTS, max_size=len(FILES)))
@example({})
@example(dict.fromkeys(FILES, BROKEN))
@example(dict.fromkeys(FILES, LOOP))
@example(dict.fromkeys(FILES, b"9" * 5_000))
def test_whatever_the_kernel_shows_the_node_is_published(tree):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), tree)
        status = publish(Path(folder), NODE, SimulatedLibrary())
    check(status)
    assert [each.processor_class for each in status.processors] == ["cpu"]


NUMBERS = st.one_of(st.sampled_from([0, 1, -1, 2**32 - 1, 2**63, 2**64 - 1]), st.integers())
NAMES = st.one_of(st.text(max_size=300), st.binary(max_size=300))
ERRORS = st.dictionaries(
    st.sampled_from(
        [
            "handle",
            "name",
            "uuid",
            "memory",
            "utilisation",
            "instances",
            "instance",
            "events",
            "wait",
        ]
    ),
    st.sampled_from([1, 3, 4, 6, 10, 13, 15, 16, 28, 999, 4_096]),
    max_size=4,
)
GPUS = st.builds(
    SimulatedGpu,
    name=NAMES,
    uuid=NAMES,
    total=NUMBERS,
    used=NUMBERS,
    busy_percent=NUMBERS,
    mig=st.sampled_from([None, 0, 1, 7]),
    xids=st.lists(st.integers(0, 2**64 - 1), max_size=3),
    errors=ERRORS,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(GPUS, max_size=4), NAMES)
def test_whatever_the_driver_answers_the_node_is_published(gpus, driver):
    library = SimulatedLibrary(*gpus)
    library.driver = driver
    with tempfile.TemporaryDirectory() as folder:
        check(publish(Path(folder), NODE, library))


LABELS = st.dictionaries(
    st.sampled_from(
        [
            *("nvidia.com/gpu.count", "nvidia.com/gpu.replicas", "nvidia.com/gpu.product"),
            *("nvidia.com/gpu.sharing-strategy", "nvidia.com/cuda.driver-version.full"),
            "feature.node.kubernetes.io/cpu-cpuid.AVX2",
        ]
    ),
    st.one_of(st.text(max_size=63), st.sampled_from(["mps", "true", "0", "1", "²", "-1", "."])),
)


@settings(max_examples=40, deadline=None)
@given(LABELS, st.text(max_size=20), st.integers(), st.integers(), st.text(max_size=60))
def test_whatever_the_node_object_says_the_node_is_published(labels, name, cpu, memory, on):
    node = Node(name, "u", on, cpu, memory, labels)
    with tempfile.TemporaryDirectory() as folder:
        check(publish(Path(folder), node, SimulatedLibrary(SimulatedGpu())))


def test_two_nodes_whose_cpu_nobody_can_name_are_not_one_type(tmp_path):
    names = ("one", "two")
    types = {
        publish(tmp_path, replace(NODE, name=name), SimulatedLibrary()).node_type for name in names
    }
    assert types == {f"unknown-cpu-of-node-{name}-2c-4gi" for name in names} or len(types) == 2


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), ValueError(), ClusterError("gone"), ZeroDivisionError()]
)
def test_an_error_that_nobody_thought_of_ends_no_agent(error):
    cluster = SimpleNamespace(node=lambda _: NODE, apply_profile=lambda _: None, statuses=[])

    def apply_status(_, status):
        if len(cluster.statuses) < 2:
            cluster.statuses.append(None)
            raise error
        cluster.statuses.append(status)

    cluster.apply_status = apply_status
    agent = Agent(
        Settings("worker"), cluster, rng=random.Random(1), inventory=lambda _: Inventory({})
    )
    for step in range(10):
        agent.tick(1_000.0 + 5 * step, START)
    assert cluster.statuses[-1] is not None


def test_a_host_tells_its_plugins_which_errors_count_for_nothing():
    hosts = []

    def inventory(host: Host) -> Inventory:
        hosts.append(host)
        return Inventory({})

    ignored = frozenset({94})
    settings_ = Settings("worker", ignored_xids=ignored)
    agent = Agent(settings_, Recorder(NODE), rng=random.Random(1), inventory=inventory)
    agent.tick(1.0, START)
    assert hosts[0].ignored_xids == ignored
