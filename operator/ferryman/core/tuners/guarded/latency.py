"""``prefer: Latency``: nothing waits for a batch to fill while the objectives can be met so.

A queue delay trades latency for device time. Whoever prefers latency gets the least delay that the
limits allow wherever that is predicted to meet the objectives, and device time is saved only by
what makes nothing later: neither the mean nor the objective's percentile, by what is expected and
by what is feared.
"""

from dataclasses import replace

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import search
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.guarded.prediction import Prediction
from ferryman.core.tuners.guarded.search import SearchContext
from ferryman.core.tuners.state import TuneDecision


def undelayed(context: TuningContext, *, searched: bool) -> TuneDecision | None:
    """Take back a delay that is not needed: it was stated, or is from before latency was preferred.

    The same bound with the least delay; where that would not meet the objectives another bound, if
    one does, which is not looked for where it was ``searched`` lately.
    """
    if not context.spec.prefers_latency or context.applied == context.undelayed:
        return None
    question = context.question()
    tried = question.reach.untried([context.undelayed, context.applied])
    found = question.predict(tried[0])
    if found.batching == context.applied or not found.meets:
        if searched:
            return None
        found = search.answer(question).best
    if not found.meets or found.batching == context.applied:
        return None
    message = f"prefer is Latency: batches are no longer waited for; {context.verdict.message}"
    return context.change(found.batching, Reason.LATENCY_PREFERRED, message)


def spared(question: SearchContext, each: Prediction, present: Prediction) -> bool:
    """Whether latency is spared by a configuration, or need not be.

    Where the present one does not meet the objectives with a margin it is no measure.
    """
    if not question.prefers_latency or not present.meets:
        return True
    if not _no_later(each, present):
        return False
    if question.feared_ms is None:
        return True
    afraid = replace(question, curve_ms=question.feared_ms)
    return _no_later(afraid.predict(each.batching), afraid.predict(present.batching))


def _no_later(each: Prediction, present: Prediction) -> bool:
    return each.mean_ms <= present.mean_ms and each.latency_ms <= present.latency_ms
