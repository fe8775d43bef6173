# ruff: noqa: D102, ARG002  stand-ins keep to Protocols that document the methods
import asyncio
from dataclasses import dataclass, field

import pytest

from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Ended,
    Moved,
    Observed,
    Silence,
)
from ferryman.actuation.session import Clock, LostError, SessionSettings, TuningSession
from ferryman.api.batching import Batching, BatchingSpec, Guardrails, WindowSettings
from ferryman.api.conditions import Reason
from ferryman.api.statistics import ServerModel
from ferryman.clients.triton import ConfigRefused, TritonUnavailable
from ferryman.core.tuners.select import TuneDecision, TunerState, tune
from tests import factories
from tests.fakes import FakeTriton, now, run_virtually, seconds

FIRST = Batching(max_batch_size=8)
WINDOW = WindowSettings(max_requests=1_000_000, max_seconds=5, min_seconds=5)
SPEC = BatchingSpec(window=WINDOW, guardrails=Guardrails(min_seconds_between_reloads=0))


@dataclass
class Script:
    """An algorithm that wants one bound after the other, and holds the last."""

    bounds: list[int]
    seen: list[object] = field(default_factory=list)

    def __call__(self, spec, objectives, applied, window, state):
        self.seen.append((seconds(), applied, window.requests, state))
        bound = self.bounds.pop(0) if self.bounds else applied.max_batch_size
        batching = applied.with_(max_batch_size=bound)
        return TuneDecision(batching, Reason.SATURATED, "as scripted", len(self.seen))


def play(server, algorithm, *, lasts_s=60.0, script=None, state=None, **settings):
    """Run a session on virtual time; return its report, events and the error that ended it."""
    told = []
    values = {"objectives": factories.objectives(), "spec": SPEC, **settings}

    async def main():
        stop = asyncio.Event()
        clock = Clock(seconds=seconds, now=now)
        session = TuningSession(
            server, algorithm, SessionSettings(**values), state, clock=clock, tell=told.append
        )
        asyncio.get_running_loop().call_later(lasts_s, stop.set)
        beside = asyncio.create_task(script()) if script else None
        try:
            return await session.run(stop), None
        except (LostError, TritonUnavailable, ConfigRefused) as error:
            return None, error
        finally:
            if beside:
                beside.cancel()

    report, error = run_virtually(main())
    return report, told, error


def events(told, *kinds):
    return [entry.event for entry in told if isinstance(entry.event, kinds)]


def busy(kind=FakeTriton, **fields):
    """Return a server that answers 100 requests a second."""
    triton = kind(FIRST, **fields)
    triton.requests_per_s = 100.0
    return triton


@pytest.fixture
def server():
    return busy()


def test_after_each_window_the_algorithm_decides_and_is_followed(server):
    algorithm = Script([8, 16, 32])
    report, told, _ = play(server, algorithm, lasts_s=22.5)

    assert [load.max_batch_size for load in server.loads] == [16, 32]
    assert (report.first, report.applied, report.windows) == (FIRST, server.batching, 4)
    assert [type(entry.event).__name__ for entry in told if not_a_reading(entry)] == [
        "Began",
        *("Observed", "Decided"),
        *("Observed", "Decided", "ChangeBegun", "ChangeEnded"),
        *("Observed", "Decided", "ChangeBegun", "ChangeEnded"),
        *("Observed", "Decided"),
        "Ended",
    ]
    assert events(told, Ended) == [Ended(report.applied, 4, "Stopped")]


def not_a_reading(entry):
    return type(entry.event).__name__ != "Reading"


def test_a_window_never_contains_a_change_and_the_state_is_handed_back(server):
    algorithm = Script([16])
    play(server, algorithm, lasts_s=11.5)

    assert [(at, applied.max_batch_size, state) for at, applied, _, state in algorithm.seen] == [
        (5.0, 8, None),
        (11.0, 16, 1),
    ]
    assert [requests for _, _, requests, _ in algorithm.seen] == [500, 500]


def test_elapsed_time_and_moments_are_those_of_the_clock(server):
    _, told, _ = play(server, Script([]), lasts_s=5.5)
    observed = next(entry for entry in told if isinstance(entry.event, Observed))

    assert observed.elapsed_s == 5.0
    assert (observed.at - factories.NOW).total_seconds() == 5.0


def test_the_operators_own_tuner_can_be_run(server):
    spec = SPEC.with_(algorithm="Trend", trend=SPEC.trend.with_(samples=3))
    objectives = factories.objectives(latency_ms=1)
    _, told, _ = play(server, tune, state=TunerState(), spec=spec, objectives=objectives)

    reasons = [event.step.reason for event in events(told, Decided)]
    assert reasons[:3] == [Reason.COLLECTING, Reason.TREND_DECREASE, Reason.COLLECTING]
    assert server.batching.max_batch_size < 8


