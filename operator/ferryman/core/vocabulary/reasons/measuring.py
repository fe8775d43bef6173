"""What came of measuring a model's service times before its clients came."""

from collections.abc import Mapping
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.core.vocabulary.reasons.explanation import Explanation

_AGAIN: Final = "set `spec.batching.warmStart` to `Never`, then to `Benchmark` again"

REASONS: Final[Mapping[str, Explanation]] = {
    Reason.MEASURING: Explanation(
        "The model's service times are being measured on one of its pods, for half a minute at "
        "most. Whoever asks it meanwhile is answered, and ends the measurement."
    ),
    Reason.MEASURED: Explanation("Tuning begins with service times that were measured."),
    Reason.CLIENTS_ASK: Explanation(
        "Clients sent requests, so that none were sent to measure; theirs tell as much.",
    ),
    Reason.INPUTS_UNKNOWN: Explanation(
        "No requests can be drawn for the model: what its inputs look like is not known.",
        "State a usual one in `spec.model.config.model_warmup`, as the message says.",
    ),
    Reason.REQUESTS_TOO_LARGE: Explanation(
        "Requests of larger batches take more bytes than are sent to measure."
    ),
    Reason.REQUESTS_REFUSED: Explanation(
        "Triton or the model refused requests with drawn values.",
        "Where memory is the reason lower `spec.batching.limits.maxBatchSize.max`. Where the model "
        "takes values of a kind only, nothing is wrong: it is tuned by its clients' requests.",
    ),
    Reason.TIME_UP: Explanation(
        "Batches take so long that the time for measuring ended before the largest."
    ),
    Reason.MEASUREMENT_INTERRUPTED: Explanation(
        "The operator, the pod or the load of the model ended before the measurement did, or "
        "Triton's metrics page could not be read.",
        f"To have it measured once more {_AGAIN}.",
    ),
    Reason.NOTHING_TO_MEASURE: Explanation(
        "Nothing of the model's batching is tuned that service times would tell of."
    ),
}
