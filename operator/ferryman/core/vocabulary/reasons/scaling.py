"""Why a model that Ferryman scales itself has as many replicas as it has."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

REASONS: Final[Mapping[str, Explanation]] = {
    Reason.AS_NEEDED: Explanation("There are as many replicas as the objectives need."),
    Reason.MORE_NEEDED: Explanation(
        "No batching of the replicas there were met the objectives: there are more."
    ),
    Reason.FEWER_SUFFICE: Explanation(
        "Windows have agreed for long enough that fewer replicas meet the objectives, with "
        "headroom: there are fewer."
    ),
    Reason.WITHIN_BOUNDS: Explanation(
        "`spec.scaling` was changed, and its bounds allow another number only."
    ),
    Reason.NEED_UNKNOWN: Explanation(
        "Nothing says how many replicas are needed: their number stays.",
        "Nothing before the first windows; later look at `status.batching`, which says what keeps "
        "the tuner from knowing.",
    ),
    Reason.STABILIZING: Explanation(
        "Fewer replicas would do, and there will be fewer if that stays so for a while.",
        "Nothing; `spec.scaling.scaleDownStabilizationSeconds` says for how long.",
    ),
    Reason.AT_MAX_REPLICAS: Explanation(
        "The objectives need more replicas than are allowed.",
        "Raise `spec.scaling.maxReplicas`, or relax the objectives.",
    ),
    Reason.NO_ROOM: Explanation(
        "Replicas that were asked for wait for a node, so no more are asked for.",
        "Add nodes of the type, or wait: after `spec.progressDeadlineSeconds` another node type "
        "gets its turn.",
    ),
    Reason.REPLICAS_DO_NOT_START: Explanation(
        "Replicas that were asked for do not start, so no more are asked for.",
        "The message says what keeps them: a quota, an image, a node.",
    ),
    Reason.OTHER_AUTOSCALER: Explanation(
        "Somebody set `spec.replicas` within the last hour, as an HPA or KEDA does, though "
        "Ferryman scales the model: that number is not followed.",
        "Have one owner: delete the HorizontalPodAutoscaler or ScaledObject, or remove "
        "`spec.scaling`.",
    ),
}
