"""``NodeProfile``: what one node's processors are, can do, and are doing.

Cluster-scoped, one per node, named like it and owned by it. Two writers share the status, each
through server-side apply with its own field manager: the node agent (hardware, processors,
heartbeat) and the operator (benchmarks). See docs/decisions for why.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

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


class Hardware(ApiType):
    """The hardware fingerprint: nodes that agree in all of it are one node type."""

    architecture: Annotated[str, Field(max_length=32)]
    """As Kubernetes writes it, for example ``amd64``."""
    cpu_model: Annotated[str, Field(max_length=256)]
    """The CPU's product name."""
    cpu_millicores: Annotated[int, Field(ge=1, le=10_000_000)]
    """Allocatable CPU."""
    memory_bytes: Annotated[int, Field(ge=1, le=2**50)]
    """Allocatable memory, rounded down to 256 MiB so that twins agree."""
    devices: Annotated[tuple[Annotated[str, Field(max_length=256)], ...], Field(max_length=64)] = ()
    """Accelerators, one ``CLASS PRODUCT MEMORY_MiB`` each, sorted."""


class Processor(ApiType):
    """All processors of one class on the node."""

    processor_class: Annotated[ProcessorClass, Field(alias="class")]
    """The processor class, for example cpu, gpu or npu."""
    product: Annotated[str, Field(max_length=256)]
    """The product name."""
    count: Annotated[int, Field(ge=1, le=1024)] = 1
    """How many of them the node has."""
    memory_bytes: Annotated[int, Field(ge=0, le=2**50)] = 0
    """Their memory, summed."""
    utilisation: Fraction | None = None
    """Share of the processor in use, 0 to 1; null when unknown, never 0 for unknown."""
    memory_utilisation: Fraction | None = None
    """Share of its memory in use, 0 to 1; null when unknown."""
    sharing: Literal["none", "mig", "time-slicing", "mps"] = "none"
    """How one device is divided among pods."""
    unavailable: Annotated[str, Field(max_length=256)] | None = None
    """Why the processor must not be used (a lost GPU), or absent."""


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
    notes: Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(max_length=16)] = ()
    """What the agent could not see, and why."""


class NodeProfile(ApiType):
    """One node's processors, their load performance tables and their utilisation."""

    resource: ClassVar[Resource] = resources.NODE_PROFILE

    metadata: Metadata
    status: NodeProfileStatus = NodeProfileStatus()
