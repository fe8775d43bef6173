# ruff: noqa: D102  a stand-in keeps to what it stands for
import asyncio
import os
import signal

import pytest

from ferryman.actuation.events import Decided, Entry, Observed
from ferryman.actuation.session import LostError, Report
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.cli.tuning import tune
from ferryman.core.batching.step import Step
from ferryman.core.observation.objectives import judge
from tests import factories

APPLIED, WANTED = Batching(max_batch_size=8), Batching(max_batch_size=16)
OBJECTIVES = factories.objectives(latency_ms=50)


def window(latency_ms):
    seen = factories.window(latency_ms=latency_ms)
    return Observed(1, APPLIED, seen, judge(OBJECTIVES, seen))


def decided(verb="Stay"):
    return Decided(1, APPLIED, Step(verb, WANTED, None, Reason.MET, "why", None), 0.1)


def goal(*events, until_met=True):
    """Return the goal after these events; asyncio.Event needs a loop only to be waited for."""
    found = tune._Goal(asyncio.Event(), until_met)
    for event in events:
        found.see(Entry(factories.NOW, 0.0, event))
    return found


MET, MISSED = (window(40.0), decided()), (window(60.0), decided())


@pytest.mark.parametrize(
    ("events", "reached"),
    [
        pytest.param([*MET * 2], False, id="two windows are not enough"),
        pytest.param([*MET * 3], True, id="three in a row are"),
        pytest.param([*MET * 2, *MISSED, *MET * 2], False, id="a miss in between starts anew"),
        pytest.param(
            [*MET * 2, window(40.0), decided("Change")], False, id="not while something changes"
        ),
        pytest.param([window(60.0), decided("Recommend")], True, id="or a recommendation"),
    ],
)
def test_until_met_ends_it(events, reached):
    found = goal(*events)

    assert (found.reached, found.stop.is_set()) == (reached, reached)


def test_without_until_met_nothing_ends_it_by_itself():
    assert not goal(*MET * 9, until_met=False).stop.is_set()


def test_the_last_recommendation_is_kept():
    assert goal(decided("Recommend"), until_met=False).recommended == WANTED


class Session:
    """A session that takes its time to stop, as a change does."""

    def __init__(self, lasts_s=0.0):
        self.lasts_s = lasts_s

    async def run(self, stop):
        await stop.wait()
        await asyncio.sleep(self.lasts_s)
        return Report(APPLIED, APPLIED, 0, None)


async def ended(session, *signals, duration_s=None):
    loop = asyncio.get_running_loop()
    for number, name in enumerate(signals):
        loop.call_later(0.05 * (number + 1), os.kill, os.getpid(), name)
    return await asyncio.wait_for(tune._until_told(session, asyncio.Event(), duration_s), 10)


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_session_when_it_is_ready(name):
    assert (await ended(Session(0.3), name)).applied == APPLIED


async def test_a_second_signal_does_not_wait_for_the_change_under_way():
    with pytest.raises(LostError, match="in the middle of a change"):
        await ended(Session(60), signal.SIGINT, signal.SIGINT)


async def test_the_duration_ends_the_session():
    assert (await ended(Session(), duration_s=0.05)).windows == 0


async def test_signals_are_nobody_elses_afterwards():
    before = signal.getsignal(signal.SIGTERM)
    await ended(Session(), duration_s=0.01)

    assert signal.getsignal(signal.SIGTERM) == before
