"""Algorithm ``Trend``: additive increase, additive decrease, confirmed by a trend test.

Every window that misses an objective moves a *trajectory* one step (additive increase,
additive decrease). When it has ``trend.samples`` values, the applied bound moves one step by
the sign of their Mann-Kendall Z, or stays at Z = 0, and a new trajectory starts from there.
"""

from dataclasses import replace

from ferryman.api.batching import Batching, BatchingSpec
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.mann_kendall import Bounds, Sign, extend, mann_kendall, sign
from ferryman.core.observation.objectives import MIN_REQUESTS, Verdict, judge
from ferryman.core.observation.window import Window
from ferryman.core.tuners.state import TuneDecision, TunerState, with_bound


def decide(
    spec: BatchingSpec,
    objectives: Objectives,
    applied: Batching,
    window: Window,
    state: TunerState,
) -> TuneDecision:
    """Decide about the batch size bound after one window.

    While every objective is met the bound is held, and so is the trajectory: now and then a
    good window does not make the tuner forget that most are bad. ``trend.samples`` good
    windows in a row do: what was collected before them is no recent trend.
    """
    state = of_applied(state, applied)
    verdict = judge(objectives, window, queue_delay_ms=applied.max_queue_delay_microseconds / 1000)
    if verdict.met is None:
        return TuneDecision(applied, verdict.reason, verdict.message, state)
    if window.requests < MIN_REQUESTS:
        message = f"only {window.requests} requests in the window, {MIN_REQUESTS} needed to judge"
        return TuneDecision(applied, Reason.OBSERVING, message, state)
    if verdict.met:
        return TuneDecision(applied, Reason.MET, verdict.message, _held(state, spec))
    return step(spec, applied, verdict, state)


def direction_of(verdict: Verdict) -> Sign:
    """Return where additive increase and decrease goes after a window.

    By latency where there is a latency objective: below the target up, above it down, at it
    stay. Without one, missing throughput goes up.
    """
    if verdict.latency is None:
        return 1
    return sign(-verdict.latency)


def of_applied(state: TunerState, applied: Batching) -> TunerState:
    """Return the state, started afresh if somebody else moved the bound meanwhile."""
    start = applied.max_batch_size
    return state if state.trajectory[:1] == (start,) else state.collecting((start,))


def _held(state: TunerState, spec: BatchingSpec) -> TunerState:
    met_in_a_row = state.met_in_a_row + 1
    if met_in_a_row < spec.trend.samples:
        return replace(state, met_in_a_row=met_in_a_row)
    return state.collecting(state.trajectory[:1], met_in_a_row=spec.trend.samples)


def step(
    spec: BatchingSpec, applied: Batching, verdict: Verdict, state: TunerState
) -> TuneDecision:
    """Extend the trajectory by one value; when it is complete, move the bound by its trend."""
    state = of_applied(state, applied)
    bounds = Bounds(spec.limits.max_batch_size.min, spec.limits.max_batch_size.max)
    direction = direction_of(verdict)
    trajectory = extend(state.trajectory, direction, step=spec.step, bounds=bounds)
    samples = spec.trend.samples
    if len(trajectory) < samples:
        message = f"{verdict.message}; {len(trajectory)} of {samples} values collected"
        return TuneDecision(applied, Reason.COLLECTING, message, state.collecting(trajectory))
    z = mann_kendall(trajectory).z
    bound = applied.max_batch_size
    after = bounds.clamp(bound + sign(z) * spec.step)
    at_limit = bounds.is_limit(bound, _pull(trajectory, z, direction))
    reason = _reason(bound, after, at_limit=at_limit)
    message = f"{_move(bound, after)}: trend Z {z:+.2f} over {samples} values; {verdict.message}"
    batching = with_bound(applied, after)
    return TuneDecision(batching, reason, message, state.collecting((after,)))


def _pull(trajectory: tuple[int, ...], z: float, direction: Sign) -> Sign:
    """Return where the trend goes, or would go were the trajectory not pinned to a limit."""
    if z == 0 and len(set(trajectory)) == 1:
        return direction
    return sign(z)


def _reason(bound: int, after: int, *, at_limit: bool) -> Reason:
    if after != bound:
        return Reason.TREND_INCREASE if after > bound else Reason.TREND_DECREASE
    return Reason.AT_LIMIT if at_limit else Reason.TREND_FLAT


def _move(bound: int, after: int) -> str:
    return (
        f"max_batch_size {bound} to {after}" if after != bound else f"max_batch_size stays {bound}"
    )
