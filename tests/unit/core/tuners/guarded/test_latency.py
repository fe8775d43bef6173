from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ferryman.api.batching import BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.core.tuners.guarded import economy, latency
from ferryman.core.tuners.guarded.improvement import MIN_HISTORY_S, economise
from ferryman.core.tuners.select import tune
from tests.factories import objectives
from tests.unit.core.tuners.guarded.pods import (
    CONVEX,
    LINE,
    Play,
    bound,
    case,
    curve,
    goal,
    knowing,
    limits,
    load,
    shown,
    spec,
    trial,
)
from tests.unit.core.tuners.guarded.pods import question as asked

FEW = settings(deadline=None, max_examples=15, derandomize=True)
LATENCY = spec(prefer="Latency")
WAITING = bound(32, max_queue_delay_microseconds=20_000)


def met(applied=WAITING, rate_per_s=100.0, *, wanted=None, asked=LATENCY, shape=LINE, **fields):
    """Return the case of a model that meets its objectives and has done so for long enough."""
    fields = {"service": knowing(shape=shape), "history_s": MIN_HISTORY_S, **fields}
    seen = shown(applied, rate_per_s, shape=shape)
    wanted = wanted or objectives(60)
    return case(applied, seen, wanted=wanted, asked=asked, **fields)


def again(given, decision):
    """Return the case of the same window once more, with what was decided remembered."""
    seen = replace(given.window, ended_at_s=given.window.ended_at_s + 10)
    return replace(given, window=seen, state=decision.state)


def test_economy_is_what_is_preferred_unless_the_user_says_otherwise():
    assert not BatchingSpec().prefers_latency
    assert BatchingSpec().sought == BatchingSpec().limits


def test_with_room_below_the_target_economy_waits_and_latency_does_not():
    """The same idle model, the same target: the delay is a matter of what is preferred."""
    ends = {}
    for prefer in ("Economy", "Latency"):
        steps = Play(spec(prefer=prefer), start=bound(32), wanted=objectives(60)).on(50, windows=12)
        ends[prefer] = steps[-1]
    economical, fast = ends["Economy"], ends["Latency"]
    assert economical.applied.max_queue_delay_microseconds > 10_000
    assert fast.applied.max_queue_delay_microseconds == 0
    assert fast.window.mean_latency_ms < economical.window.mean_latency_ms / 2


def test_a_delay_that_is_in_force_is_taken_back():
    decision = economise(met())
    assert (decision.batching, decision.reason) == (bound(32), Reason.LATENCY_PREFERRED)
    assert decision.message.startswith("prefer is Latency: batches are no longer waited for; p99")
    assert decision.state.learned.trial.after == bound(32)


def test_the_least_delay_that_the_limits_allow_is_no_waiting():
    least = spec(prefer="Latency", delay_us=(2_000, 20_000))
    decision = economise(met(asked=least))
    assert decision.batching == bound(32, max_queue_delay_microseconds=2_000)
    assert economise(met(decision.batching, asked=least)).batching == decision.batching


def test_economy_keeps_the_delay():
    assert economise(met(asked=spec())).batching == WAITING


def test_a_delay_stays_where_nothing_would_meet_the_objectives_without_it():
    """13 ms are met by the window seen, and by no configuration with a margin."""
    given = met(wanted=objectives(13), rate_per_s=300.0, applied=bound(32))
    delayed = replace(given, applied=WAITING)
    assert not given.question().predict(bound(32)).meets
    assert latency.undelayed(delayed, searched=False) is None


def test_where_the_same_bound_needs_the_delay_another_one_is_looked_for_but_not_in_each_window():
    """Batches of 32 are too dear to be filled by chance, those of some ten are not."""
    given = met(shape=CONVEX, service=knowing((1, 4, 8, 16, 32), CONVEX), rate_per_s=650.0)
    delayed = replace(given, applied=WAITING)
    failed = delayed.knowing(failed=((trial(WAITING, bound(32)), 1e9),))
    found = latency.undelayed(failed, searched=False)
    assert found.batching.max_batch_size < 32
    assert found.batching.max_queue_delay_microseconds == 0
    assert latency.undelayed(failed, searched=True) is None


def test_taking_it_back_that_failed_is_not_tried_again_while_nothing_else_is_left():
    only = spec(prefer="Latency", bound=(32, 32))
    given = met(asked=only)
    failed = given.knowing(failed=((trial(WAITING, bound(32)), 1e9),))
    assert latency.undelayed(given, searched=False).batching == bound(32)
    assert latency.undelayed(failed, searched=True) is None


def test_trend_knows_no_preference():
    fields = {"algorithm": "Trend", "limits": limits()}
    given = met()
    words = [
        tune(BatchingSpec(prefer=prefer, **fields), objectives(60), WAITING, given.window, state)
        for prefer in ("Economy", "Latency")
        for state in [given.state]
    ]
    assert words[0] == words[1]
    assert words[0].batching == WAITING


# What may still be saved


