"""Whether objectives are met, and why batching is as it is."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

OBJECTIVES: Final[Mapping[str, Explanation]] = {
    Reason.MET: Explanation("All objectives were met in the last window."),
    Reason.LATENCY_ABOVE_TARGET: Explanation(
        "The percentile of latency exceeds its target.",
        "Let the tuner work; where it cannot help it says so by `NeedsCapacity`.",
    ),
    Reason.THROUGHPUT_BELOW_TARGET: Explanation(
        "Fewer inferences per second are served than the objective asks for, though more are sent.",
        "As above. Where clients send less than the objective, lower it.",
    ),
    Reason.NO_TRAFFIC: Explanation(
        "No request arrived in the window.", "Nothing, unless clients are meant to send."
    ),
    Reason.OBSERVING: Explanation("No window with enough requests has ended yet."),
}

CHANGES: Final[Mapping[str, Explanation]] = {
    Reason.TREND_INCREASE: Explanation(
        "Algorithm `Trend`: the objective's figure got better with larger bounds; the bound grows."
    ),
    Reason.TREND_DECREASE: Explanation(
        "Algorithm `Trend`: it got better with smaller bounds; the bound shrinks."
    ),
    Reason.TREND_FLAT: Explanation("Algorithm `Trend`: no direction is better; the bound stays."),
    Reason.COLLECTING: Explanation("Algorithm `Trend` has too few windows to see a trend."),
    Reason.AT_LIMIT: Explanation(
        "A change would help, but `spec.batching.limits` does not allow it.",
        "Widen the limits, if memory allows.",
    ),
    Reason.LEARNING: Explanation("It is being learnt how long batches of each size take."),
    Reason.SATURATED: Explanation(
        "Batches are full and requests queue: a larger bound is tried, because it raises "
        "throughput.",
        "Nothing while the bound grows; at the limit raise `spec.replicas`.",
    ),
    Reason.PREDICTED_TO_MEET: Explanation(
        "The new configuration is predicted to meet the objectives; the next windows verify it."
    ),
    Reason.CHEAPER: Explanation(
        "The objectives are met, and the new configuration is predicted to meet them with less "
        "device time.",
        "Nothing; `spec.batching.prefer: Latency` forgoes that.",
    ),
    Reason.NO_BETTER: Explanation(
        "An objective is missed, and no configuration is predicted to do better; replicas suffice."
    ),
    Reason.LATENCY_PREFERRED: Explanation(
        "A queue delay is taken back that the objectives do not need (`prefer: Latency`)."
    ),
    Reason.EXPLORING: Explanation(
        "Hardly anything is in time, and nothing that is known would change it: a bound is tried "
        "that may."
    ),
    Reason.BATCH_TOO_LARGE: Explanation(
        "Batches of the bound fail: it is lowered below the size that failed.",
        "Where memory is the reason raise `spec.resources`, or lower "
        "`spec.batching.limits.maxBatchSize.max` for good.",
    ),
    Reason.REJECTING: Explanation(
        "Requests are rejected because they waited too long (`onOverload: Reject`).",
        "Raise `spec.replicas`, or relax the objectives.",
    ),
    Reason.QUEUE_POLICY: Explanation(
        "The queue policy is made what `spec.batching.onOverload` asks for."
    ),
    Reason.NEEDS_CAPACITY: Explanation(
        "No batching of the replicas that are asked for meets the objectives.",
        "Raise `spec.replicas` to what the message says, have them follow by `spec.scaling` or an "
        "autoscaler, or relax the objectives.",
    ),
    Reason.CAPACITY_SUFFICES: Explanation("No more replicas are needed than there are."),
    Reason.MODE_FIXED: Explanation("`spec.batching.mode` is `Fixed`: nothing is tuned."),
    Reason.RECOMMENDED: Explanation(
        "`spec.batching.mode` is `Recommend`: what would be applied is told only.",
        "Set `mode: Auto` to have it applied, or state it as `initial`.",
    ),
    Reason.SPEC_CHANGED: Explanation(
        "The specification asks for another configuration than the one in force."
    ),
    Reason.DRIFTED: Explanation(
        "A pod has another configuration in force than was applied: it was changed past the "
        "operator, and is set back.",
        "Find who changes it; where setting it back did not last, it is left alone for an hour.",
    ),
    Reason.RELOAD_INTERVAL: Explanation(
        "A reload is due, and the last one was too short a time ago.",
        "Nothing; a live cap needs no reloads (`docs/live-cap.md`).",
    ),
    Reason.RELOAD_BUDGET_SPENT: Explanation(
        "The hour's reloads are spent.",
        "Nothing, or raise `spec.batching.guardrails.maxReloadsPerHour`; a live cap needs none.",
    ),
    Reason.NOT_BATCHABLE: Explanation(
        "The model cannot be batched as Triton serves it.",
        "Export it with a variable batch dimension, or confirm that it has none by "
        "`max_batch_size: 0` in `spec.model.config`.",
    ),
    Reason.CONFIG_REFUSED: Explanation(
        "Triton refused the new configuration; what was in force stays.",
        "The message has Triton's words. It is not tried again for a while.",
    ),
    Reason.ROLLED_BACK: Explanation(
        "A change was worse than predicted, or failed on a pod, and was taken back."
    ),
}

LIVE_CAP: Final[Mapping[str, Explanation]] = {
    Reason.LIVE_CAP: Explanation("The bound changes by an annotation, without a reload."),
    Reason.OWN_STRATEGY: Explanation(
        "The model brings a batching strategy of its own, which stays.",
        "Nothing, or remove it from the model to have its bound capped live.",
    ),
    Reason.QUEUE_DELAY: Explanation(
        "Requests may wait for others to fill a batch, and Triton would let a full one wait as "
        "long.",
        "Set `spec.batching.limits.maxQueueDelayMicroseconds.max` to 0.",
    ),
    Reason.SHAPE_TENSORS: Explanation(
        "The model has shape tensors, whose batches Triton forms otherwise."
    ),
}
