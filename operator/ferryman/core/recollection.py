"""What the tuner of an operator that has just started knows of a model: what the status tells.

The rest it learns anew. That a change was refused or taken back needs no memory of the tuner's:
``changes.refusal`` finds it in the status.
"""

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus
from ferryman.core.tuner_state import Learned, TunerState


def recalled(batching: BatchingStatus) -> TunerState:
    """Return the state to tune on from: with the largest batch that is safe, if larger ones failed.

    Each trial of a batch that does not fit into memory costs users the requests in it.
    """
    return TunerState(learned=Learned(safe_bound=_safe_bound(batching.changes)))


def _safe_bound(changes: tuple[BatchingChange, ...]) -> int | None:
    """Return the bound that was last gone back to because larger batches failed.

    None where a later change went beyond it: then the failures had another cause.
    """
    largest = 0
    for change in changes:  # the newest comes first
        if change.outcome != "Applied":
            continue
        bound = change.after.max_batch_size
        if change.reason == Reason.BATCH_TOO_LARGE:
            return bound if largest <= bound else None
        largest = max(largest, bound)
    return None
