"""Who leads: the one that renews, until its Lease has looked the same for as long as it lasts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.core.election import (
    LEASE_S,
    RENEW_EVERY_S,
    WRITES_FOR_S,
    Lease,
    Sighting,
    claimed,
)

NOW = datetime(2026, 11, 30, 12, 0, 0, 250_000, tzinfo=UTC)


def manifest(version="1", **spec):
    return {"metadata": {"resourceVersion": version}, "spec": spec}


def test_a_lease_is_read_as_its_holder_wrote_it():
    spec = claimed(None, "one", NOW)
    assert Lease.of(manifest("7", **spec)) == Lease(
        "one", "2026-11-30T12:00:00.250000Z", float(LEASE_S), 0, "7"
    )


@pytest.mark.parametrize("empty", [{}, {"spec": None}])
def test_a_lease_without_a_word_is_nobodys(empty):
    lease = Lease.of({"metadata": {"resourceVersion": "1"}} | empty)
    assert (lease.holder, lease.duration_s) == ("", float(LEASE_S))


@pytest.mark.parametrize(
    ("holder", "transitions", "acquired"),
    [
        pytest.param("one", 3, False, id="renewed"),
        pytest.param("two", 4, True, id="taken from another"),
        pytest.param("", 4, True, id="taken from nobody"),
    ],
)
def test_a_claim_says_when_and_whether_the_holder_changed(holder, transitions, acquired):
    spec = claimed(Lease(holder, "", 15.0, 3, "1"), "one", NOW)
    assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("one", transitions)
    assert ("acquireTime" in spec) is acquired


@pytest.mark.parametrize(
    ("holder", "age_s", "taken"),
    [
        pytest.param("", 0.0, True, id="given back"),
        pytest.param("me", 0.0, True, id="mine already"),
        pytest.param("other", 14.9, False, id="another's"),
        pytest.param("other", 15.0, True, id="lapsed"),
    ],
)
def test_a_lease_is_taken_when_it_is_free(holder, age_s, taken):
    seen = Sighting(Lease(holder, "then", 15.0, 0, "1"), 100.0)
    assert seen.may_be_taken("me", 100.0 + age_s) is taken


def test_what_changed_is_new_and_what_only_another_version_is_not():
    first = Sighting(Lease("other", "t1", 15.0, 0, "1"), 100.0)
    assert first.again(Lease("other", "t1", 15.0, 0, "2"), 110.0).since_s == 100.0
    assert first.again(Lease("other", "t2", 15.0, 0, "3"), 110.0).since_s == 110.0


@given(
    looks=st.lists(st.floats(0.0, 30.0), min_size=1, max_size=8),
    renewed_s=st.floats(0.0, 60.0),
    sent_late_s=st.floats(0.0, WRITES_FOR_S),
)
def test_nobody_takes_a_lease_while_its_holder_may_write(looks, renewed_s, sent_late_s):
    """Whenever one looks: a claim comes after the last moment at which the holder still sends."""
    lease = Lease("other", "last", float(LEASE_S), 0, "1")
    now_s, seen = renewed_s, None
    for pause_s in looks:
        now_s += pause_s
        seen = seen.again(lease, now_s) if seen else Sighting(lease, now_s)
        if seen.may_be_taken("me", now_s):
            assert now_s >= renewed_s + LEASE_S > renewed_s + sent_late_s


def test_the_margins_fit_into_one_another():
    assert 4 * RENEW_EVERY_S < WRITES_FOR_S < LEASE_S
