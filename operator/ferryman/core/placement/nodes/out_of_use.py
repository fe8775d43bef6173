"""Whether what is left of a class can be used where some of its devices are out of use.

Pods cannot choose among a node's devices: the device plugin does, among those that it offers. Where
it has taken back as many as are out of use, what it hands out is well; while it still offers them,
a pod could get one, and the class is out of use as a whole.
"""

from ferryman.api.inference_runtime import RuntimeProcessor
from ferryman.api.node_profile import Processor
from ferryman.core.placement import fit
from ferryman.core.snapshot import NodeView


def why_not(node: NodeView, processor: Processor, entry: RuntimeProcessor) -> str | None:
    """Return why a class must not be used on a node, or None where it, or its rest, can be."""
    out = processor.unavailable_count
    if processor.unavailable is None:
        return None
    if entry.resource_name is None or out == processor.count:
        return processor.unavailable
    offered = fit.allocatable(node, entry.resource_name)
    per_device = _whole(processor, entry.resource_name) / processor.count
    taken_back = processor.count * per_device - offered
    # Where nobody counted them it is one at least.
    if offered > 0 and taken_back >= (out or 1) * per_device > 0:
        return None
    offers = f"{entry.resource_name} still offers {offered}" if offered > 0 else ""
    counted = f"{out} of {processor.count}" if out else ""
    more = ", ".join(word for word in (counted, offers) if word)
    return f"{processor.unavailable} ({more})" if more else processor.unavailable


def _whole(processor: Processor, resource_name: str) -> int:
    """Return how many of a resource a node offers while all of its devices are well."""
    if processor.sharing != "mig":
        return processor.count * (processor.replicas or 1)
    return sum(
        partition.count
        for partition in processor.partitions
        # Under the strategy single all instances are offered as if they were whole devices.
        if processor.mig_strategy == "single"
        or resource_name.endswith("/mig-" + partition.profile.replace("+", "."))
    )
