"""Whoever runs an algorithm gives the same answer about what it wants: one step, many doors.

Each generated situation goes through the doors that can be in it: the operator's ``decide``, a
tuning session as ``ferryman tune`` has it and as the benchmark on a real Triton does, and the
simulator as ``ferryman simulate`` has it and as the arena does. Docs: decision record 0019.
"""

import random
from dataclasses import dataclass
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from benchmarks.arena import job as arena
from benchmarks.contenders.base import Contender
from benchmarks.real import drive
from ferryman.actuation.events import ChangeBegun, Decided
from ferryman.actuation.session import Clock, SessionSettings, TuningSession
from ferryman.api.batching import Batching, BatchingSpec, Guardrails
from ferryman.api.conditions import Reason
from ferryman.api.inference_model_status import BatchingChange, BatchingStatus, InferenceModelStatus
from ferryman.api.model_source import ModelFormat, ModelSource
from ferryman.api.statistics import ServerModel
from ferryman.cli import simulate as command
from ferryman.core.batching import decide as operator
from ferryman.core.batching import tuning
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.batching.step import UNDECIDED, Step, Verb
from ferryman.core.simulator import simulation
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.snapshot import LiveCapView, PodView, ServingState
from ferryman.core.triton import config as triton_config
from ferryman.core.triton import live_cap
from ferryman.core.tuners.needs import ENOUGH, Enough, Replicas, Unattainable
from ferryman.core.tuners.select import TuneDecision, TunerState
from tests.factories import NOW, at, model, window

HANDED, NEXT, UNFOLLOWED = (TunerState(met_in_a_row=n) for n in (1, 2, 3))
WINDOW = window()
SOURCE = ModelSource(
    storage_uri="oci://registry.example/m:1", model_format=ModelFormat(name="onnx")
)
MODEL = model(model=SOURCE, generation=0)
SCENARIO = Scenario.model_validate(
    {
        "serviceTime": {"coefficients": {"t0": 5.0, "a": 1.0}},
        "arrivals": {"poisson": {"ratePerSecond": 10}},
        "objectives": {"latency": {"targetMilliseconds": 50}},
    }
)
REASONS = (
    Reason.CHEAPER,
    Reason.SATURATED,
    Reason.ROLLED_BACK,
    Reason.BATCH_TOO_LARGE,
    *UNDECIDED,
)
OVERLAYS = (
    {},
    {},
    {"dynamic_batching": {"preferred_batch_size": [4, 8]}},
    {"dynamic_batching": {"default_queue_policy": {"default_timeout_microseconds": 9}}},
)


@dataclass(frozen=True)
class Situation:
    """An algorithm's word, and all that what becomes of it depends on."""

    applied: Batching
    word: TuneDecision
    spec: BatchingSpec
    overlay: dict
    history: BatchingStatus
    loaded_bound: int | None
    """None: there is no live cap."""

    def say(self, *_, **__):
        """Be the algorithm."""
        return self.word

    @property
    def in_force(self):
        """What is applied, as servers show it."""
        return triton_config.in_effect(self.overlay, self.applied)

    @property
    def loaded(self):
        """What was loaded; a live cap may hold its bound down."""
        bound = self.loaded_bound or self.applied.max_batch_size
        return triton_config.in_effect(self.overlay, self.applied.with_(max_batch_size=bound))


@dataclass(frozen=True)
class Answer:
    """What a door says, and what it begins."""

    taken: Step
    state: object
    begun: tuple | None = None


