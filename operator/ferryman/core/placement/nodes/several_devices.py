"""Whether a node can give one pod several devices that make one.

A pod requests a number of a resource, and the device plugin chooses which: of products that differ
it may hand out any, and of devices that are shared it may hand out several shares of one.
"""

from ferryman.api.conditions import Reason
from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.node_profile import NodeProfileStatus, Processor
from ferryman.api.pods.parallelism import Parallelism
from ferryman.core.placement import fit
from ferryman.core.placement.nodes import taints
from ferryman.core.placement.refusal import Refusal
from ferryman.core.snapshot import NodeView


def why_not(
    parallelism: Parallelism | None,
    node: NodeView,
    profile: NodeProfileStatus,
    processor: Processor,
    entry: RuntimeProcessor,
) -> Refusal | None:
    """Return why a node cannot give a pod so many devices, whatever is free of them, or None."""
    resource = entry.resource_name
    if parallelism is None or resource is None:
        return None
    unmet = taints.unmet_of(parallelism.interconnect, node.labels)
    if unmet:
        message = (
            f"the labels of {node.name} do not meet {', '.join(unmet)} of "
            "spec.parallelism.interconnect"
        )
        return Refusal(Reason.NODE_SELECTOR_NOT_MET, message)
    devices = parallelism.devices
    if devices == 1:
        return None
    return (
        _divided(node, processor, devices)
        or _too_few(node, resource, devices)
        or _unlike(node, profile, processor, devices)
    )


def _divided(node: NodeView, processor: Processor, devices: int) -> Refusal | None:
    if processor.sharing == "none":
        return None
    message = (
        f"{processor.product} on {node.name} is divided ({processor.sharing}), so that {devices} "
        "of what its device plugin offers may be parts of one device: use nodes with whole devices"
    )
    return Refusal(Reason.DEVICES_DIFFER, message)


def _too_few(node: NodeView, resource: str, devices: int) -> Refusal | None:
    whole = fit.allocatable(node, resource)
    if whole >= devices:
        return None
    message = (
        f"{node.name} has {whole} {resource} in all, {devices} are needed on one node: lower "
        "spec.parallelism.devices, or add nodes that have so many. A model over several nodes "
        "would need a LeaderWorkerSet, which this version does not make"
    )
    return Refusal(Reason.SEVERAL_NODES_NEEDED, message)


def _unlike(
    node: NodeView, profile: NodeProfileStatus, processor: Processor, devices: int
) -> Refusal | None:
    known = () if profile.hardware is None else profile.hardware.devices
    own = {each for each in known if each.startswith(f"{processor.processor_class} ")}
    if len(own) < 2:  # noqa: PLR2004  two that differ
        return None
    message = (
        f"{node.name} has devices of several types ({', '.join(sorted(own))}), and a pod that "
        f"requests {devices} may get any of them"
    )
    return Refusal(Reason.DEVICES_DIFFER, message)
