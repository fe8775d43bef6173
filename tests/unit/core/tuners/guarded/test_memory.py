from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import learning, memory
from ferryman.core.tuners.guarded.decision import decide
from ferryman.core.tuners.guarded.memory import FAILING, cleared
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.state import Learned, TunerState
from tests.factories import window
from tests.unit.core.tuners.guarded.pods import (
    CONVEX,
    LATENCY,
    LINE,
    Play,
    bound,
    case,
    knowing,
    shown,
    spec,
    spoiled,
    trial,
)

RAISED = trial(bound(8), bound(32))


def failing(share, **fields):
    """Return a window in which so many of 1,000 requests failed, and batches of 4 ran."""
    asked = 1000
    failures = round(share * asked)
    return window(requests=asked - failures, failures=failures, arrived=((1.0, asked),), **fields)


def too_large(applied, seen, *, asked=None, **known):
    """Look at a window of a model of which batches up to 8 were run."""
    before = Learned(**{"service": knowing(), **known})
    taught = TunerState(learned=learning.after(before, applied, seen))
    return memory.too_large(replace(case(applied, seen, asked=asked), state=taught), before)


# Requests begin to fail


def test_when_requests_begin_to_fail_it_goes_back_at_once_to_what_ran():
    decision = too_large(bound(32), failing(0.1), trial=RAISED)
    assert (decision.reason, decision.batching) == (Reason.BATCH_TOO_LARGE, bound(8))
    assert decision.message == (
        "10% of the requests failed with batches up to 32: back to 8, the largest that ran"
    )
    learned = decision.state.learned
    assert (learned.safe_bound, learned.suspected) == (8, pytest.approx(0.1))
    assert (learned.trial, learned.evaluation) == (None, None)


def test_a_step_back_that_must_wait_leaves_the_failures_new():
    refused = too_large(bound(32), failing(0.1), trial=RAISED).if_refused.learned
    assert (refused.safe_bound, refused.suspected, refused.trial) == (None, None, RAISED)
    assert refused.failing == 0


def test_a_step_back_that_must_wait_is_asked_for_again():
    """The share that fails does not rise further while nothing is done about it."""
    first = decide(spec(), LATENCY, bound(32), failing(0.1), _state(trial=RAISED))
    again = decide(spec(), LATENCY, bound(32), failing(0.1), first.if_refused)
    assert (first.reason, again.reason) == (Reason.BATCH_TOO_LARGE, Reason.BATCH_TOO_LARGE)


def _state(**known):
    return TunerState(learned=Learned(**{"service": knowing(), **known}))


@pytest.mark.parametrize(
    ("known", "fields", "safe"),
    [
        pytest.param({}, {}, 8, id="the largest that ever ran"),
        pytest.param({}, {"service_times": {20: (40, 25.0)}}, 20, id="it ran in this window"),
        pytest.param({"trial": RAISED}, {"service_times": {20: (40, 25.0)}}, 20, id="more than 8"),
        pytest.param({"trial": trial(bound(16), bound(32))}, {}, 16, id="where it came from"),
        pytest.param({"trial": trial(bound(64), bound(32))}, {}, 8, id="it was not raised"),
        pytest.param(
            {"service": ServiceTimes()}, {"service_times": {}}, 16, id="none: half the bound"
        ),
    ],
)
def test_where_it_goes_back_to(known, fields, safe):
    decision = too_large(bound(32), failing(0.1, **fields), **known)
    assert decision.batching == bound(safe)
    assert decision.state.learned.safe_bound == safe


def test_even_if_every_request_fails():
    seen = failing(1.0, service_times={}, mean_latency_ms=None, latency_ms=None)
    assert too_large(bound(32), seen, trial=RAISED).batching == bound(8)


def test_it_goes_back_no_further_than_the_limits():
    decision = too_large(bound(32), failing(0.1), asked=spec(bound=(12, 32)))
    assert decision.batching == bound(12)


def test_preferred_sizes_beyond_a_safe_bound_are_dropped():
    applied = bound(32, preferred_batch_size=(4, 16))
    decision = too_large(applied, failing(0.1), trial=trial(bound(8), applied))
    assert decision.batching == bound(8, preferred_batch_size=(4,))


@pytest.mark.parametrize(
    ("share", "known", "applied", "limits"),
    [
        pytest.param(FAILING, {}, bound(32), (1, 32), id="hardly any fail"),
        pytest.param(0.2, {"failing": 0.195}, bound(32), (1, 32), id="hardly more than before"),
        pytest.param(0.2, {"failing": 0.6}, bound(32), (1, 32), id="fewer than before"),
        pytest.param(0.2, {}, bound(1), (1, 32), id="there is nothing smaller"),
        pytest.param(0.2, {}, bound(16), (16, 32), id="the limits allow nothing smaller"),
        pytest.param(
            0.2,
            {},
            bound(8),
            (1, 32),
            id="batches as large as allowed did run",
        ),
        pytest.param(
            0.2,
            {},
            bound(5),
            (1, 32),
            id="even larger ones did run",
        ),
    ],
)
def test_failures_are_not_the_bounds_fault_when(share, known, applied, limits):
    assert too_large(applied, failing(share), asked=spec(bound=limits), **known) is None


# Whether that helped


