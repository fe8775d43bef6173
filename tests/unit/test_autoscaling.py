"""An autoscaler that follows ``ferryman_model_desired_replicas`` scales with the load, and no more.

The model is simulated, window by window; the operator decides after each, and an HPA as KEDA makes
it (``benchmarks.scaling.hpa``) looks at the metric every 15 s.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import groupby

import pytest

from benchmarks.scaling.hpa import SYNC_S, Autoscaler
from ferryman.api.inference_model_status import InferenceModelStatus
from ferryman.core.batching.decide import decide
from ferryman.core.scaling.desired import shown
from ferryman.core.simulator import loads
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import simulate
from ferryman.core.simulator.tuned_run import Tuned
from ferryman.core.snapshot import PodView, ServingState
from ferryman.core.tuners.protocol import Decision
from ferryman.core.tuners.select import TunerState
from tests.factories import NOW, model

WINDOW_S = 30
TARGET_MS = 500
#: One pod serves up to 86 requests/s within 500 ms.
SCENARIO = Scenario.model_validate(
    {
        "serviceTime": {"coefficients": {"t0": 50, "a": 10}},
        "arrivals": {"poisson": {"ratePerSecond": 1}},
        "objectives": {"latency": {"targetMilliseconds": TARGET_MS}},
        "batching": {
            "limits": {"maxBatchSize": {"max": 32}, "instances": {"max": 1}},
            "window": {"maxSeconds": WINDOW_S, "maxRequests": 1_000_000},
        },
        "windows": 1,
        "windowSeconds": WINDOW_S,
    }
)
#: From when on how many requests/s: it doubles, stays, and halves.
LOAD = {0: 120.0, 600: 240.0, 1_500: 120.0}
ENDS_S = 2_700


def observed(now_s, rate_per_s, batching, replicas):
    """Return the window that so many pods show under this load from a moment on."""
    windows = []

    def look(_spec, _objectives, applied, window, state):
        windows.append(window)
        return Decision(applied, "Looking", "", state)

    scenario = SCENARIO.with_(
        arrivals=SCENARIO.arrivals.with_(
            poisson=SCENARIO.arrivals.poisson.with_(rate_per_second=rate_per_s)
        ),
        replicas=replicas,
        seed=int(now_s),
    )
    simulate(scenario, loads.draw(scenario), Tuned(look, start=batching))
    return replace(windows[0], ended_at_s=now_s + windows[0].seconds)


@dataclass(frozen=True)
class Look:
    """What was there when a window ended."""

    at_s: float
    replicas: int
    met: bool


def follow(load, ends_s, replicas, algorithm="Guarded"):
    """Let an autoscaler follow the metric; return what was there at the end of each window."""
    autoscaler, looks, now_s = Autoscaler(replicas), [], 0.0
    spec = SCENARIO.batching.with_(algorithm=algorithm)
    state, status, applied = TunerState(), InferenceModelStatus(), SCENARIO.start
    while now_s < ends_s:
        running, begun_s = autoscaler.replicas, now_s
        rate_per_s = next(rate for since_s, rate in reversed(load.items()) if since_s <= now_s)
        window = observed(now_s, rate_per_s, applied, running)
        now_s = window.ended_at_s
        looks.append(Look(now_s, running, window.latency_ms <= TARGET_MS))
        pods = [PodView(name=f"{i}", ready=True, batching=applied) for i in range(running)]
        found = decide(
            model(objectives=SCENARIO.objectives, batching=spec, status=status, replicas=running),
            ServingState(exists=True, ready_replicas=running, model_ready=True, pods=tuple(pods)),
            {},
            window=window,
            steady=False,
            state=state,
            now=NOW + timedelta(seconds=now_s),
        )
        applied = found.actuation.after if found.actuation else applied
        state = found.state
        status = status.with_(batching=found.status.with_(applied=applied))
        for moment_s in range(int(begun_s) + 1, int(now_s) + 1):
            if moment_s % SYNC_S == 0:
                autoscaler.sync(shown(status.batching, autoscaler.replicas), moment_s)
    return looks


def between(looks, since_s, until_s):
    return [look for look in looks if since_s <= look.at_s < until_s]


def test_replicas_follow_a_load_that_doubles_stays_and_halves_without_flapping():
    looks = follow(LOAD, ENDS_S, 1)
    steps = [replicas for replicas, _ in groupby(looks, lambda look: look.replicas)]
    calm, busy, late = (between(looks, 0, end)[-1].replicas for end in (600, 1_500, ENDS_S))

    assert calm < busy, "twice the load takes more"
    assert late < busy, "half of it takes fewer again"
    peak = steps.index(max(steps))
    assert steps == sorted(steps[:peak]) + sorted(steps[peak:], reverse=True), "up, then down"
    for since_s, until_s in ((300, 600), (900, 1_500), (1_500, ENDS_S)):
        met = [look.met for look in between(looks, since_s, until_s)]
        assert sum(met) >= 0.9 * len(met), (since_s, until_s)


def test_a_load_that_stays_moves_nothing_once_it_is_known():
    looks = follow({0: 150.0}, 1_800, 3)
    assert len({look.replicas for look in between(looks, 900, 1_800)}) == 1


@pytest.mark.parametrize("replicas", [1, 4])
def test_trend_never_asks_for_another_number(replicas):
    """It predicts nothing, so the number stays the present one."""
    assert {look.replicas for look in follow({0: 60.0}, 600, replicas, "Trend")} == {replicas}
