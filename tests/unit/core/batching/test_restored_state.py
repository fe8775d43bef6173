"""What is known of a model when an operator starts."""

import pytest

from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import (
    BatchingChange,
    BatchingStatus,
    InferenceModelStatus,
    ObservedStatus,
)
from ferryman.core.batching.restored_state import recalled
from ferryman.core.tuners.state import TunerState
from tests import factories
from tests.unit.core.tuners.guarded.pods import Play, bound, spec, spoiled

GENERATION = 7


def change(
    size, reason=Reason.PREDICTED_TO_MEET, outcome="Applied", *, before=1, generation=GENERATION
):
    return BatchingChange(
        time=factories.at(),
        before=bound(before),
        after=bound(size),
        actuator="Reload",
        reason=reason,
        message="m",
        outcome=outcome,
        generation=generation,
    )


def failed(size, outcome="Applied", **fields):
    return change(size, Reason.BATCH_TOO_LARGE, outcome, before=64, **fields)


def model(*newest_first, failures=0):
    status = InferenceModelStatus(
        batching=BatchingStatus(changes=newest_first),
        observed=ObservedStatus(failed_requests=failures),
    )
    return factories.model(generation=GENERATION, status=status)


def test_of_a_model_that_never_served_nothing_is_known():
    assert recalled(factories.model()) == TunerState()


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
        pytest.param((failed(16, generation=GENERATION - 1),), None, id="of another specification"),
    ],
)
def test_the_largest_safe_batch_is_recalled_and_nothing_else(newest_first, safe_bound):
    learned = recalled(model(*newest_first)).learned

    assert (learned.safe_bound, learned.failing) == (safe_bound, 0.0)
    assert (learned.suspected is None) == (safe_bound is None)


@pytest.mark.parametrize(
    ("newest", "failures", "known"),
    [
        pytest.param((), 3, True, id="requests failed before"),
        pytest.param((), 0, False, id="none did"),
        pytest.param((change(8, before=16),), 3, True, id="also with smaller batches"),
        pytest.param((change(8, before=8),), 3, True, id="also with the same"),
        pytest.param((change(16, before=8),), 3, False, id="of larger ones they may be the fault"),
    ],
)
def test_what_failed_before_is_no_news(newest, failures, known):
    assert (recalled(model(*newest, failures=failures)).learned.failing == 1.0) == known


def restarted(seen_before, share, rate_per_s=200):
    """Let the share of requests fail at every bound, after a restart; return the decisions."""
    play = Play(spec(), start=bound(16), state=recalled(seen_before), spoil=spoiled(share))
    return [step.decision for step in play.on(rate_per_s, windows=8)]


def test_clients_whose_requests_are_invalid_change_nothing_at_a_restart():
    decisions = restarted(model(failures=20), share=0.02)
    assert Reason.BATCH_TOO_LARGE not in {decision.reason for decision in decisions}


def test_a_safe_bound_within_which_requests_fail_as_well_is_dropped():
    decisions = restarted(model(failed(16), failures=20), share=0.02)
    assert decisions[0].state.learned.safe_bound is None


def test_one_within_which_all_is_well_stays():
    decisions = restarted(model(failed(16)), share=0.0, rate_per_s=900)
    assert {decision.state.learned.safe_bound for decision in decisions} == {16}
    assert max(decision.batching.max_batch_size for decision in decisions) == 16
