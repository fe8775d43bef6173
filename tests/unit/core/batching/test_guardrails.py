from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.batching import Guardrails
from ferryman.api.conditions import Reason
from ferryman.core.batching.guardrails import prune, refuse_reload
from tests.factories import NOW, at

RULES = Guardrails(min_seconds_between_reloads=60, max_reloads_per_hour=3)


@pytest.mark.parametrize(
    "reloads",
    [
        pytest.param((), id="none yet"),
        pytest.param((at(-60),), id="the interval has just passed"),
        pytest.param((at(-60), at(-1800)), id="one left in the budget"),
        pytest.param((at(-60), at(-1800), at(-3600)), id="the oldest is an hour old"),
    ],
)
def test_a_reload_may_happen(reloads):
    assert refuse_reload(RULES, reloads, NOW) is None


@pytest.mark.parametrize(
    ("reloads", "reason", "possible_in_s"),
    [
        pytest.param((at(-59),), Reason.RELOAD_INTERVAL, 1, id="too soon after the last"),
        pytest.param((at(-3000), at(-10)), Reason.RELOAD_INTERVAL, 50, id="in any order"),
        pytest.param(
            (at(-100), at(-200), at(-3500)), Reason.RELOAD_BUDGET_SPENT, 100, id="budget spent"
        ),
        pytest.param(
            (at(-10), at(-200), at(-3500)),
            Reason.RELOAD_BUDGET_SPENT,
            100,
            id="of both the budget, when it binds longer",
        ),
        pytest.param(
            (at(-10), at(-200), at(-3595)),
            Reason.RELOAD_INTERVAL,
            50,
            id="of both the interval, when it binds longer",
        ),
        pytest.param(
            (at(-100), at(-200), at(-300), at(-3500)),
            Reason.RELOAD_BUDGET_SPENT,
            3300,
            id="overspent (rollbacks count): room only when two are left within the hour",
        ),
    ],
)
def test_a_reload_must_wait(reloads, reason, possible_in_s):
    refusal = refuse_reload(RULES, reloads, NOW)
    assert refusal.reason == reason
    assert refusal.possible_at == NOW + timedelta(seconds=possible_in_s)
    assert refusal.message.endswith(f"the next is possible at {at(possible_in_s)}")


def test_a_budget_of_zero_forbids_reloads_for_ever():
    refusal = refuse_reload(Guardrails(max_reloads_per_hour=0), (), NOW)
    assert (refusal.reason, refusal.possible_at) == (Reason.RELOAD_BUDGET_SPENT, None)
    assert "maxReloadsPerHour is 0" in refusal.message


def test_an_interval_longer_than_an_hour_counts_after_pruning():
    rules = Guardrails(min_seconds_between_reloads=7200, max_reloads_per_hour=3)
    refusal = refuse_reload(rules, prune((at(-3700),), NOW), NOW)
    assert (refusal.reason, refusal.possible_at) == (
        Reason.RELOAD_INTERVAL,
        NOW + timedelta(seconds=3500),
    )


def test_prune_keeps_what_a_limit_can_still_count():
    assert prune((at(-1), at(-3599), at(-3600), at(-9999)), NOW) == (at(-1), at(-3599))
    assert prune((at(-9999), at(-7200)), NOW) == (at(-7200),)
    assert prune((), NOW) == ()


def test_what_is_no_time_is_an_error():
    with pytest.raises(ValueError, match="yesterday"):
        refuse_reload(RULES, ("yesterday",), NOW)


@given(
    st.lists(st.integers(min_value=0, max_value=4000), max_size=8),
    st.integers(min_value=1, max_value=4),
    st.integers(min_value=0, max_value=900),
)
def test_at_the_time_named_the_reload_is_possible_and_a_second_before_it_is_not(
    ages_s, budget, interval_s
):
    rules = Guardrails(min_seconds_between_reloads=interval_s, max_reloads_per_hour=budget)
    reloads = tuple(at(-age_s) for age_s in ages_s)
    refusal = refuse_reload(rules, reloads, NOW)
    if refusal is not None:
        assert refusal.possible_at > NOW
        assert refuse_reload(rules, reloads, refusal.possible_at) is None
        just_before = refusal.possible_at - timedelta(seconds=1)
        assert refuse_reload(rules, reloads, just_before) is not None


@pytest.mark.parametrize(
    "reloads",
    [
        pytest.param((at(-1),), id="the interval"),
        pytest.param((at(-1), at(-200), at(-3500)), id="a budget that is spent"),
    ],
)
def test_a_rollback_does_not_wait_for(reloads):
    assert refuse_reload(RULES, reloads, NOW, rollback=True) is None


def test_where_reloads_are_forbidden_a_rollback_is_one_too():
    refusal = refuse_reload(RULES.with_(max_reloads_per_hour=0), (), NOW, rollback=True)
    assert refusal is not None
    assert refusal.reason == Reason.RELOAD_BUDGET_SPENT


def test_what_is_urgent_need_not_keep_the_interval_but_the_budget():
    guardrails = Guardrails(min_seconds_between_reloads=60, max_reloads_per_hour=2)
    assert refuse_reload(guardrails, (at(-5),), NOW, urgent=True) is None
    refused = refuse_reload(guardrails, (at(-5), at(-50)), NOW, urgent=True)
    assert refused is not None
    assert refused.reason == Reason.RELOAD_BUDGET_SPENT
