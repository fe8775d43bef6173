"""For how long windows must agree on fewer: longer where demand comes and goes."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.inference_model_status import MAX_LULLS, Lull
from ferryman.api.scaling import ScalingSpec
from ferryman.core import timestamps
from ferryman.core.scaling.stabilization import HOLD, MEMORY, ended, hold, stated
from tests.factories import NOW, at

LEAST = timedelta(seconds=300)


def lull(since_s_ago, until_s_ago=None, replicas=2):
    until = None if until_s_ago is None else at(-until_s_ago)
    return Lull(replicas=replicas, since=at(-since_s_ago), until=until)


@pytest.mark.parametrize(
    ("lulls", "seconds"),
    [
        pytest.param((), 300, id="as stated"),
        pytest.param((lull(150, 100),), 400, id="a little longer after a short lull"),
        pytest.param((lull(500, 100),), 1_100, id="clearly longer than the last lull"),
        pytest.param((lull(1_500, 900), lull(500, 100)), 1_500, id="than the longest of them"),
        pytest.param((lull(900),), 300, id="one that goes on says nothing yet"),
        pytest.param((lull(4_200, 3_601),), 300, id="it is forgotten after an hour"),
        pytest.param((lull(2_500, 600),), 3_600, id="no longer than an hour"),
    ],
)
def test_the_wait(lulls, seconds):
    assert hold(LEAST, lulls, NOW) == timedelta(seconds=seconds)


def test_an_owner_who_states_little_waits_no_longer_than_some_times_that():
    assert hold(timedelta(seconds=30), (lull(500, 100),), NOW) == timedelta(seconds=360)


def test_an_owner_who_states_an_hour_waits_no_less():
    assert hold(MEMORY, (lull(500, 100),), NOW) == MEMORY


def test_what_is_stated():
    assert stated(ScalingSpec(max_replicas=2, scale_down_stabilization_seconds=30)) == timedelta(
        seconds=30
    )
    assert stated(None) == HOLD


@pytest.mark.parametrize(
    ("lulls", "needed", "kept"),
    [
        pytest.param(
            (lull(400),), 3, (lull(400, 0),), id="more are needed than would have done: it is over"
        ),
        pytest.param((lull(400),), 2, (lull(400),), id="no more: it goes on"),
        pytest.param((lull(1_801),), 3, (), id="it was too long to be one"),
        pytest.param((lull(1_801),), 2, (), id="or is already"),
        pytest.param((lull(900, 600), lull(400)), 3, (lull(400, 0),), id="shorter ones before go"),
        pytest.param(
            (lull(1_500, 900), lull(400)),
            3,
            (lull(1_500, 900), lull(400, 0)),
            id="longer ones stay",
        ),
        pytest.param((lull(4_400, 3_601),), 3, (), id="what is forgotten goes"),
        pytest.param(
            (lull(700, None, 2), lull(400, None, 1)),
            2,
            (lull(400, 0, 1), lull(700, None, 2)),
            id="each ends once more are needed than was gone down to",
        ),
    ],
)
def test_the_end_of_lulls(lulls, needed, kept):
    assert ended(lulls, needed, NOW) == kept


LULLS = st.lists(
    st.tuples(st.integers(0, 3_000), st.integers(0, 3_000), st.booleans(), st.integers(1, 4)),
    max_size=MAX_LULLS,
).map(
    lambda drawn: tuple(
        lull(ago + length, ago if over else None, replicas)
        for ago, length, over, replicas in sorted(drawn, reverse=True)
    )
)


@given(LULLS, st.integers(1, 5))
def test_what_is_dropped_changes_no_wait_neither_now_nor_later(lulls, needed):
    """Held against all of them, each one that can count measured by itself."""
    kept = ended(lulls, needed, NOW)
    assert len(kept) <= MAX_LULLS
    over = [
        (_seconds(each.since), 0.0 if each.until is None else _seconds(each.until))
        for each in lulls
        if each.until is not None or each.replicas < needed
    ]
    for later_s in (0, 600, 1_800, 3_500):
        lengths = [
            until_s - since_s
            for since_s, until_s in over
            if until_s - since_s <= 1_800 and later_s - until_s <= 3_600
        ]
        found = hold(LEAST, kept, NOW + timedelta(seconds=later_s))
        assert found.total_seconds() == min(300 + 2 * max(lengths, default=0), 3_600)


def _seconds(text):
    """Return how long after now a moment is; negative: before."""
    return (timestamps.parse(text) - NOW).total_seconds()
