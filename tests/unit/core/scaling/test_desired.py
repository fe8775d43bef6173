"""What is told of replicas over time: up at once, down when windows have agreed for a while."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.inference_model_status import (
    BatchingStatus,
    FewerReplicas,
    Lull,
    ReplicasAsked,
)
from ferryman.core.scaling import desired
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable, count
from tests.factories import NOW, at

NO_NUMBER = Unattainable("a batch of one takes too long")


def after_window(before, needs, present, *arguments):
    return desired.after_window(before, count(needs, present), present, *arguments)


def status(replicas=None, *, fewer=None, seconds_ago=0, lower=(), lulls=()):
    """Return what was said: ``lower`` holds (replicas, seconds ago) likewise."""
    since = None
    if fewer is not None:
        after = tuple(ReplicasAsked(replicas=n, since=at(-s)) for n, s in lower)
        since = FewerReplicas(replicas=fewer, since=at(-seconds_ago), lower=after)
    return BatchingStatus(desired_replicas=replicas, fewer_replicas=since, lulls=lulls)


def lull(replicas, since_s_ago, until_s_ago=None):
    until = None if until_s_ago is None else at(-until_s_ago)
    return Lull(replicas=replicas, since=at(-since_s_ago), until=until)


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
            status(4, fewer=2, seconds_ago=300),
            Enough(2),
            4,
            status(2, lulls=(lull(2, 300),)),
            id="but then they count",
        ),
        pytest.param(
            status(4, fewer=2, seconds_ago=299),
            Replicas(3),
            4,
            status(4, fewer=3, seconds_ago=299),
            id="the largest number that was said meanwhile counts",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=400),
            Enough(1),
            4,
            status(4, fewer=3, seconds_ago=400, lower=[(1, 0)]),
            id="a number that goes on to fall is waited for",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=599, lower=[(2, 320), (1, 299)]),
            Enough(1),
            4,
            status(4, fewer=3, seconds_ago=599, lower=[(2, 320), (1, 299)]),
            id="until it stays",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=500, lower=[(2, 320), (1, 300)]),
            Enough(1),
            4,
            status(1, lulls=(lull(1, 500),)),
            id="and then it is gone down to at once",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=600, lower=[(2, 320), (1, 200)]),
            Enough(1),
            4,
            status(2, fewer=1, seconds_ago=200, lulls=(lull(2, 600),)),
            id="one that falls for long is followed, not to its latest value",
        ),
        pytest.param(
            status(4, fewer=3, seconds_ago=500, lower=[(1, 200)]),
            Enough(2),
            4,
            status(4, fewer=3, seconds_ago=500, lower=[(2, 200)]),
            id="more than the lowest",
        ),
        pytest.param(
            status(2, fewer=1, seconds_ago=200),
            Enough(4),
            4,
            status(4, lulls=(lull(1, 200, 0),)),
            id="one that asks for all: the lull is over",
        ),
        pytest.param(
            status(4, fewer=2, seconds_ago=700, lulls=(lull(4, 2_000, 1_600),)),
            Enough(2),
            4,
            status(4, fewer=2, seconds_ago=700, lulls=(lull(4, 2_000, 1_600),)),
            id="fewer would do no longer than after a lull of before, as far as is known",
        ),
        pytest.param(
            status(2, lulls=(lull(2, 500),)),
            Replicas(3),
            2,
            status(3, lulls=(lull(2, 500, 0),)),
            id="fewer were too few: that was a lull",
        ),
        pytest.param(
            status(2), Enough(2), 4, status(2), id="those that an autoscaler has yet to take away"
        ),
    ],
)
def test_after_a_window(before, said, present, after):
    assert after_window(before, said, present, NOW) == after


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


SAYS = st.sampled_from([ENOUGH, NO_NUMBER, *(Enough(n) for n in (1, 2, 3, 4)), Replicas(5)])


@given(
    st.lists(st.tuples(SAYS, st.integers(1, 200)), min_size=1, max_size=80),
    st.sampled_from([30, 300, 1_800]),
)
def test_a_lower_number_has_been_agreed_on_for_as_long_as_is_held(said, least_s):
    """Of a model of three, whatever windows say and whenever.

    Held against all that was ever said: a number that is gone down to is the largest of the time
    that is held, and never another one lower than any window asked for in that time.
    """
    asked, found, now_s = [], status(), 0
    for needs, seconds in said:
        now_s += seconds
        now = NOW + timedelta(seconds=now_s)
        before = found.desired_replicas
        found = after_window(found, needs, 3, now, timedelta(seconds=least_s))
        asked.append((now_s, {ENOUGH: 3, NO_NUMBER: 3}.get(needs, getattr(needs, "replicas", 5))))
        lately = [number for at_s, number in asked if at_s > now_s - least_s]
        assert found.desired_replicas >= max(lately)
        assert found.desired_replicas <= max(3, *(number for _, number in asked))
        if before is not None and found.desired_replicas < before:
            since_s = max((at_s for at_s, n in asked if n >= before), default=0)
            assert now_s - since_s >= least_s
        known = found.fewer_replicas
        steps = [] if known is None else [known, *known.lower]
        numbers = [found.desired_replicas, *(step.replicas for step in steps)]
        assert numbers == sorted(set(numbers), reverse=True)
