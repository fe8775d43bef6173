"""A node type that is being drained: its pods are sent away, and no node of it takes new ones.

A cordon alone moves nobody: what runs on a cordoned node serves. Once a pod of the model waits
and no living node of its type takes pods, waiting longer helps nobody: whoever drains the node
waits for pods to come up elsewhere, held back by the model's PodDisruptionBudget.
"""

from collections.abc import Sequence

from ferryman.api.inference_model_status import PlacementStatus
from ferryman.core.placement.departures.unschedulable import is_waiting
from ferryman.core.snapshot import NodeView, ServingState


def why_drained(
    nodes: Sequence[NodeView], serving: ServingState, previous: PlacementStatus
) -> str | None:
    """Return why a drain ends a placement, or None where none does."""
    if not is_waiting(serving):
        return None
    living = [n for n in nodes if n.node_type in previous.node_types and not n.lost]
    if not living or any(node.ready for node in living):
        return None
    names = "its only node" if len(living) == 1 else f"each of its {len(living)} nodes"
    return f"{names} is cordoned and a pod waits for one of type {', '.join(previous.node_types)}"
