"""What a decision sees: one frozen picture of the cluster, gathered by the shell.

A snapshot can be written to and read from JSON (``ferryman explain --snapshot FILE``), so that
a decision can be repeated without any cluster.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

from ferryman.api import quantity
from ferryman.api.base import ApiType, Time
from ferryman.api.batching import Batching
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.node_profile import NodeProfileStatus
from ferryman.api.scalars import NodeName


def _are_quantities(amounts: dict[str, str | int]) -> dict[str, str | int]:
    for amount in amounts.values():
        quantity.parse(amount)
    return amounts


class NodeView(ApiType):
    """One node: what Kubernetes says of it, its profile, and what Ferryman already put there."""

    name: NodeName
    ready: bool = True
    """Ready and schedulable (not cordoned)."""
    lost: bool = False
    """Not ready as far as Kubernetes says, or not heard of: what runs there cannot be relied on."""
    labels: dict[str, str] = Field(default_factory=dict)
    taints: tuple[str, ...] = ()
    """NoSchedule and NoExecute taints as ``key=value:effect``."""
    price_per_hour: float | None = None
    """Of the node, in any currency; None where nobody said."""
    allocatable: Annotated[dict[str, str | int], AfterValidator(_are_quantities)] = Field(
        default_factory=dict
    )
    """Allocatable resources, as quantities (cpu, memory, nvidia.com/gpu, …)."""
    reserved_cpu_millicores: int = 0
    """CPU requests of this operator's own models on the node, other than the one decided."""
    reserved_memory_bytes: int = 0
    reserved_devices: dict[str, int] = Field(default_factory=dict)
    in_flight_cpu_millicores: int = 0
    """The part of the reserved CPU that utilisation does not show yet (placed moments ago)."""
    in_flight_memory_bytes: int = 0
    profile: NodeProfileStatus | None = None
    """None where no agent has reported yet."""

    @property
    def node_type(self) -> str:
        """The node type; empty where no agent has told it."""
        return "" if self.profile is None else self.profile.node_type


class LiveCapView(ApiType):
    """The live cap of a pod whose Triton answers."""

    loaded: Batching
    """What was loaded: its bound holds while the pod's annotation is absent."""
    largest: int
    """Triton's own bound, beyond which no cap reaches."""


class PodView(ApiType):
    """One Triton pod of the model."""

    name: str
    ip: str = ""
    node: NodeName = ""
    ready: bool = False
    batching: Batching | None = None
    """The configuration that Triton has in force in this pod; None when it does not answer."""
    instances_known: bool = True
    """False when its instance groups differ, so that ``batching.instances`` says nothing."""
    config_hash: str = ""
    """Of the configuration that the pod was made for, without what is tuned; "" if unknown."""
    takes_live_cap: bool = False
    """Whether the pod was made for a live cap: it has the volume that the bound is read from."""
    live_cap: LiveCapView | None = None
    """None where its Triton runs without one, or does not answer."""


class ServingState(ApiType):
    """What currently serves the model."""

    exists: bool = False
    """Whether its Deployment exists."""
    desired_replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    observed: bool = True
    """Whether its controller has looked at its latest generation: else nothing is known of what is
    updated."""
    progress_deadline_exceeded: bool = False
    problem_reason: str = ""
    """A Reason, when a pod has a problem a person must know of (image, volume, schedule)."""
    problem_message: str = ""
    unscheduled_since: Time | None = None
    """RFC 3339: since when kube-scheduler has found no node for the pod that waits longest."""
    model_ready: bool | None = None
    """Triton's own word on the model in the pods that answer; None when none answers."""
    model_message: str = ""
    batchable: bool = True
    """False when the model's graph or kind cannot be batched."""
    variable_inputs: bool = False
    """Whether an input has a variable dimension besides the batch, as far as Triton said."""
    shape_tensors: bool = False
    """Whether an input is a shape tensor, as far as Triton said."""
    source: SourceStatus | None = None
    """What the pods fetched; None where they fetched nothing."""
    pods: tuple[PodView, ...] = ()


class Advice(ApiType):
    """Where a model would be better off, found by looking at all of them together."""

    node_type: str
    processor: str
    message: str


class Snapshot(ApiType):
    """Everything that one decision about one model may use."""

    model: InferenceModel
    runtime: InferenceRuntime | None = None
    nodes: tuple[NodeView, ...] = ()
    serving: ServingState = ServingState()
    advice: Advice | None = None
    placement_is_valid: bool = False
    """Nothing that bears on the placement has changed since nodes were compared: none are here."""
