"""How many replicas would still be enough, said while the objectives are met."""

from dataclasses import replace

import pytest

from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import search, sizing
from ferryman.core.tuners.guarded.sizing import GOOD_FOR, HEADROOM, sized
from ferryman.core.tuners.learned.service_time import ServiceTimes
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas
from tests.factories import objectives, window
from tests.unit.core.tuners.guarded.pods import bound, case, knowing

SIZES = (1, 2, 4, 8, 16, 32)


def met(rate_per_s, pods, *, latency_ms=20.0, wanted=None, **fields):
    """Return the case of pods that meet 50 ms while all of them are asked for so many requests."""
    seen = window(
        pods=pods,
        latency_ms=latency_ms,
        requests=int(10 * rate_per_s),
        inferences=int(10 * rate_per_s),
        requests_per_s=rate_per_s,
        inferences_per_s=rate_per_s,
        offered_inferences_per_s=rate_per_s,
        mean_latency_ms=10.0,
        queue_ms=2.0,
        service_times={4: (250, 9.0)},
    )
    known = {"service": knowing(SIZES), **fields}
    return case(bound(32), seen, wanted=wanted or objectives(50), **known)


def said(given, needs=ENOUGH):
    decision = sized(given, given.hold(Reason.MET, "fine", needs=needs))
    return decision.needs


@pytest.fixture
def tried(monkeypatch):
    """Take down the rates at which it is asked whether a pod would do."""
    rates, meets = [], search.meets_somehow

    def noted(question):
        rates.append(question.load.rate_per_s)
        return meets(question)

    monkeypatch.setattr(search, "meets_somehow", noted)
    return rates


@pytest.mark.parametrize(
    ("rate_per_s", "pods", "replicas"),
    [
        pytest.param(100, 4, 1, id="one of four would do"),
        pytest.param(1_000, 4, 2, id="two of four would do"),
        pytest.param(1_000, 2, 2, id="both are needed"),
        pytest.param(100, 1, 1, id="one is one"),
    ],
)
def test_the_least_number_that_would_do_is_said(rate_per_s, pods, replicas):
    assert said(met(rate_per_s, pods)) == Enough(replicas)


def test_a_number_that_would_only_just_do_is_not_said(monkeypatch):
    """Else a little more demand would ask for what was taken away."""
    given = met(580, 2)
    assert said(given) == Enough(2)
    monkeypatch.setattr(sizing, "HEADROOM", 1.0)
    assert said(given) == Enough(1)


def test_each_number_is_asked_under_its_share_of_the_raised_demand(tried):
    said(met(1_000, 4))
    assert tried[0] == pytest.approx(1_000 * HEADROOM / 2, rel=0.1)


def test_what_capacity_rules_out_is_not_tried(tried):
    """A pod serves up to 865 requests/s, by batches of 32."""
    assert said(met(1_700, 3)) == Enough(3)
    assert tried == []


def test_a_throughput_that_is_asked_of_all_is_asked_of_fewer():
    wanted = objectives(None, throughput=1_500)
    given = met(1_600, 3, wanted=wanted)
    assert given.verdict.met
    assert said(given) == Enough(3), "two would serve 1,730/s, less than it with the headroom"


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        pytest.param(met(100, 2, latency_ms=90.0), ENOUGH, id="an objective is missed"),
        pytest.param(met(100, 2, service=ServiceTimes()), ENOUGH, id="no service time is known"),
        pytest.param(met(100, 2), Replicas(3), id="more are asked for still"),
    ],
)
def test_nothing_is_said_of_fewer_where(given, needs):
    assert said(given, needs) == needs


def test_an_answer_is_good_for_some_windows_while_nothing_changed(tried):
    given = met(1_000, 4)
    for _ in range(GOOD_FOR):
        decision = sized(given, given.hold(Reason.MET, "fine"))
        given = replace(given, state=decision.state)
        assert decision.needs == Enough(2)
    once = len(tried)
    assert once == len({*tried}), "asked once"
    sized(given, given.hold(Reason.MET, "fine"))
    assert len(tried) == 2 * once, "and again after some windows"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"rate_per_s": 900.0}, id="the demand was another"),
        pytest.param({"pods": 3}, id="the number of pods was"),
        pytest.param({"service_ms": 30.0}, id="service times were"),
    ],
)
def test_what_was_found_under_other_circumstances_is_asked_again(fields, tried):
    given = met(1_000, 4)
    found = sized(given, given.hold(Reason.MET, "fine")).state.learned.sizing
    tried.clear()
    assert said(given.knowing(sizing=found)) == Enough(2)
    assert tried == [], "under the same it is not"
    said(given.knowing(sizing=replace(found, **fields)))
    assert tried
