import pytest

from ferryman.core.balancing.demand import Asked
from ferryman.core.balancing.state import BalancingTrial, Ceiling
from ferryman.core.balancing.verification import (
    brought_something,
    is_reached,
    judged,
    settled,
    standing,
)
from tests.unit.core.balancing.windows import applied

BEFORE, AFTER = applied(recognise=1), applied(recognise=2)
#: On the busy machine: 0.7 requests a second, five of them under way.
TRIAL = BalancingTrial(BEFORE, AFTER, served_per_s=0.7, in_flight=5.0, predicted_per_s=1.4)
SLOWER = {"recognise": 0.77, "detect": 0.05}
CEILING = Ceiling(0.7, offered_per_s=0.7, in_flight=5.0)


def seen(served=0.7, *, offered=None, in_flight=5.0):
    return Asked(served, served if offered is None else offered, served, in_flight, ())


def test_a_second_recogniser_that_slows_both_down_is_taken_back():
    """Of a real run: 0.7 requests a second became 0.6, and a batch took 2.8 s instead of 1.3."""
    found = judged(TRIAL, seen(0.6), SLOWER, alone_s=2.0)
    assert found.slowed == ("recognise",)
    assert found.ceiling == Ceiling(0.7, 0.6, 5.0)
    assert not brought_something(TRIAL, seen(0.6))


@pytest.mark.parametrize(
    ("now", "errors", "alone_s"),
    [
        pytest.param(seen(1.3), SLOWER, 2.0, id="it brought nearly all that was predicted"),
        pytest.param(seen(0.6), {"recognise": 0.05}, 2.0, id="nothing is slowed down"),
        pytest.param(seen(0.6, in_flight=1.0), SLOWER, 2.0, id="clients ask for no more"),
        pytest.param(seen(0.7, in_flight=2.0), SLOWER, 2.0, id="as many, in far less time"),
    ],
)
def test_what_may_stay(now, errors, alone_s):
    assert judged(TRIAL, now, errors, alone_s) is None


def test_a_part_of_what_was_predicted_is_a_ceiling_too():
    found = judged(TRIAL, seen(0.9), SLOWER, alone_s=2.0)
    assert found.ceiling.rate_per_s == 0.9
    assert brought_something(TRIAL, seen(0.9))


def test_a_change_that_was_not_made_is_not_judged():
    assert settled(TRIAL, AFTER) == TRIAL
    assert settled(TRIAL, BEFORE) is None
    assert settled(None, BEFORE) is None


@pytest.mark.parametrize(
    ("now", "drifted", "rate_per_s"),
    [
        pytest.param(seen(0.7), False, 0.7, id="the same load: it stands"),
        pytest.param(seen(0.9), False, 0.8, id="more is served: half way up"),
        pytest.param(seen(0.7), True, 0.7, id="steps vary, and it is reached all the same"),
        pytest.param(seen(0.3), True, None, id="a step changed, and it is no longer reached"),
        pytest.param(seen(0.7, offered=2.0), False, 0.7, id="more is asked, as much under way"),
        pytest.param(seen(0.7, in_flight=50.0), False, 0.7, id="more under way, as much asked"),
        pytest.param(seen(0.7, offered=2.0, in_flight=50.0), False, None, id="another load"),
        pytest.param(seen(0.2, in_flight=1.0), False, None, id="a smaller one"),
    ],
)
def test_how_long_a_ceiling_stands(now, drifted, rate_per_s):
    found = standing(CEILING, now, drifted=drifted)
    assert (found.rate_per_s if found else None) == pytest.approx(rate_per_s)


def test_no_ceiling_stays_none():
    assert standing(None, seen(), drifted=False) is None


def test_when_a_ceiling_is_reached():
    assert is_reached(CEILING, seen(0.62))
    assert not is_reached(CEILING, seen(0.5))
