"""What the tuner of an operator that has just started knows of a model: what the status tells.

The rest it learns anew. That a change was refused or taken back needs no memory of the tuner's:
``changes.refusal`` finds it in the status.
"""

from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.inference_model import InferenceModel
from ferryman.api.inference_model_status import BatchingChange
from ferryman.core.tuners.guarded.memory import FAILING
from ferryman.core.tuners.state import Learned, TunerState

#: Of the windows before nothing is known but that requests failed in them: no share is news.
_ANY_SHARE: Final = 1.0


def recalled(model: InferenceModel) -> TunerState:
    """Return the state to tune on from: what failed before, and the batch size that is safe.

    A batch that does not fit into memory costs users the requests in it, so it is not tried once
    more after each restart; and clients whose requests are invalid fail before and after one.
    """
    safe = _safe_bound(model.status.batching.changes, model.metadata.generation)
    # If requests fail within the safe bound as well, the first window tells, and it is dropped.
    suspected = None if safe is None else 2 * FAILING
    failing = _ANY_SHARE if _failed_before(model) else 0.0
    return TunerState(learned=Learned(safe_bound=safe, suspected=suspected, failing=failing))


def _safe_bound(changes: tuple[BatchingChange, ...], generation: int) -> int | None:
    """Return the bound that was last gone back to because larger batches failed.

    None where a later change went beyond it, or the specification is another one.
    """
    largest = 0
    for change in changes:  # the newest comes first
        if change.outcome != "Applied":
            continue
        bound = change.after.max_batch_size
        if change.reason == Reason.BATCH_TOO_LARGE:
            return bound if largest <= bound and change.generation == generation else None
        largest = max(largest, bound)
    return None


def _failed_before(model: InferenceModel) -> bool:
    """Whether requests failed already, and not for larger batches than before."""
    observed, changes = model.status.observed, model.status.batching.changes
    if observed is None or not observed.failed_requests:
        return False
    return not changes or changes[0].after.max_batch_size <= changes[0].before.max_batch_size