class Drawer:
    """Draws from what Hypothesis gave; far faster than a strategy for each field."""

    def __init__(self, given):
        self._left = int.from_bytes(given)

    def of(self, *values):
        """Return one of these; the first one is the simplest."""
        self._left, index = divmod(self._left, len(values))
        return values[index]

    def times(self, most, draw):
        """Draw up to so many values."""
        return [draw() for _ in range(self.of(*range(most + 1)))]

    def batching(self, *largest):
        """Draw a batching."""
        return Batching(
            max_batch_size=self.of(8, 4, 16, *largest),
            max_queue_delay_microseconds=self.of(0, 0, 0, 500),
            instances=self.of(1, 1, 2),
            preferred_batch_size=self.of((), (), (4,), (4, 8)),
            default_timeout_microseconds=self.of(0, 0, 9),
        )

    def moment(self):
        """Draw a moment around those at which something is forgotten."""
        return at(-self.of(0, 5, 29, 30, 59, 60, 600, 3_599, 3_600))

    def change(self):
        """Draw a change that has its outcome."""
        return BatchingChange(
            time=self.moment(),
            before=Batching(max_batch_size=8),
            after=self.batching(),
            actuator="Reload",
            reason=self.of(Reason.CHEAPER, Reason.ROLLED_BACK, Reason.SATURATED),
            message="what came of it",
            outcome=self.of("Applied", "Refused", "RolledBack", "Interrupted"),
            generation=self.of(0, 0, 1),
        )

    def situation(self, *, capped=False):
        """Draw a situation; what is wanted is often what failed lately, or what is in force."""
        applied, changes = self.batching(), self.times(3, self.change)
        changes.sort(key=lambda change: change.time, reverse=True)
        likely = [change.after for change in changes]
        wanted = self.of(applied, self.batching(128), self.batching(128), *likely)
        if capped and self.of(1, 0):
            wanted = applied.with_(max_batch_size=wanted.max_batch_size)
        guardrails = Guardrails(
            min_seconds_between_reloads=self.of(0, 60), max_reloads_per_hour=self.of(4, 0, 1)
        )
        return Situation(
            applied=applied,
            word=TuneDecision(
                wanted,
                self.of(*REASONS),
                "why",
                NEXT,
                self.of(ENOUGH, Enough(1), Replicas(3), Unattainable("too slow")),
                self.of(None, UNFOLLOWED),
            ),
            spec=BatchingSpec(
                mode=self.of("Auto", "Auto", "Auto", "Recommend"), guardrails=guardrails
            ),
            overlay=self.of(*OVERLAYS),
            history=BatchingStatus(
                changes=tuple(changes), recent_reloads=tuple(self.times(5, self.moment))
            ),
            loaded_bound=self.of(4, 8, 16, 32) if capped else None,
        )


# The doors


def operators(situation):
    """Ask the operator, with the tuner's word put into its mouth."""
    applied, cap = situation.in_force, capped(situation)
    status = situation.history.with_(applied=applied, last_good=applied, reason=Reason.MET)
    pods = tuple(
        PodView(name=name, ready=True, batching=applied, takes_live_cap=bool(cap), live_cap=cap)
        for name in ("one", "two")
    )
    asked = MODEL.with_(
        spec=MODEL.spec.with_(batching=situation.spec),
        status=InferenceModelStatus(batching=status),
    )
    serving = ServingState(exists=True, ready_replicas=2, model_ready=True, pods=pods)
    with mock.patch.object(tuning, "tune", situation.say):
        found = operator.decide(
            asked,
            serving,
            situation.overlay,
            window=WINDOW,
            steady=False,
            state=HANDED,
            now=NOW,
        )
    held = found.taken.verb in {"Stay", "Wait"} and found.taken.reason not in UNDECIDED
    if held:
        assert (found.status.reason, found.status.message) == (
            found.taken.reason,
            found.taken.message,
        )
    return Answer(found.taken, found.state, as_begun(found.actuation))


def tune(situation):
    """Ask a session as ``ferryman tune`` begins it."""
    values = {"objectives": SCENARIO.objectives, "spec": situation.spec, "config_pbtxt": ""}
    return of_session(
        situation,
        lambda server, word, tell: TuningSession(
            server,
            word,
            SessionSettings(**values, overlay=situation.overlay),
            HANDED,
            tell=tell,
        ),
    )


def real_benchmark(situation):
    """Ask a session as the benchmark on a real Triton begins it."""
    scenario = SCENARIO.with_(config=situation.overlay)

    def begin(server, word, tell):
        employed = drive.Employed(situation.in_force, situation.spec, word, HANDED, guarded=True)
        job = drive.Job(scenario, "m", employed, np.array([]))
        return drive._session(server, job, "", tell)

    return of_session(situation, begin)


def simulate(situation):
    """Ask the simulator as ``ferryman simulate`` employs it."""
    scenario = simulated(situation).with_(batching=situation.spec)
    with (
        mock.patch.object(command.simulation, "simulate", Begun()) as begun,
        mock.patch.object(command, "oracle", NO_ORACLE),
        mock.patch.object(command.loads, "draw", Begun()),
    ):
        command.compare(scenario, (), None, 0, TunerState())
    return of_simulator(situation, begun.given)


