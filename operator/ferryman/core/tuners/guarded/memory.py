"""Batches that do not fit into memory: they fail, with all of their requests.

How much memory a batch needs is not known, and Triton does not count the sizes of batches that
failed. So requests that begin to fail while larger batches are allowed than ever ran are taken
to fail for that; if they go on failing with smaller ones, they did not.
"""

from dataclasses import replace
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import learning
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.state import Learned, TuneDecision, with_bound

#: So much more of the requests must fail than before.
FAILING: Final = 0.01


def too_large(context: TuningContext, known: Learned) -> TuneDecision | None:
    """Step back at once when requests begin to fail, to what ran, and do not go there again."""
    window, bound = context.window, context.applied.max_batch_size
    failing = learning.failing(window)
    if failing <= known.failing + FAILING:
        return None
    ran = max(context.learned.service.sizes, default=bound // 2)
    before = known.trial.before.max_batch_size if known.trial and known.trial.grew else 0
    safe = max(ran, before, context.spec.limits.max_batch_size.min)
    if safe >= bound:
        return None
    message = (
        f"{failing:.0%} of the requests failed with batches up to {bound}: back to {safe}, "
        "the largest that ran"
    )
    stepped = context.knowing(safe_bound=safe, suspected=failing, trial=None, evaluation=None)
    # Refused, the failures must go on counting as new.
    waiting = context.knowing(failing=known.failing).state
    after = with_bound(context.applied, safe)
    return TuneDecision(after, Reason.BATCH_TOO_LARGE, message, stepped.state, if_refused=waiting)


def cleared(learned: Learned, bound: int) -> Learned:
    """Return the knowledge without a suspicion that a window with a smaller bound settled."""
    suspected, safe = learned.suspected, learned.safe_bound
    if suspected is None or safe is None or bound > safe:
        return learned
    unrelated = learned.failing > suspected / 2
    return replace(learned, suspected=None, safe_bound=None if unrelated else safe)
