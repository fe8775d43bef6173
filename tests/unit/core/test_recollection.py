"""What is known of a model when an operator starts."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus
from ferryman.core.recollection import recalled
from ferryman.core.tuner_state import TunerState
from tests.factories import at


def change(bound, reason=Reason.PREDICTED_TO_MEET, outcome="Applied"):
    return BatchingChange(
        time=at(),
        before=Batching(max_batch_size=1),
        after=Batching(max_batch_size=bound),
        actuator="Reload",
        reason=reason,
        message="m",
        outcome=outcome,
    )


def failed(bound, outcome="Applied"):
    return change(bound, Reason.BATCH_TOO_LARGE, outcome)


@pytest.mark.parametrize(
    ("newest_first", "safe_bound"),
    [
        pytest.param((), None, id="nothing was changed"),
        pytest.param((change(8), change(64)), None, id="no batch failed"),
        pytest.param((failed(16), change(64)), 16, id="a batch failed"),
        pytest.param((change(8), change(16), failed(16)), 16, id="and it went on below"),
        pytest.param((failed(4), change(8), failed(16)), 4, id="a smaller one failed later"),
        pytest.param((change(32), failed(16)), None, id="a larger one was applied later"),
        pytest.param((change(8), change(32), failed(16)), None, id="and left again"),
        pytest.param((failed(8), change(32), failed(4)), 8, id="the latest word counts"),
        pytest.param((change(32, outcome="Refused"), failed(16)), 16, id="that one was refused"),
        pytest.param((failed(16, outcome="Refused"),), None, id="going back was refused"),
        pytest.param((failed(8, "Interrupted"), failed(16)), 16, id="going back was interrupted"),
    ],
)
def test_the_largest_safe_batch_is_recalled_and_nothing_else(newest_first, safe_bound):
    state = recalled(BatchingStatus(changes=newest_first))

    assert state.learned.safe_bound == safe_bound
    if safe_bound is None:
        assert state == TunerState()
