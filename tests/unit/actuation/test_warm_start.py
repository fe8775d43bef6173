# ruff: noqa: D102  stand-ins do what their classes say
"""Service times are measured by what a server counts, and clients come first."""

import asyncio
from dataclasses import replace

import pytest

from ferryman.actuation.warm_start import MOST_ROUNDS, QUIET_S, measure
from ferryman.api.batching import Batching
from ferryman.clients.triton import InferenceRefused, TritonUnavailable
from ferryman.core.batching.warm_start import LIMIT_S, MAX_SENT_BYTES, CurveMeasurement
from tests import factories
from tests.fakes import FakeTriton, run_virtually, seconds


def found(server, *, largest=8, instances=1, meanwhile=None):
    """Return what was measured, and how long that took (s)."""

    async def main():
        task = CurveMeasurement(factories.pod(), largest, instances)
        other = None if meanwhile is None else asyncio.create_task(meanwhile(server))
        result = await measure(server, task, "m", seconds)
        if other is not None:
            await other
        return result, seconds()

    return run_virtually(main())


@pytest.fixture
def server():
    return FakeTriton(Batching(max_batch_size=8))


def test_every_size_is_run_a_few_times_without_the_first(server):
    finding, _ = found(server, largest=6)
    assert finding.reason is None
    assert dict(finding.times) == {
        1: (MOST_ROUNDS, pytest.approx(3.0)),
        2: (MOST_ROUNDS, pytest.approx(4.0)),
        4: (MOST_ROUNDS, pytest.approx(6.0)),
        6: (MOST_ROUNDS, pytest.approx(8.0)),
    }


def test_as_many_requests_as_instances_are_under_way_at_once(server):
    finding, took_s = found(server, largest=2, instances=3)
    assert {size: runs for size, (runs, _) in finding.times.items()} == {
        1: 3 * MOST_ROUNDS,
        2: 3 * MOST_ROUNDS,
    }
    assert took_s < QUIET_S + 1


def test_batches_that_take_long_are_run_less_often(server):
    server.curve_ms = lambda size: 400.0 * size
    finding, took_s = found(server, largest=2)
    assert {size: runs for size, (runs, _) in finding.times.items()} == {1: 4, 2: 4}
    assert took_s < LIMIT_S


def test_it_ends_in_time_and_what_was_measured_counts(server):
    server.curve_ms = lambda size: 2000.0 * size
    finding, took_s = found(server)
    assert finding.reason == "TimeUp"
    assert finding.message == "batches of 2: 30 s were over"
    assert finding.times.keys() == {1}
    assert took_s <= LIMIT_S + 1


def test_while_clients_ask_nothing_is_sent(server):
    server.requests_per_s = 5.0
    finding, took_s = found(server)
    assert (finding.reason, finding.times) == ("ClientsAsk", {})
    assert server.inferred == {}
    assert took_s < 2 * QUIET_S


async def _one_client(server):
    await asyncio.sleep(QUIET_S + 0.08)
    server.requests += 1


def test_a_client_that_comes_ends_it_and_no_figure_of_its_requests_counts(server):
    finding, _ = found(server, meanwhile=_one_client)
    assert finding.reason == "ClientsAsk"
    assert finding.times.keys() == {1}
    assert server.inferred.keys() == {1, 2}


class Waiting(FakeTriton):
    """Somebody waits in its queue."""

    async def statistics(self):
        return factories.statistics(seconds(), 0, pending=1)


def test_a_client_that_waits_is_seen_before_it_is_answered():
    assert found(Waiting())[0].reason == "ClientsAsk"


class Slow(FakeTriton):
    """It counts what it answered only a little later."""

    async def infer(self, request, *, within_s):
        async def count():
            await asyncio.sleep(0.03)
            await counted(request, within_s=within_s)

        counted = super().infer
        self.counting = asyncio.create_task(count())