def test_an_instance_that_makes_requests_sooner_is_kept():
    """One instance fills larger batches, which cost less by the request and take longer."""
    fields = {
        "load": load(500, 2000),
        "goal": goal(200.0),
        "limits": limits(delay_us=(0, 0), instances=(1, 2)),
        "present": bound(32, instances=2),
        "seen": frozenset({1, 8, 32}),
    }
    cheap = economy.answer(asked(**fields), economical=True)
    fast = economy.answer(asked(**fields, prefers_latency=True), economical=True)
    assert cheap.best.batching.instances == 1
    assert cheap.best.mean_ms > cheap.present.mean_ms
    assert fast.best == fast.present


def test_an_instance_that_only_slows_the_other_down_is_given_up():
    """Two that share the device take twice as long each: one is cheaper, and sooner."""
    question = asked(
        curve_ms=lambda instances, most: tuple(instances * ms for ms in curve()(1, most)),
        present=bound(32, instances=2),
        limits=limits(delay_us=(0, 0), instances=(1, 2)),
        seen=frozenset({1, 8, 32}),
        prefers_latency=True,
    )
    found = economy.answer(question, economical=True)
    assert found.present.meets
    assert found.best.batching.instances == 1
    assert found.best.mean_ms < found.present.mean_ms
    assert found.saves > 0.05


def test_what_is_feared_to_be_later_is_not_done():
    question = asked(prefers_latency=True, present=bound(8))
    present, other = question.predict(bound(8)), question.predict(bound(16))
    assert latency.spared(question, other, present)
    afraid = replace(
        question,
        feared_ms=lambda _instances, most: tuple(
            ms * (1 if size <= 2 else 40) for size, ms in enumerate(curve()(1, most), 1)
        ),
        load=load(300),
    )
    small = afraid.predict(bound(2))
    assert not latency.spared(afraid, afraid.predict(bound(16)), replace(small, meets=True))


def test_a_present_that_does_not_meet_the_objectives_is_no_measure():
    question = asked(prefers_latency=True)
    slow, fast = question.predict(WAITING), question.predict(bound(8))
    assert not latency.spared(question, slow, fast)
    assert latency.spared(question, slow, replace(fast, meets=False))


# Whatever comes


@st.composite
def situations(draw):
    """Return a case, met or not, of a model that may have a delay in force."""
    least_us = draw(st.sampled_from([0, 1_000]))
    delay_us = draw(st.sampled_from([least_us, 3_000, 10_000, 20_000]))
    shape = draw(st.sampled_from([LINE, CONVEX]))
    asked_for = spec(
        prefer="Latency",
        on_overload=draw(st.sampled_from(["Queue", "Reject"])),
        delay_us=(least_us, 20_000),
        instances=(1, draw(st.integers(1, 2))),
    )
    applied = bound(draw(st.integers(1, 32)), max_queue_delay_microseconds=delay_us)
    wanted = objectives(*draw(st.sampled_from([(20,), (60,), (150, 100), (None, 50)])))
    rate = draw(st.sampled_from([30.0, 100.0, 300.0, 500.0]))
    sizes = draw(st.sampled_from([(1, 2, 4, 8), (1, 8, 16, 32)]))
    service = knowing(sizes, shape)
    return met(applied, rate, wanted=wanted, asked=asked_for, shape=shape, service=service)


@settings(FEW, max_examples=6)
@given(situations())
def test_no_delay_is_chosen_where_the_least_is_predicted_to_meet(given):
    """Neither at once nor by the second look that saving device time takes."""
    decision = tune(given.spec, given.objectives, given.applied, given.window, given.state)
    second = again(given, decision)
    later = tune(given.spec, given.objectives, given.applied, second.window, second.state)
    least_us = given.spec.limits.max_queue_delay_microseconds.min
    for word in (decision, later):
        assert word.batching.max_queue_delay_microseconds in {
            least_us,
            given.applied.max_queue_delay_microseconds,
        }
    policed = Reason.QUEUE_POLICY in {decision.reason, later.reason}
    if given.verdict.met and not policed and given.question().predict(given.undelayed).meets:
        assert decision.batching.max_queue_delay_microseconds == least_us
        assert later.batching.max_queue_delay_microseconds == least_us


@FEW
@given(situations())
def test_what_saves_device_time_makes_nothing_later(given):
    given = replace(given, applied=given.undelayed)
    question = given.question()
    found = economy.answer(question, economical=True)
    assume(found.present.meets)
    assert found.best.mean_ms <= found.present.mean_ms
    assert found.best.latency_ms <= found.present.latency_ms
    assert found.best.busy <= found.present.busy


@pytest.mark.parametrize("rate_per_s", [20, 200, 500])
def test_a_model_that_starts_without_delay_never_gets_one(rate_per_s):
    steps = Play(LATENCY, start=bound(32), wanted=objectives(60)).on(rate_per_s, windows=10)
    assert {step.decision.batching.max_queue_delay_microseconds for step in steps} == {0}