def arena_benchmark(situation):
    """Ask the simulator as the arena employs it."""
    contender = Contender("c", "C", object(), HANDED, spec=lambda _: situation.spec, guarded=True)
    with mock.patch.object(arena, "simulate", Begun()) as begun:
        arena.employ(simulated(situation), (), contender)
    return of_simulator(situation, begun.given)


class Begun:
    """Stands for a simulation, and takes down what it was given."""

    def __call__(self, *given):
        """Take it down."""
        self.given = given


NO_ORACLE = mock.MagicMock()


class Server:
    """A Triton that has something in force, and takes whatever it is told to load."""

    def __init__(self, batching):
        self.batching = batching

    async def model(self):
        """Return what is in force."""
        return ServerModel(ready=True, batching=self.batching)

    async def apply_batching(self, batching, **_):
        """Take it."""
        self.batching = batching


def of_session(situation, begin):
    told = []
    session = begin(Server(situation.in_force), situation.say, told.append)
    session.clock = Clock(seconds=lambda: 0.0, now=lambda: NOW)
    session.applied, session._began_s = situation.in_force, 0.0
    session._history = InferenceModelStatus(batching=situation.history)
    with pytest.raises(StopIteration):  # nothing in there waits for anything
        session._decide(WINDOW).send(None)
    events = [entry.event for entry in told]
    (taken,) = [event.step for event in events if isinstance(event, Decided)]
    begun = [event for event in events if isinstance(event, ChangeBegun)]
    return Answer(taken, session.state, as_begun(*begun))


def simulated(situation):
    return SCENARIO.with_(config=situation.overlay, live_cap=situation.loaded_bound is not None)


def of_simulator(situation, given):
    scenario, _, tuned = given
    standing = simulation.Standing(
        applied=situation.in_force,
        loaded=situation.loaded,
        tuner=HANDED,
        history=InferenceModelStatus(batching=situation.history),
    )
    now_s = (NOW - simulation.EPOCH).total_seconds()
    after = simulation.answered(scenario, standing, situation.word, now_s, guarded=tuned.guarded)
    return Answer(after.taken, after.tuner, as_begun(after.pending))


def capped(situation):
    if situation.loaded_bound is None:
        return None
    found = live_cap.with_batching(situation.spec, ServingState(), situation.loaded)
    if not isinstance(found, triton_config.LiveCap):
        return None
    return LiveCapView(loaded=situation.loaded, largest=found.largest)


def as_begun(change=None):
    if change is None:
        return None
    return change.before, change.after, change.actuator, change.reason, change.message


# What they say

PHASES = [Phase.generate, Phase.shrink]
THOROUGH = settings(max_examples=2_000, deadline=None, database=None, phases=PHASES)
#: More than any situation draws.
ENTROPY = st.binary(min_size=64, max_size=64)


@THOROUGH
@given(ENTROPY)
def test_every_door_gives_the_same_answer(entropy):
    situation = Drawer(entropy).situation()
    said = operators(situation)

    for door in (tune, real_benchmark, simulate, arena_benchmark):
        assert door(situation) == said, (door.__name__, situation)


@THOROUGH
@given(ENTROPY)
def test_every_door_that_knows_a_live_cap_gives_the_same_answer(entropy):
    situation = Drawer(entropy).situation(capped=True)
    said = operators(situation)

    for door in (simulate, arena_benchmark):
        assert door(situation) == said, (door.__name__, situation)


@pytest.mark.parametrize("capped", [False, True], ids=["without a live cap", "with one"])
def test_the_situations_lead_to_every_answer(capped):
    """Else the doors would agree about what is easy."""
    entropy = random.Random(0)
    drawn = [Drawer(entropy.randbytes(64)).situation(capped=capped) for _ in range(1_000)]
    found = {(said.taken.verb, said.taken.actuator) for said in map(operators, drawn)}
    reasons = {operators(situation).taken.reason for situation in drawn}

    actuators = set(ACTUATORS) - (set() if capped else {"LiveCap"})
    assert {actuator for _, actuator in found} == actuators | {None}
    assert {verb for verb, _ in found} == set(get_args(Verb))
    held = {Reason.CONFIG_REFUSED, Reason.RELOAD_INTERVAL, Reason.RELOAD_BUDGET_SPENT}
    assert held | set(REASONS) <= reasons
