"""``NodeProfile``: what one node's processors are, can do, and are doing.

Cluster-scoped, one per node, named like it and owned by it. Two writers share the status, each
through server-side apply with its own field manager: the node agent (hardware, processors,
heartbeat) and the operator (benchmarks). See docs/decisions for why.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from ferryman.api import resources
from ferryman.api.base import ApiType, Message, Metadata, Time
from ferryman.api.crd import Resource, keyed_by, matches
from ferryman.api.scalars import Name, ProcessorClass

NodeType = Annotated[
    str,
    Field(
        max_length=63,
        **matches(
            r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$",
            "must do as a label's value: letters, digits and -_. between letters or digits",
        ),
    ),
]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class CpuTopology(ApiType):
    """What else is known of the machine's CPU; no part of the fingerprint."""

    sockets: Annotated[int, Field(ge=1, le=1024)] | None = None
    """CPU packages of the machine."""
    numa_nodes: Annotated[int, Field(ge=1, le=4096)] | None = None
    """NUMA nodes of the machine."""
    cores: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Physical cores that are online."""
    threads: Annotated[int, Field(ge=1, le=65_536)] | None = None
    """Hardware threads that are online."""
    instruction_sets: Annotated[
        tuple[Annotated[str, Field(max_length=32)], ...], Field(max_length=32)
    ] = ()
    """Those that matter to inference, in the kernel's words, for example avx512_vnni."""
    quota_millicores: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """The CPU that the node's cgroup allows; absent where it has no limit or none is seen."""


class Hardware(ApiType):
    """The hardware fingerprint: nodes that agree in it (``cpu`` apart) are one node type."""

    architecture: Annotated[str, Field(max_length=32)]
    """As Kubernetes writes it, for example ``amd64``."""
    cpu_model: Annotated[str, Field(max_length=256)]
    """The CPU's product name."""
    cpu_millicores: Annotated[int, Field(ge=1, le=10_000_000)]
    """Allocatable CPU."""
    memory_bytes: Annotated[int, Field(ge=1, le=2**50)]
    """Allocatable memory, rounded down to 256 MiB so that peers agree."""
    devices: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64)] = ()
    """Accelerators, one ``CLASS PRODUCT MEMORY_MiB`` each, sorted."""
    cpu: CpuTopology | None = None
    """Sockets, cores, instruction sets and quota; peers may differ in them."""


class Partition(ApiType):
    """The MIG instances of one profile, over all GPUs of the node."""

    profile: Annotated[str, Field(max_length=64)]
    """NVIDIA's name of the profile, for example ``1g.10gb``."""
    count: Annotated[int, Field(ge=1, le=1024)]
    """How many instances there are."""
    memory_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    """The memory of one instance; 0 when unknown."""


class Processor(ApiType):
    """All processors of one class on the node."""

    processor_class: Annotated[ProcessorClass, Field(alias="class")]
    """The processor class, for example cpu, gpu or npu."""
    product: Annotated[str, Field(max_length=256)]
    """The product name."""
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many of them the node has."""
    memory_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    """Their memory, summed; 0 when unknown."""
    utilisation: Fraction | None = None
    """Share of the processor in use, 0 to 1; null when unknown, never 0 for unknown."""
    memory_utilisation: Fraction | None = None
    """Share of its memory in use, 0 to 1; null when unknown."""
    sharing: Literal["none", "mig", "time-slicing", "mps"] = "none"
    """How one device is divided among pods."""
    replicas: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Under time-slicing and MPS, how many pods share one device; absent when unknown."""
    mig_strategy: Literal["unknown", "none", "single", "mixed"] = "unknown"
    """How MIG instances are offered to pods; unknown where GPU feature discovery does not say."""
    partitions: Annotated[
        tuple[Partition, ...], Field(max_length=32, json_schema_extra=keyed_by("profile"))
    ] = ()
    """The MIG instances, one entry per profile."""
    driver: Annotated[str, Field(max_length=128)] | None = None
    """The version of the class's driver; absent when unknown."""
    unavailable: Annotated[str, Field(max_length=256)] | None = None
    """Why the processor, or some of its devices, must not be used (a lost GPU), or absent."""
    unavailable_count: Annotated[int, Field(ge=1, le=1024)] | None = None
    """How many devices must not be used, where that is known. The others serve as soon as the
    device plugin offers these no more."""


