"""Pods on the digital twin whose service times are known, and what ``Guarded`` sees of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ferryman.api.batching import (
    Batching,
    BatchingSpec,
    TrendSettings,
)
from ferryman.core.observation.objectives import judge
from ferryman.core.observation.window import Window, WindowState, observe
from ferryman.core.queue_model.queueing import Batcher
from ferryman.core.simulator import arrivals
from ferryman.core.simulator.pod_log import PodLog
from ferryman.core.tuners.guarded.context import TuningContext
from ferryman.core.tuners.guarded.prediction import Goal
from ferryman.core.tuners.guarded.reach import Reach
from ferryman.core.tuners.guarded.search import SearchContext
from ferryman.core.tuners.learned.demand import Demand, OfferedLoad
from ferryman.core.tuners.learned.service_time import Parabola, ServiceTimes
from ferryman.core.tuners.select import TuneDecision, TunerState, tune
from ferryman.core.tuners.state import Learned, Trial
from tests import factories
from tests.factories import objectives, window, window_settings

#: tau(b) = 5 + b ms: bound b serves 1000·b/(5 + b) requests/s, 444 at 4 and 615 at 8.
LINE = Parabola(5.0, 1.0, 0.0)
#: Hardly any batch is cheaper by the request than a batch of 9.
CONVEX = Parabola(4.0, 0.5, 0.05)
LATENCY = objectives(50)


@dataclass(frozen=True)
class Knee:
    """LINE up to a size, and so many times that beyond it: where memory or a cache is overrun."""

    beyond: int
    factor: float = 4.0

    def at(self, sizes):
        """Return tau of each size."""
        return LINE.at(sizes) * np.where(sizes > self.beyond, self.factor, 1.0)


LARGEST = 128


def limits(bound=(1, 32), delay_us=(0, 20_000), instances=(1, 1)):
    return factories.limits(bound, delay_us, instances)


def spec(on_overload="Queue", samples=3, step=2, prefer="Economy", **bounds):
    return BatchingSpec(
        algorithm="Guarded",
        prefer=prefer,
        on_overload=on_overload,
        step=step,
        trend=TrendSettings(samples=samples),
        limits=limits(**bounds),
    )


def bound(size, **fields):
    return Batching(max_batch_size=size, **fields)


def curve(shape=LINE):
    """Return a curve that is the same for every number of instances."""
    sizes = np.arange(1, LARGEST + 1, dtype=np.float64)
    times_ms = tuple(shape.at(sizes).tolist())
    return lambda _instances, most: times_ms[:most]


def load(rate_per_s, requests=600, seed=1):
    """Return Poisson arrivals, so many of them."""
    generator = np.random.default_rng(seed)
    seconds = requests / rate_per_s
    return OfferedLoad(np.sort(generator.uniform(0, seconds, requests)), seconds)


def knowing(sizes=(1, 2, 4, 8), shape=LINE, executions=200, instances=1):
    """Return service times as learned from batches of these sizes."""
    times_ms = curve(shape)(instances, LARGEST)
    counts = {size: (executions, times_ms[size - 1]) for size in sizes}
    return ServiceTimes().with_window(instances, counts)


def trial(before, after, **fields):
    """Return the trial of a change that was decided on what ``knowing`` knows."""
    values = {"mean_ms": 10.0, "served_per_s": 100.0, "service": knowing(), "begun_at_s": 0.0}
    return Trial(before, after, **{**values, **fields})


def reach(**fields):
    """Return what limits the bound when batches up to 8, the present bound, were seen."""
    values = {"limits": limits(), "present": bound(8), "seen": frozenset({1, 2, 4, 8}), **fields}
    return Reach(**values)


def question(**fields):
    """Return a question about LINE at 100 requests/s with p99 of 50 ms wanted."""
    reaching = {name: fields.pop(name) for name in Reach.__dataclass_fields__ if name in fields}
    values = {"curve_ms": curve(), "load": load(100), "goal": goal(), **fields}
    return SearchContext(reach(**reaching), **values)


def reaching(asked, **fields):
    """Return a question whose bound is limited otherwise."""
    return replace(asked, reach=replace(asked.reach, **fields))


def goal(target_ms=50.0, percentile=99, **fields):
    return Goal(percentile, target_ms, **fields)


def shown(batching, rate_per_s=100.0, *, shape=LINE, pods=1, seed=1, seconds=10, **fields):
    """Return what a window shows of pods that begin idle, with some fields replaced."""
    steps = Play(spec(), start=batching, shape=shape, window_s=seconds, decide=None)
    seen = steps.on(rate_per_s * pods, windows=1, seed=seed)[0].window if rate_per_s else window()
    values = {name: getattr(seen, name) for name in Window.__dataclass_fields__}
    return Window(**{**values, "pods": pods, **fields})


def case(applied=None, seen=None, *, wanted=LATENCY, asked=None, history_s=None, **learned):
    """Return the case of a window, with LINE learned and the window's demand unless told otherwise.

    ``history_s`` repeats the window's demand until it is known for so long.
    """
    applied = applied or bound(8)
    seen = seen or shown(applied)
    demand = Demand().with_window(seen)
    while history_s is not None and demand.seconds < history_s:
        demand = demand.with_window(seen)
    known = Learned(**{"service": knowing(), "demand": demand, **learned})
    delay_ms = applied.max_queue_delay_microseconds / 1000
    verdict = judge(wanted, seen, queue_delay_ms=delay_ms)
    return TuningContext(asked or spec(), wanted, applied, seen, TunerState(learned=known), verdict)


@dataclass(frozen=True)
class Step:
    """One window and what was decided after it."""

    applied: Batching
    window: Window
    decision: TuneDecision | None


@dataclass
class Play:
    """A model that is tuned on the twin; every decision is carried out at once."""

    spec: BatchingSpec
    start: Batching
    wanted: object = field(default_factory=lambda: LATENCY)
    shape: Parabola = LINE
    window_s: int = 5
    decide: object = tune
    state: TunerState = field(default_factory=TunerState)
    most: int = LARGEST
    spoil: object = staticmethod(lambda seen, _applied: seen)
    """Changes what is seen of a window."""

    def on(self, rate_per_s: float | Sequence[float], windows=None, seed=1):
        """Serve Poisson arrivals, whose rate may be given for each window."""
        rates = [rate_per_s] * windows if windows else list(rate_per_s)
        # Every window but the first begins a second late: the one with the change is discarded.
        lasts = len(rates) * (self.window_s + 1)
        phases = [arrivals.Phase(self.window_s + 1, rate) for rate in rates]
        moments = arrivals.steps(phases, lasts, np.random.default_rng(seed))
        service_s = tuple(ms / 1e3 for ms in curve(self.shape)(1, self.most))
        return self._through(PodLog(moments, Batcher(self.start, service_s)), lasts, len(rates))

    def _through(self, pod, lasts, most):
        applied, changed_at_s, open_window, steps = self.start, None, WindowState(), []
        settings = window_settings(10**6, self.window_s, self.window_s)
        for now_s in range(lasts + 1):
            pod.run(float(now_s))
            open_window, seen = observe(
                open_window,
                {"pod": pod.look(float(now_s))},
                settings,
                percentile=99,
                now_s=float(now_s),
                changed_at_s=changed_at_s,
            )
            if seen is None or len(steps) == most:
                continue
            seen = self.spoil(seen, applied)
            decision = self._decided(applied, seen)
            steps.append(Step(applied, seen, decision))
            if decision is not None and decision.batching.canonical() != applied:
                applied, changed_at_s = decision.batching.canonical(), float(now_s)
                pod.change(applied, changed_at_s)
        return steps

    def _decided(self, applied, seen):
        if self.decide is None:
            return None
        decision = self.decide(self.spec, self.wanted, applied, seen, self.state)
        self.state = decision.state
        return decision


def spoiled(share, every=1):
    """Let so many of the requests fail in every so manieth window, whatever the bound."""
    windows = 0

    def spoil(seen, _applied):
        nonlocal windows
        windows += 1
        failures = 0 if windows % every else round(share * seen.requests)
        return replace(seen, failures=failures, requests=seen.requests - failures)

    return spoil
