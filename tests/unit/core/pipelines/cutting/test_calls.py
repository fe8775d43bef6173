"""What a call costs: of the slowest server, and unknown where anything was not measured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferryman.api.pipelines.execution_status import CallStatus
from ferryman.core.pipelines.cutting import calls
from ferryman.core.pipelines.cutting.calls import CallTimes, cost_of

FAST = CallTimes([0.001] * 3, [0.002] * 3)


def call(milliseconds, mebibytes_per_second):
    return CallStatus(milliseconds=milliseconds, mebibytes_per_second=mebibytes_per_second)


def test_a_small_call_tells_the_time_and_a_large_one_how_fast_goes_what_it_carries():
    assert cost_of([FAST]) == call(1.0, 1000.0)


def test_one_call_that_took_long_says_nothing():
    assert cost_of([CallTimes([0.001, 0.001, 9.0], [0.002, 9.0, 0.002])]) == call(1.0, 1000.0)


def test_the_slowest_server_counts_as_its_calls_have_crossed_nodes():
    slow, narrow = CallTimes([0.004], [0.005]), CallTimes([0.002], [0.012])
    assert cost_of([FAST, slow, narrow]) == call(4.0, 100.0)


@pytest.mark.parametrize(
    "servers",
    [
        pytest.param([], id="nobody was called"),
        pytest.param([FAST, CallTimes([], [])], id="one was not"),
        pytest.param([CallTimes([0.001], [])], id="large calls are missing"),
        pytest.param([CallTimes([0.002], [0.002])], id="what is carried is lost in the noise"),
    ],
)
def test_what_was_not_measured_is_unknown(servers):
    assert cost_of(servers) is None


@pytest.mark.parametrize(
    ("before", "measured", "expected"),
    [
        pytest.param(None, None, None, id="never measured"),
        pytest.param(None, call(1, 100), call(1, 100), id="measured at last"),
        pytest.param(call(1, 100), None, call(1, 100), id="not measured again"),
        pytest.param(call(1, 100), call(1.4, 80), call(1, 100), id="it wavers"),
        pytest.param(call(1, 100), call(2.5, 100), call(2.5, 100), id="calls take longer"),
        pytest.param(call(1, 100), call(1, 40), call(1, 40), id="the network is slower"),
    ],
)
def test_what_is_reported_changes_only_where_it_is_clearly_another(before, measured, expected):
    assert calls.kept(before, measured) == expected


TIMES = st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=5)


@given(st.lists(st.builds(CallTimes, TIMES, TIMES), min_size=1, max_size=4))
def test_no_call_to_any_of_the_servers_is_predicted_to_be_faster_than_it_was(servers):
    crossing = calls.crossing_of(cost_of(servers))
    if crossing is None:
        return
    for times in servers:
        small, large = middle(times.small), middle(times.large)
        assert crossing.seconds(0) >= 0.99 * small
        assert crossing.seconds(calls.LARGE_BYTES) >= 0.98 * large


def middle(values):
    return sorted(values)[(len(values) - 1) // 2]


def test_no_cost_is_no_crossing():
    assert calls.crossing_of(None) is None
