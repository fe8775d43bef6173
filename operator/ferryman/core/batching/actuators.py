"""How a change of batching reaches Triton."""

from ferryman.api.batching import Actuator, Batching


def cheapest_actuator(before: Batching, after: Batching, *, live_cap: bool = False) -> Actuator:
    """Return how a change is made.

    A live cap, where there is one, changes the bound alone; Triton changes instances in place,
    and all else by a reload.
    """
    if live_cap and before.with_(max_batch_size=after.max_batch_size) == after:
        return "LiveCap"
    return "InPlace" if before.with_(instances=after.instances) == after else "Reload"
