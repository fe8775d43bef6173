"""When steps are cut off for speed: after a lasting gain, on trial, and not again for a day."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ferryman.api.pipelines.execution_status import CutStatus
from ferryman.core import timestamps
from ferryman.core.pipelines.cutting import trial
from ferryman.core.pipelines.cutting.trial import CutSituation, applied, decide_cut
from tests import factories

DETECT = ("detect",)


def seen(seconds=0.0, **fields):
    values = {
        "gains": DETECT,
        "gain_s": 0.05,
        "possible": {"detect", "read"},
        "answering": {"detect", "read"},
        "settled": True,
        "latency_ms": 100.0,
        "failing": False,
        "generation": 1,
        "now": factories.NOW + timedelta(seconds=seconds),
        **fields,
    }
    return CutSituation(**values)


def cut(state, **fields):
    values = {"steps": DETECT, "since": factories.at(), "generation": 1, "message": "x", **fields}
    return CutStatus(state=state, **values)


WANTED = cut("Wanted", before_milliseconds=100.0, windows=9)
TRIAL = cut("Trial", before_milliseconds=100.0, after_milliseconds=60.0, windows=9)


@pytest.mark.parametrize(
    ("before", "now", "state"),
    [
        pytest.param(None, seen(gains=()), None, id="nothing gains"),
        pytest.param(None, seen(), "Wanted", id="something does"),
        pytest.param(WANTED, seen(900, gains=()), None, id="it gains no longer"),
        pytest.param(WANTED, seen(900, gains=("read",)), "Wanted", id="others gain: from anew"),
        pytest.param(WANTED, seen(500), "Wanted", id="not for long yet"),
        pytest.param(WANTED, seen(600), "Trial", id="for long enough"),
        pytest.param(
            cut("Wanted", windows=3), seen(900), "Wanted", id="too few windows were measured"
        ),
        pytest.param(
            cut("Wanted", windows=4), seen(900, latency_ms=None), "Wanted", id="nothing is asked"
        ),
        pytest.param(WANTED, seen(900, possible=(), gains=()), None, id="it may not any more"),
        pytest.param(TRIAL, seen(30, gains=()), "Trial", id="pods are new"),
        pytest.param(TRIAL, seen(500), "Trial", id="not tried for long"),
        pytest.param(cut("Trial", windows=1), seen(900), "Trial", id="too few windows on trial"),
        pytest.param(TRIAL, seen(900, latency_ms=60.0), "Kept", id="requests are faster"),
        pytest.param(
            TRIAL.with_(after_milliseconds=99.0), seen(900, latency_ms=99.0), "TakenBack",
            id="requests are hardly faster",
        ),
        pytest.param(TRIAL, seen(30, failing=True), "TakenBack", id="requests fail"),
        pytest.param(
            TRIAL, seen(30, failing=True, settled=False), "Trial", id="failures of other pods"
        ),
        pytest.param(TRIAL, seen(30, answering=()), "TakenBack", id="its servers are not there"),
        pytest.param(TRIAL, seen(900, possible=(), gains=()), None, id="another specification"),
        pytest.param(cut("Kept"), seen(gains=(), gain_s=0.001), "Kept", id="it gains still"),
        pytest.param(cut("Kept"), seen(gain_s=None), "Kept", id="what it gains is unknown"),
        pytest.param(cut("Kept"), seen(gain_s=0.0), "Doubted", id="it gains nothing"),
        pytest.param(cut("Kept"), seen(answering=()), "TakenBack", id="its servers went away"),
        pytest.param(cut("Doubted"), seen(900, gain_s=0.01), "Kept", id="it gains again"),
        pytest.param(cut("Doubted"), seen(900, gain_s=None), "Kept", id="it may gain again"),
        pytest.param(cut("Doubted"), seen(500, gain_s=0.0), "Doubted", id="not for long"),
        pytest.param(cut("Doubted"), seen(600, gain_s=0.0), "TakenBack", id="nothing for long"),
        pytest.param(cut("Doubted"), seen(answering=()), "TakenBack", id="doubted and not there"),
        pytest.param(cut("TakenBack"), seen(86_000), "TakenBack", id="not again on that day"),
        pytest.param(cut("TakenBack"), seen(86_400), "Wanted", id="the next day it is"),
        pytest.param(cut("TakenBack"), seen(86_400, gains=()), None, id="where it gains"),
        pytest.param(
            cut("TakenBack"), seen(60, generation=2), "Wanted", id="with another specification"
        ),
    ],
)  # fmt: skip
def test_what_becomes_of_a_cut(before, now, state):
    found = decide_cut(before, now)
    assert (None if found is None else found.state) == state
    if found is not None and before is not None and found.state != before.state:
        assert found.since == timestamps.text(now.now)


def test_requests_are_measured_before_and_after_over_all_windows():
    found = decide_cut(None, seen())
    for latency_ms in (100.0, None, 200.0):
        found = decide_cut(found, seen(60, latency_ms=latency_ms))
    assert (found.windows, found.before_milliseconds) == (2, 150.0)
    found = decide_cut(found.with_(windows=5), seen(600, settled=False))
    assert (found.state, found.windows, found.before_milliseconds) == ("Trial", 0, 150.0)
    assert found.message == "a request takes 150 ms on one server"
    for latency_ms, settled in ((900.0, False), (80.0, True)):
        found = decide_cut(found, seen(700, latency_ms=latency_ms, settled=settled))
    assert (found.windows, found.after_milliseconds) == (1, 80.0)
    found = decide_cut(found.with_(windows=5), seen(1200, latency_ms=80.0))
    assert found.message == "a request took 150 ms on one server, and takes 80 ms over several"


def test_where_servers_are_not_there_it_is_said_whose():
    assert decide_cut(TRIAL, seen(answering=())).message == (
        "the InferenceModels of detect were not ready"
    )


@pytest.mark.parametrize(
    ("state", "expected"),
    [("Wanted", ()), ("Trial", DETECT), ("Kept", DETECT), ("Doubted", DETECT), ("TakenBack", ())],
)
def test_in_which_states_steps_are_cut_off(state, expected):
    assert applied(cut(state)) == expected
    assert applied(None) == ()


# What serves changes seldom, whatever is measured.

MOMENTS = st.fixed_dictionaries(
    {
        "minutes": st.integers(1, 400),
        "gains": st.sampled_from([(), DETECT, DETECT, DETECT, ("read",)]),
        "gain_s": st.sampled_from([None, 0.0, 0.1, 0.1]),
        "latency_ms": st.sampled_from([None, 60.0, 100.0, 140.0]),
        "settled": st.sampled_from([True, True, True, False]),
        "failing": st.sampled_from([False] * 9 + [True]),
        "answering": st.sampled_from([{"detect", "read"}] * 9 + [set()]),
    }
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MOMENTS, min_size=5, max_size=120))
def test_what_serves_changes_seldom_whatever_is_measured(moments):
    found, now_s, history = None, 0, []
    for moment in moments:
        figures = dict(moment)
        now_s += 60 * figures.pop("minutes")
        before, situation = found, seen(now_s, **figures)
        found = decide_cut(found, situation)
        history.append((now_s, applied(before), applied(found), situation))
    begun = [(at, after) for at, before, after, _ in history if after and not before]
    ended = [at for at, before, after, _ in history if before and not after]
    for at, steps in begun:
        lately = [each for each in history if at - 600 <= each[0] <= at]
        assert all(each[3].gains == steps for each in lately), "a gain that lasts"
        assert not any(0 < at - end < 86_400 for end in ended), "not again on that day"
    assert all(not before or not after or before == after for _, before, after, _ in history), (
        "never from one set to another"
    )
    assert timedelta(seconds=600) == trial.LASTING
