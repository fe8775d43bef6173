"""What a window says of the replicas that are needed."""

import pytest

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus
from ferryman.core.batching import desired
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas
from ferryman.core.tuners.protocol import Decision
from tests.factories import NOW, window


def word(reason, needs=ENOUGH):
    return Decision(Batching(max_batch_size=4), reason, "", None, needs=needs)


NOBODY = {"requests": 0, "inferences": 0, "service_times": {}}
FEW = {"requests": 5, "inferences": 5, "service_times": {1: (5, 100.0)}}
MANY = {"requests": 9, "inferences": 9, "service_times": {1: (9, 900.0)}}


@pytest.mark.parametrize(
    ("given_word", "fields", "needs"),
    [
        pytest.param(word(Reason.MET, Enough(2)), {}, Enough(2), id="the tuner's word"),
        pytest.param(word(Reason.NO_TRAFFIC), NOBODY, Enough(1), id="nobody asks: one is enough"),
        pytest.param(word(Reason.OBSERVING), FEW, Enough(1), id="hardly anybody: likewise"),
        pytest.param(word(Reason.OBSERVING), MANY, None, id="few, but they take long: unknown"),
        pytest.param(word(Reason.OBSERVING), {**FEW, "pending": 3}, None, id="some wait: unknown"),
        pytest.param(
            word(Reason.OBSERVING), {**FEW, "service_times": {}}, None, id="no times: unknown"
        ),
        pytest.param(
            word(Reason.NO_TRAFFIC), {**NOBODY, "failures": 4}, ENOUGH, id="all failed: as many"
        ),
    ],
)
def test_what_a_window_says(given_word, fields, needs):
    assert desired.said(given_word, window(seconds=30.0, **fields)) == needs


def test_a_word_is_taken_down_and_too_few_requests_leave_what_was_said():
    after = desired.noted(
        BatchingStatus(desired_replicas=2),
        word(Reason.NEEDS_CAPACITY, Replicas(3)),
        window(),
        2,
        now=NOW,
    )
    assert (after.needed_replicas, after.desired_replicas) == (3, 3)
    later = desired.noted(after, word(Reason.OBSERVING), window(**MANY), 2, now=NOW)
    assert later == after