def test_recommend_changes_nothing(server):
    _, told, _ = play(
        server, Script([16]), spec=SPEC.with_(mode="Recommend"), start=Batching(max_batch_size=4)
    )

    assert server.loads == []
    assert events(told, Decided)[0].step.verb == "Recommend"


def test_a_start_is_put_in_force_before_the_first_window(server):
    start = Batching(max_batch_size=4)
    algorithm = Script([])
    report, _, _ = play(server, algorithm, lasts_s=7.5, start=start)

    assert server.loads == [start]
    assert (report.first, report.applied, algorithm.seen[0][1]) == (FIRST, start, start)


def test_the_reload_interval_is_kept(server):
    spec = SPEC.with_(guardrails=Guardrails(min_seconds_between_reloads=30))
    _, told, _ = play(server, Script([16, 32, 32, 32, 32, 32, 32]), spec=spec)

    verbs = [event.step.verb for event in events(told, Decided)][:7]
    assert verbs == ["Change", *["Wait"] * 5, "Change"]
    begun = [entry.elapsed_s for entry in told if isinstance(entry.event, ChangeBegun)]
    assert begun == [5, 36]


def test_guardrails_can_be_left_out(server):
    spec = SPEC.with_(guardrails=Guardrails(max_reloads_per_hour=0))
    play(server, Script([16]), spec=spec, guarded=False)

    assert [load.max_batch_size for load in server.loads] == [16]


def test_what_triton_refuses_changes_nothing_and_is_not_tried_again(server):
    server.refusal = ConfigRefused("out of memory")
    report, told, _ = play(server, Script([16, 16]))

    (ended,) = events(told, ChangeEnded)
    assert (ended.outcome, ended.applied, report.applied) == ("Refused", FIRST, FIRST)
    assert ended.message.startswith("Triton refused batch 16")
    assert "batch 8, delay 0 µs, 1 instance stays" in ended.message
    assert [event.step.reason for event in events(told, Decided)][1] == Reason.CONFIG_REFUSED


class Fickle(FakeTriton):
    """A server whose load goes wrong in a way of its own."""

    def __init__(self, batching, *, outcome):
        super().__init__(batching)
        self.outcome = outcome

    async def apply_batching(self, batching, *, config_pbtxt=None):
        outcome, self.outcome = self.outcome, None
        if outcome is not None:
            outcome(self, batching)
        await super().apply_batching(batching, config_pbtxt=config_pbtxt)


def silent_but_loaded(server, batching):
    server.batching = batching
    raise TritonUnavailable("deadline exceeded")


def silent_and_not_loaded(server, batching):
    raise TritonUnavailable("connection reset")


def come_back(server):
    server.ready = True


def unloaded(server, batching):
    server.ready = False
    asyncio.get_running_loop().call_later(1.0, come_back, server)
    server.batching = Batching(max_batch_size=5)
    raise ConfigRefused("accepted one and has another")


@pytest.mark.parametrize(
    ("outcome", "said", "bound"),
    [
        pytest.param(silent_but_loaded, "Applied", 16, id="in force all the same: applied"),
        pytest.param(silent_and_not_loaded, "Interrupted", 8, id="not in force: interrupted"),
        pytest.param(unloaded, "RolledBack", 8, id="neither old nor new: put back"),
    ],
)
def test_after_a_doubtful_load_the_server_is_asked_what_it_has(outcome, said, bound):
    fickle = busy(Fickle, outcome=outcome)
    report, told, _ = play(fickle, Script([16]), lasts_s=15.5)

    assert [event.outcome for event in events(told, ChangeEnded)] == [said]
    assert (report.applied.max_batch_size, fickle.batching.max_batch_size) == (bound, bound)


def test_a_change_that_is_under_way_at_the_end_is_finished():
    class Slow(FakeTriton):
        async def apply_batching(self, batching, *, config_pbtxt=None):
            await asyncio.sleep(20)
            await super().apply_batching(batching, config_pbtxt=config_pbtxt)

    report, told, _ = play(busy(Slow), Script([16]), lasts_s=7)

    assert report.applied.max_batch_size == 16
    assert [event.took_s for event in events(told, ChangeEnded)] == [20]
    assert told[-1].elapsed_s == 25


def test_a_server_that_can_load_nothing_any_more_ends_the_session():
    class Broken(FakeTriton):
        async def apply_batching(self, batching, *, config_pbtxt=None):
            self.ready = False
            raise ConfigRefused("out of memory")

    _, told, error = play(busy(Broken), Script([16]))

    assert "what served before cannot be loaded: out of memory" in str(error)
    assert events(told, Ended)[0].why == "Lost"


def test_a_change_by_another_hand_is_told_and_tuning_goes_on_from_there(server):
    async def another_hand():
        await asyncio.sleep(7)
        server.batching = Batching(max_batch_size=3)

    algorithm = Script([])
    report, told, _ = play(server, algorithm, lasts_s=20, script=another_hand)

    assert events(told, Moved) == [Moved(FIRST, Batching(max_batch_size=3))]
    assert [applied.max_batch_size for _, applied, _, _ in algorithm.seen] == [8, 3]
    assert report.applied.max_batch_size == 3


