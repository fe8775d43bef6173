"""Nodes that died take no model with them: when the place of one is lost.

A node is lost while Kubernetes does not call it ready, or while neither its pods nor its kubelet
are heard of (``core.pods.silence``). A cordoned node is none: what runs there serves. Where every
node is lost something else is at fault, and no placement is better than the one there is.
"""

from collections.abc import Callable, Sequence
from typing import Final

from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.placement.candidates import Candidate
from ferryman.core.snapshot import NodeView, ServingState

#: Of the lost nodes, so many are named.
_NAMED: Final = 3


def why_lost(
    nodes: Sequence[NodeView],
    serving: ServingState,
    find: Callable[[], Sequence[Candidate]],
    previous: PlacementStatus,
) -> str | None:
    """Return why lost nodes end a placement, or None where they do not.

    ``find`` compares all nodes, which is only done where nothing simpler tells: in a large fleet
    some node is lost most of the time.

    They do when nothing of the model is left on a living node of the type, and its pods would not
    come up by themselves: nothing of the type takes them, or they would wait for the node they
    prefer until Kubernetes gives it up.
    """
    peers = [node for node in nodes if node.node_type in previous.node_types]
    lost = [node.name for node in peers if node.lost]
    if not lost or all(node.lost for node in nodes):
        return None
    living = {node.name for node in peers if not node.lost}
    if any(pod.ready and pod.node in living for pod in serving.pods):
        return None
    if previous.preferred_node not in lost and _takes_pods(find(), previous):
        return None
    names = ", ".join(lost[:_NAMED]) + (" and others" if len(lost) > _NAMED else "")
    be = "is" if len(lost) == 1 else "are"
    where = ", ".join(previous.node_types)
    return f"{names} {be} not ready and nothing of the model is left on {where}"


def _takes_pods(found: Sequence[Candidate], previous: PlacementStatus) -> bool:
    kinds = {(node_type, previous.processor) for node_type in previous.node_types}
    return any(candidate.places for candidate in found if candidate.kind in kinds)