SUSPECTED = Learned(safe_bound=8, suspected=0.1)


@pytest.mark.parametrize(
    ("share", "safe"),
    [
        pytest.param(0.0, 8, id="nobody fails any more: the batches were too large"),
        pytest.param(0.05, 8, id="half as many, or fewer, do"),
        pytest.param(0.06, None, id="more do: it is something else"),
        pytest.param(0.3, None, id="even more do"),
    ],
)
def test_a_window_with_smaller_batches_shows_whether_that_helped(share, safe):
    assert cleared(replace(SUSPECTED, failing=share), 8) == Learned(safe_bound=safe, failing=share)


@pytest.mark.parametrize(
    ("learned", "applied"),
    [
        pytest.param(Learned(failing=0.3), 8, id="nothing failed"),
        pytest.param(Learned(failing=0.3, safe_bound=8), 8, id="it was seen already"),
        pytest.param(replace(SUSPECTED, failing=0.3), 16, id="it did not become smaller"),
    ],
)
def test_nothing_is_settled_where(learned, applied):
    assert cleared(learned, applied) == learned


def test_a_window_without_requests_settles_nothing():
    """Else a bound that has nothing to do with it is kept for good."""
    idle = window(requests=0, inferences=0, arrived=((1.0, 0),), service_times={})
    state = _state(safe_bound=8, suspected=0.1, failing=0.1)
    state = decide(spec(), LATENCY, bound(8), idle, state).state
    state = decide(spec(), LATENCY, bound(8), failing(0.1), state).state
    assert state.learned.safe_bound is None


# Played on the twin


def memory_for(holds):
    """Let batches fail that are larger than memory holds."""

    def spoil(seen, _applied):
        ran = {size: each for size, each in seen.service_times.items() if size <= holds}
        lost = sum(size * count for size, (count, _) in seen.service_times.items() if size > holds)
        served = seen.requests - lost
        return replace(
            seen,
            service_times=ran,
            failures=lost,
            requests=served,
            inferences=served,
            inferences_per_s=served / seen.seconds,
        )

    return spoil


@settings(deadline=None, max_examples=8, derandomize=True)
@given(
    st.integers(4, 24),
    st.sampled_from([LINE, CONVEX]),
    st.lists(st.sampled_from([200, 600, 1500]), min_size=4, max_size=4),
)
def test_what_memory_cannot_hold_is_left_at_once_and_never_tried_again(holds, shape, rates):
    steps = Play(spec(), start=bound(2), shape=shape, spoil=memory_for(holds)).on(rates)
    for step in steps:
        safe = step.decision.state.learned.safe_bound
        assert safe is None or step.decision.batching.max_batch_size <= safe
        assert safe is None or safe <= holds
    failed = [step.window.failures > FAILING * (step.window.requests or 1) for step in steps]
    # What waited meanwhile is still run in batches that are too large.
    assert sum(now and not before for before, now in pairwise([False, *failed])) <= 1


def test_a_bound_is_not_taken_for_safe_before_batches_filled_it():
    """Raised to 16 and left in peace at first; when batches of 13 and more come, they fail."""
    raised = trial(bound(4), bound(16))
    calm = shown(bound(16), 200)
    after_calm = decide(spec(), LATENCY, bound(16), calm, _state(trial=raised)).state
    busy = memory_for(12)(shown(bound(16), 750, ended_at_s=20.0), bound(16))
    assert busy.failures > FAILING * busy.requests
    decision = decide(spec(), LATENCY, bound(16), busy, after_calm)
    assert (decision.reason, decision.batching) == (Reason.BATCH_TOO_LARGE, bound(12))


def test_clients_whose_requests_are_invalid_do_not_drive_the_bound_to_one():
    """2 % fail at every bound: then the bound is not what they fail of."""
    steps = Play(spec(), start=bound(32), spoil=spoiled(0.02)).on(200, windows=10)
    learned = steps[-1].decision.state.learned
    assert (learned.safe_bound, learned.suspected) == (None, None)
    assert steps[-1].decision.batching.max_batch_size >= 4


def test_neither_do_those_who_come_and_go():
    steps = Play(spec(), start=bound(32), spoil=spoiled(0.05, every=2)).on(300, windows=12)
    ran = max(steps[-1].decision.state.learned.service.sizes)
    assert steps[-1].decision.batching.max_batch_size >= ran - 1


# Failures that may be rejections


@pytest.mark.parametrize(
    ("timeout_us", "reason"),
    [
        pytest.param(20_000, None, id="under a queue timeout they say nothing of the batches"),
        pytest.param(0, Reason.BATCH_TOO_LARGE, id="without one nothing can have been rejected"),
    ],
)
def test_failures_that_may_be_rejections_are_not_taken_for_batches_that_do_not_fit(
    timeout_us, reason
):
    applied = bound(32, default_timeout_microseconds=timeout_us)
    seen = learning.told_apart(applied, failing(0.3, rejected=None))
    decision = too_large(applied, seen, trial=RAISED)
    assert (decision and decision.reason) == reason


def test_nor_do_they_hide_failures_that_begin_later():
    policed = bound(32, default_timeout_microseconds=20_000)
    learned = learning.after(Learned(failing=0.02), policed, failing(0.3, rejected=None))
    assert learned.failing == 0.02