def test_what_is_counted_late_is_waited_for():
    finding, _ = found(Slow(), largest=2)
    assert {size: runs for size, (runs, _) in finding.times.items()} == {
        1: MOST_ROUNDS,
        2: MOST_ROUNDS,
    }


class Caching(FakeTriton):
    """A response cache answers: nothing is executed, and requests are counted."""

    async def infer(self, request, *, within_s):  # noqa: ARG002  as a server's
        self.requests += 1

    async def statistics(self):
        return factories.statistics(seconds(), self.requests, batches={}, execution_count=0)


def test_what_a_cache_answers_tells_nothing():
    finding, _ = found(Caching(), largest=2)
    assert (dict(finding.times), finding.reason) == ({}, None)


class Reloaded(FakeTriton):
    """Its counters fall back to zero once it was asked so many times."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    async def statistics(self):
        asked = sum(runs for runs, _ in self.inferred.values())
        self.after -= 1
        return factories.statistics(seconds(), 5 + asked if self.after >= 0 else asked)


def test_counters_that_begin_anew_before_it_asks_are_where_it_begins():
    finding, _ = found(Reloaded(after=1), largest=2)
    assert finding.reason is None


def test_counters_that_begin_anew_meanwhile_end_it():
    finding, _ = found(Reloaded(after=4), largest=2)
    assert finding.reason == "MeasurementInterrupted"


class Unread(FakeTriton):
    """Now and then its metrics page is not read in time."""

    def __init__(self):
        super().__init__()
        self.looks = 0

    async def statistics(self):
        self.looks += 1
        shown = await super().statistics()
        return replace(shown, rejected_count=None) if self.looks % 3 == 1 else shown


def test_a_page_that_is_not_read_once_is_read_again():
    finding, _ = found(Unread(), largest=2)
    assert finding.reason is None
    assert finding.times.keys() == {1, 2}


def test_what_the_model_refuses_is_told_with_the_size(server):
    server.inference_refusal = InferenceRefused("failed to allocate memory")
    finding, _ = found(server)
    assert finding.reason == "RequestsRefused"
    assert finding.message == "batches of 1: failed to allocate memory"


class Killed(FakeTriton):
    """Batches of four are too much for it."""

    async def infer(self, request, *, within_s):
        if 4 in self.inferred or len(request) > 100:
            raise TritonUnavailable("Socket closed")
        await super().infer(request, within_s=within_s)


def test_a_server_that_goes_away_ends_it_and_what_was_measured_counts():
    finding, _ = found(Killed(), largest=16)
    assert finding.reason == "TritonUnreachable"
    assert finding.message.endswith("Socket closed")
    assert 1 in finding.times


def test_a_server_that_is_silent_from_the_first_tells_no_size(server):
    server.silent = True
    finding, _ = found(server)
    assert (finding.reason, finding.message) == ("TritonUnreachable", "no answer")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        pytest.param(
            {"name": "x", "data_type": "TYPE_INT64", "dims": ["-1"]}, "any size", id="any size"
        ),
        pytest.param({"name": "x", "data_type": "TYPE_ODD", "dims": []}, "data type", id="type"),
    ],
)
def test_a_model_that_nothing_can_be_drawn_for_is_not_asked(server, entry, words):
    server.config = {"input": [entry]}
    finding, _ = found(server)
    assert finding.reason == "InputsUnknown"
    assert words in finding.message
    assert server.inferred == {}


@pytest.mark.parametrize(
    ("row_bytes", "sizes"),
    [
        pytest.param(MAX_SENT_BYTES // 3, {1, 2, 3}, id="three at most"),
        pytest.param(2 * MAX_SENT_BYTES, set(), id="not even one"),
    ],
)
def test_larger_requests_than_may_be_are_not_sent(server, row_bytes, sizes):
    dims = [str(row_bytes // 4)]
    server.config = {"input": [{"name": "x", "data_type": "TYPE_FP32", "dims": dims}]}
    finding, _ = found(server)
    assert (set(finding.times), finding.reason) == (sizes, "RequestsTooLarge")
    assert "16 MiB" in finding.message
