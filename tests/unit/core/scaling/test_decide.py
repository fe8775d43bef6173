"""How many replicas there are to be: each rule, and what holds of every answer."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingStatus, InferenceModelStatus
from ferryman.api.scaling import ScalingSpec
from ferryman.core.scaling.decide import LIMITING, MAX_CHANGES, decide, is_limited, of_model
from ferryman.core.snapshot import ServingState
from tests.factories import NOW, at, model
from tests.unit.core.scaling.views import SPEC, change, standing, view

FULL = ("PodUnschedulable", "0/3 nodes are available")
BROKEN = ("ImageNotAvailable", "the image cannot be pulled")
SPREAD = ScalingSpec(min_replicas=2, max_replicas=5)


@pytest.mark.parametrize(
    ("given_view", "replicas", "reason"),
    [
        pytest.param(view(3, 3), 3, Reason.AS_NEEDED, id="as many as are needed"),
        pytest.param(view(2, 4), 4, Reason.MORE_NEEDED, id="more: at once, as many as are needed"),
        pytest.param(view(2, 9), 5, Reason.MORE_NEEDED, id="no more than are allowed"),
        pytest.param(view(5, 9), 5, Reason.AT_MAX_REPLICAS, id="there are as many as are allowed"),
        pytest.param(
            view(2, 4, ready=1), 4, Reason.MORE_NEEDED, id="more, though others still start"
        ),
        pytest.param(view(3, 4, ready=2, problem=FULL), 3, Reason.NO_ROOM, id="no room for more"),
        pytest.param(
            view(3, 3, ready=2, problem=FULL), 3, Reason.NO_ROOM, id="nor for what is needed"
        ),
        pytest.param(
            view(3, 4, ready=2, problem=BROKEN),
            3,
            Reason.REPLICAS_DO_NOT_START,
            id="they do not start",
        ),
        pytest.param(
            view(3, 4, problem=BROKEN), 4, Reason.MORE_NEEDED, id="all serve, whatever else fails"
        ),
        pytest.param(
            view(3, 2, ready=2, problem=FULL),
            2,
            Reason.FEWER_SUFFICE,
            id="what finds no room, and is not needed, goes",
        ),
        pytest.param(view(3, 1), 1, Reason.FEWER_SUFFICE, id="fewer, as windows have agreed"),
        pytest.param(
            view(3, 1, spec=SPREAD), 2, Reason.FEWER_SUFFICE, id="no fewer than are allowed"
        ),
        pytest.param(
            view(2, 1, spec=SPREAD), 2, Reason.AS_NEEDED, id="as few as are allowed already"
        ),
        pytest.param(
            view(3, 2, ready=1), 3, Reason.STABILIZING, id="none goes before enough are ready"
        ),
        pytest.param(
            view(3, 2, changes=(change(2, 3, 299),)),
            3,
            Reason.STABILIZING,
            id="nor soon after a change",
        ),
        pytest.param(
            view(3, 2, changes=(change(2, 3, 300),)), 2, Reason.FEWER_SUFFICE, id="but then"
        ),
        pytest.param(view(3, 3, fewer=2), 3, Reason.STABILIZING, id="windows begin to agree"),
        pytest.param(
            view(2, 2, fewer=1, spec=SPREAD), 2, Reason.AS_NEEDED, id="on what is not allowed"
        ),
        pytest.param(view(3, None), 3, Reason.NEED_UNKNOWN, id="nothing is known"),
        pytest.param(
            view(3, 3, unattainable="too slow"), 3, Reason.NEED_UNKNOWN, id="no number would do"
        ),
        pytest.param(view(2, 1, was=1, spec=SPREAD), 2, Reason.WITHIN_BOUNDS, id="a bound moved"),
    ],
)
def test_a_decision(given_view, replicas, reason):
    found = decide(given_view)
    assert (found.replicas, found.reason) == (replicas, reason)
    assert is_limited(found) == (reason in LIMITING)


@pytest.mark.parametrize(
    ("given_view", "words"),
    [
        pytest.param(view(2, 9), "no batching of 2 replicas meets the objectives, 9 would", id="1"),
        pytest.param(view(5, 9), "raise spec.scaling.maxReplicas", id="2"),
        pytest.param(view(3, 3, ready=2, problem=FULL), "0/3 nodes are available", id="3"),
        pytest.param(view(3, 4, ready=2, problem=BROKEN), "cannot be pulled", id="4"),
        pytest.param(view(3, 3, fewer=2), f"2 would do since {at(-60)}", id="6"),
        pytest.param(view(1, 1), "no more than 1 replica are needed, and no fewer", id="7"),
    ],
)
def test_it_says_why_not_more_and_why_not_fewer(given_view, words):
    assert words in decide(given_view).message


def test_each_change_is_written_down_and_nothing_else():
    first = decide(view(2, 4))
    assert [(each.before, each.after) for each in first.changes] == [(2, 4)]
    assert decide(view(4, 4, status=first)).changes == first.changes


def test_no_more_changes_are_kept_than_the_api_allows():
    many = tuple(change(2, 3, 4000 + age) for age in range(MAX_CHANGES))
    assert len(decide(view(2, 4, changes=many)).changes) == MAX_CHANGES


def test_without_a_decision_of_before_it_begins_at_what_is_stated():
    found = decide(view(3, 4, status=None))
    assert (found.replicas, found.changes[0].before) == (4, 3)


def status_of(scaling):
    return InferenceModelStatus(scaling=scaling)


@pytest.mark.parametrize(
    ("stated", "scaling", "status", "replicas"),
    [
        pytest.param(7, None, None, 7, id="without scaling: as stated"),
        pytest.param(7, None, standing(3), 7, id="whatever was chosen before"),
        pytest.param(7, SPEC, None, 5, id="it begins at what is stated, within the bounds"),
        pytest.param(1, SPREAD, None, 2, id="likewise below"),
        pytest.param(1, SPEC, standing(3), 3, id="then as it was chosen"),
        pytest.param(1, SPEC, standing(9), 5, id="within the bounds"),
        pytest.param(0, SPEC, standing(3), 0, id="none where none is asked for"),
    ],
)
def test_the_replicas_of_a_model(stated, scaling, status, replicas):
    found = model(replicas=stated, scaling=scaling, status=status_of(status))
    assert found.replicas == replicas


def test_nothing_is_decided_of_a_model_that_others_scale():
    found = of_model(model(), BatchingStatus(), ServingState(), NOW)
    assert found is None


def test_a_model_that_is_stopped_goes_on_where_it_stopped():
    stopped = model(replicas=0, scaling=SPEC, status=status_of(standing(3)))
    assert of_model(stopped, BatchingStatus(desired_replicas=1), ServingState(), NOW) == standing(3)


@pytest.mark.parametrize(
    ("known", "contested_s_ago", "stated", "contested"),
    [
        pytest.param(None, None, 4, None, id="nothing was seen before"),
        pytest.param(4, None, 4, None, id="nobody set it"),
        pytest.param(2, None, 4, at(), id="somebody set it"),
        pytest.param(4, 3_599, 4, at(-3_599), id="which is told for an hour"),
        pytest.param(4, 3_600, 4, None, id="and no longer"),
        pytest.param(2, 3_000, 4, at(), id="and again"),
    ],
)
def test_who_else_sets_the_number_is_noticed_and_not_followed(
    known, contested_s_ago, stated, contested
):
    since = None if contested_s_ago is None else at(-contested_s_ago)
    before = standing(3).with_(stated_replicas=known, contested_at=since)
    found = decide(view(3, 3, status=before, stated=stated))
    assert (found.replicas, found.stated_replicas, found.contested_at) == (3, stated, contested)


NEEDS = st.one_of(st.none(), st.integers(1, 12))
STEPS = st.lists(st.tuples(NEEDS, st.booleans(), st.integers(1, 9)), min_size=1, max_size=80)


@given(STEPS, st.integers(1, 4), st.integers(0, 4))
def test_whatever_windows_say_the_number_keeps_its_promises(steps, least, more):
    """Told by a history of needs, half a minute apart; held against the promises themselves."""
    spec = ScalingSpec(min_replicas=least, max_replicas=least + more)
    status, replicas, went_down = None, least, None
    for index, (needed, all_ready, stated) in enumerate(steps):
        now = NOW + timedelta(seconds=30 * index)
        ready = replicas if all_ready else 0
        given_view = view(
            replicas, needed, ready=ready, spec=spec, status=status, now=now, stated=stated
        )
        status = decide(given_view)
        after = status.replicas
        assert spec.min_replicas <= after <= spec.max_replicas
        if needed is None:
            assert after == replicas, "unknown figures change nothing"
        elif needed > replicas:
            assert after == min(needed, spec.max_replicas), "up at once"
        elif after < replicas:
            assert all_ready
            assert after == max(needed, spec.min_replicas), "no fewer than are needed"
            assert went_down is None or now - went_down >= timedelta(minutes=5), "slowly"
        if after != replicas:
            went_down = now
        replicas = after
