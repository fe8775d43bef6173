"""What an autoscaler is told: up at once, down when windows have agreed for a while."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus, FewerReplicas
from ferryman.core.batching import desired
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable
from ferryman.core.tuners.protocol import Decision
from tests.factories import NOW, at, window

NO_NUMBER = Unattainable("a batch of one takes too long")


def status(replicas=None, *, fewer=None, seconds_ago=0):
    since = None if fewer is None else FewerReplicas(replicas=fewer, since=at(-seconds_ago))
    return BatchingStatus(desired_replicas=replicas, fewer_replicas=since)


@pytest.mark.parametrize(
    ("before", "said", "present", "after"),
    [
        pytest.param(status(), ENOUGH, 2, status(2), id="it begins at the present number"),
        pytest.param(status(), Enough(1), 2, status(2), id="even where fewer would do"),
        pytest.param(status(), Replicas(3), 2, status(3), id="or at what is needed"),
        pytest.param(status(2), Replicas(5), 2, status(5), id="more: at once"),
        pytest.param(status(2), ENOUGH, 4, status(4), id="more run, and nothing says less"),
        pytest.param(status(2), NO_NUMBER, 2, status(2), id="no number would do: the present one"),
        pytest.param(status(2), ENOUGH, 0, status(2, fewer=1), id="never none"),
        pytest.param(status(4), Enough(2), 4, status(4, fewer=2), id="fewer: not at once"),
        pytest.param(
            status(4, fewer=2, seconds_ago=299),
            Enough(2),
            4,
            status(4, fewer=2, seconds_ago=299),
            id="nor while windows have agreed for less than five minutes",
        ),
        pytest.param(
            status(4, fewer=2, seconds_ago=300), Enough(2), 4, status(2), id="but then they count"
        ),
        pytest.param(
            status(4, fewer=2, seconds_ago=299),
            Replicas(3),
            4,
            status(4, fewer=3, seconds_ago=299),
            id="the largest number that was said meanwhile counts",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=400), Enough(1), 4, status(3), id="not the latest"
        ),
        pytest.param(
            status(4, fewer=2, seconds_ago=200), Enough(4), 4, status(4), id="one that asks for all"
        ),
        pytest.param(
            status(2), Enough(2), 4, status(2), id="those that an autoscaler has yet to take away"
        ),
    ],
)
def test_after_a_window(before, said, present, after):
    assert desired.after_window(before, said, present, NOW) == after


@pytest.mark.parametrize(
    ("before", "wanted", "shown"),
    [
        pytest.param(status(), 3, 3, id="nothing said: those that there are to be"),
        pytest.param(status(2), 3, 2, id="what was said"),
        pytest.param(status(2), 0, 0, id="none where none is wanted"),
    ],
)
def test_there_is_always_a_number_to_show(before, wanted, shown):
    assert desired.shown(before, wanted) == shown


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
    after = desired.noted(status(2), word(Reason.NEEDS_CAPACITY, Replicas(3)), window(), 2, now=NOW)
    assert (after.needed_replicas, after.desired_replicas) == (3, 3)
    later = desired.noted(after, word(Reason.OBSERVING), window(**MANY), 2, now=NOW)
    assert later == after


SAYS = st.sampled_from([ENOUGH, NO_NUMBER, *(Enough(n) for n in (1, 2, 3, 4)), Replicas(5)])


@given(st.lists(SAYS, min_size=1, max_size=60))
def test_it_is_never_less_than_what_was_said_lately_and_never_more_than_was_ever_said(said):
    """Whatever windows say, half a minute apart, of a model of three."""
    numbers, found = [], status()
    for index, needs in enumerate(said):
        number = {ENOUGH: 3, NO_NUMBER: 3}.get(needs, getattr(needs, "replicas", 5))
        numbers.append(number)
        now = NOW + timedelta(seconds=30 * index)
        found = desired.after_window(found, needs, 3, now)
        assert found.desired_replicas >= max(numbers[-10:])
        assert found.desired_replicas <= max(3, *numbers)