def test_a_short_silence_is_told_and_voids_the_window_only_when_it_lasts(server):
    async def hiccup():
        await asyncio.sleep(2.5)
        server.silent = True
        await asyncio.sleep(2)
        server.silent = False

    algorithm = Script([])
    _, told, error = play(server, algorithm, lasts_s=6.5, script=hiccup)

    assert error is None
    assert [round(event.since_s) for event in events(told, Silence)] == [1, 2]
    assert [at for at, *_ in algorithm.seen] == [5.0]


def test_a_long_silence_voids_the_window(server):
    async def silence():
        await asyncio.sleep(2.5)
        server.silent = True
        await asyncio.sleep(8)
        server.silent = False

    algorithm = Script([])
    play(server, algorithm, lasts_s=17, script=silence)

    assert [at for at, *_ in algorithm.seen] == [16.0], "five seconds after it answers again"


def test_a_server_that_stays_silent_is_given_up(server):
    async def gone():
        await asyncio.sleep(3)
        server.silent = True

    _, told, error = play(server, Script([]), lasts_s=100, script=gone, patience_s=20.0)

    assert isinstance(error, LostError)
    assert "no answer for 21 s: no answer" in str(error)
    assert events(told, Ended)[-1].why == "Lost"


def test_a_model_that_is_unloaded_is_waited_for(server):
    async def unload():
        await asyncio.sleep(4.5)
        server.ready = False
        await asyncio.sleep(5)
        server.ready = True

    algorithm = Script([])
    play(server, algorithm, lasts_s=16, script=unload)

    assert len(algorithm.seen) == 2, "the window at whose end there was no model does not count"


def test_a_model_that_is_not_ready_at_the_start_is_refused(server):
    server.ready = False
    _, told, error = play(server, Script([]))

    assert isinstance(error, TritonUnavailable)
    assert told == []


def test_a_model_without_batching_is_refused(server):
    class Unbatchable(FakeTriton):
        async def model(self):
            return ServerModel(ready=True, batching=None, batchable=False)

    _, _, error = play(Unbatchable(), Script([]))

    assert isinstance(error, ConfigRefused)


def test_the_first_change_of_instances_counts_as_a_reload_unless_the_file_is_known(server):
    def more_instances(spec, objectives, applied, window, state):
        wanted = applied.with_(instances=min(3, applied.instances + 1))
        return TuneDecision(wanted, Reason.SATURATED, "more", None)

    _, told, _ = play(server, more_instances)
    assert [event.actuator for event in events(told, ChangeEnded)] == ["Reload", "InPlace"]

    _, told, _ = play(busy(), more_instances, config_pbtxt="max_batch_size: 8")
    assert [event.actuator for event in events(told, ChangeEnded)] == ["InPlace", "InPlace"]


def test_what_is_in_force_is_told_first(server):
    _, told, _ = play(server, Script([]), lasts_s=1)

    assert (told[0].event, told[0].elapsed_s) == (Began(FIRST), 0.0)


POLICY = {"default_timeout_microseconds": 500_000, "max_queue_size": 64}
STATED = {
    "dynamic_batching": {"preferred_batch_size": [4, 8], "default_queue_policy": POLICY},
    "model_warmup": [{"batch_size": 6}],
}
OWNED = Batching(max_batch_size=8, preferred_batch_size=(4, 8), **POLICY)


def tuned_away(bound):
    """Return an algorithm that always wants a bound and nothing else."""

    def algorithm(spec, objectives, applied, window, state):
        return TuneDecision(Batching(max_batch_size=bound), Reason.SATURATED, "as scripted", None)

    return algorithm


def owned():
    server = FakeTriton(OWNED)
    server.requests_per_s = 100.0
    return server


@pytest.mark.parametrize(
    ("wanted", "bound", "sizes"),
    [
        pytest.param(32, 32, (4, 8), id="a larger bound"),
        pytest.param(7, 7, (4,), id="a smaller one, under which a size only waits"),
        pytest.param(2, 6, (4,), id="none below the warm-up"),
    ],
)
def test_what_the_owner_stated_stays_whatever_the_algorithm_wants(wanted, bound, sizes):
    server = owned()
    play(server, tuned_away(wanted), lasts_s=6, overlay=STATED)

    assert server.loads == [OWNED.with_(max_batch_size=bound, preferred_batch_size=sizes)]


def test_what_somebody_else_states_meanwhile_is_the_owners_word_from_then_on():
    server = owned()

    async def another_hand():
        await asyncio.sleep(7)
        server.batching = OWNED.with_(preferred_batch_size=(2,), max_queue_size=99)

    play(server, tuned_away(32), lasts_s=20, script=another_hand, overlay=STATED)

    assert server.batching.preferred_batch_size == (2,)
    assert (server.batching.max_queue_size, server.batching.max_batch_size) == (99, 32)