class BenchmarkPoint(ApiType):
    """One row of the load performance table."""

    batch_size: Annotated[int, Field(ge=1, le=4096)]
    """The batch size."""
    images_per_second: Annotated[float, Field(gt=0, le=1e7)]
    """Throughput at this batch size."""
    latency_p50_milliseconds: Annotated[float, Field(gt=0, le=1e7)]
    """Median request duration."""
    latency_p99_milliseconds: Annotated[float, Field(gt=0, le=1e7)]
    """99th percentile of the request duration."""
    images_per_second_half_width: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Half the width of the throughput's 95 % confidence interval; absent: one round only."""
    rounds: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Rounds that throughput, interval and latencies come from."""
    # Absent, but never null: an API server would want null among the words.
    ended: Literal["Stable", "TimeUp"] | SkipJsonSchema[None] = None
    """Why no more rounds were played: the interval was narrow enough, or the time was up."""


class Benchmark(ApiType):
    """The load performance table of one processor class under one runtime."""

    processor_class: Annotated[ProcessorClass, Field(alias="class")]
    """The processor class that was measured."""
    runtime: Name
    """The InferenceRuntime that it was measured under."""
    image: Annotated[str, Field(max_length=512)]
    """The runtime's image that was measured: another image means another benchmark."""
    node_type: NodeType
    """The node type that it is about."""
    measured_on: Annotated[str, Field(max_length=253)]
    """The node it was measured on: nodes of one type share it."""
    measured_at: Time
    """When it was measured."""
    points: Annotated[tuple[BenchmarkPoint, ...], Field(max_length=16)] = ()
    """One entry per batch size; empty where the measurement failed."""
    max_instances: Annotated[int, Field(ge=1, le=64)] | None = None
    """The largest number of service instances before throughput stops growing."""
    error: Message | None = None
    """Why the last measurement failed, or absent; rows of an earlier one may stand beside it."""
    failures: Annotated[int, Field(ge=0, le=1000)] = 0
    """Measurements in a row that failed: the next is tried the later, the more there are."""
    driver: Annotated[str, Field(max_length=128)] | None = None
    """The device driver's version that was measured under; absent where none is known."""
    sharing: Annotated[str, Field(max_length=64)] | None = None
    """How a device was divided among pods, for example ``time-slicing among 4``: the figures are
    those of one pod while the others are idle. Absent where a pod has whole devices."""
    note: Message | None = None
    """What the table lacks, or what it was measured under that is unusual."""


class NodeProfileStatus(ApiType):
    """What the agent observed and the operator's benchmarks measured."""

    node_type: NodeType = ""
    """The name of the hardware fingerprint."""
    heartbeat_time: Time | None = None
    """When the agent last reported; an old one means that the rest is not believed."""
    hardware: Hardware | None = None
    processors: Annotated[
        tuple[Processor, ...], Field(max_length=16, json_schema_extra=keyed_by("class"))
    ] = ()
    """The node's processors, one entry per class."""
    benchmarks: Annotated[
        tuple[Benchmark, ...],
        Field(max_length=32, json_schema_extra=keyed_by("class", "runtime")),
    ] = ()
    """Load performance tables, one per processor class and runtime."""
    price_per_hour: Annotated[float, Field(ge=0, le=1e12)] | None = None
    """What a node of this type costs, as the installation says, in any currency; absent where it
    does not. A node's label serving.ferryman.dev/price-per-hour comes first."""
    notes: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=16)] = ()
    """What the agent could not see, and why."""


class NodeProfile(ApiType):
    """One node's processors, their load performance tables and their utilisation."""

    resource: ClassVar[Resource] = resources.NODE_PROFILE

    metadata: Metadata
    status: NodeProfileStatus = NodeProfileStatus()
