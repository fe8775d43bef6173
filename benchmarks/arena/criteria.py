"""What was promised, beside what the runs show: one row for each promise about ``Guarded``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from statistics import median
from typing import Any, Final

from benchmarks.arena.plan import ORACLE
from ferryman.core.batching.actuators import ACTUATORS
from ferryman.core.simulator.scenario import Scenario

Result = dict[str, Any]
#: Scenario -> contender -> seed -> result.
Results = Mapping[str, Mapping[str, Mapping[int, Result]]]

OURS: Final = "guarded"
LARGEST: Final = "bound-128"
HILL_CLIMB: Final = "hill-climb"
#: This share of a goodput is the same goodput.
AS_GOOD: Final = 0.99
_MS_PER_S: Final = 1e3
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Row:
    """One promise and what was found."""

    promise: str
    target: str
    found: str
    held: bool


def rows(
    results: Results,
    scenarios: Mapping[str, Scenario],
    *,
    whole: float | None = 0.97,
    after: float = 0.99,
) -> list[Row]:
    """Return every promise that the results can tell about.

    ``whole`` and ``after`` are what was promised of goodput, by the oracle's, over the whole run
    (None: nothing) and after convergence.
    """
    promises: tuple[Callable[[Results, Mapping[str, Scenario]], Row | None], ...] = (
        _windows_to_reach,
        partial(_whole_run, target=whole),
        partial(_after_convergence, target=after),
        _against_the_largest_bound,
        partial(_largest_bound_after, short=whole is None),
        _against_the_hill_climb,
        _convex,
        _slack,
        _step,
        _infeasible,
        _stationary,
        _overload,
        _after_overload,
    )
    found = (promise(results, scenarios) for promise in promises)
    return [row for row in found if row is not None]


def capacity_per_s(scenario: Scenario) -> float:
    """Return what full batches serve that are answered in time.

    A request that arrives while a batch is executed waits for it and is then executed itself:
    counted are batches whose service time is at most half the latency target.
    """
    largest = scenario.batching.limits.max_batch_size.max
    served = [
        size / tau_s
        for size, tau_s in enumerate(scenario.service_time.curve_s(largest), start=1)
        if 2 * tau_s * _MS_PER_S <= scenario.target_ms
    ]
    return max(served, default=0.0) * scenario.batching.limits.instances.max


def reloads_until(result: Result, window: int, window_s: float) -> int:
    """Return how many reloads were carried out before the end of a window, of those kept."""
    return sum(
        ACTUATORS[change["actuator"]].reloads and change["at"] <= window * window_s
        for change in result["changes"]
    )


def _ours(results: Results, scenario: str) -> list[Result]:
    return list(results.get(scenario, {}).get(OURS, {}).values())


def _comparable(results: Results) -> dict[str, list[Result]]:
    """Return our results by scenario where the oracle has goodput to speak of."""
    found = {scenario: _ours(results, scenario) for scenario in results}
    kept = {
        scenario: [result for result in ours if result["ratio"] is not None]
        for scenario, ours in found.items()
    }
    return {scenario: ours for scenario, ours in kept.items() if ours}


def _windows_to_reach(results: Results, scenarios: Mapping[str, Scenario]) -> Row | None:
    quick = [
        result["reached"] is not None
        and result["reached"] <= 3  # noqa: PLR2004  the promise
        and reloads_until(result, result["reached"], scenarios[name].window_seconds) <= 2  # noqa: PLR2004
        for name, ours in _comparable(results).items()
        for result in ours
    ]
    if not quick:
        return None
    share = sum(quick) / len(quick)
    return Row(
        "95 % of the oracle's goodput after at most 3 windows and 2 reloads",
        "in 90 % of runs",
        f"in {share:.0%} of {len(quick)} runs",
        share >= 0.9,  # noqa: PLR2004
    )


def _whole_run(results: Results, _: Mapping[str, Scenario], *, target: float | None) -> Row | None:
    if target is None:
        return None
    shares = {name: _values(ours, "ratio") for name, ours in _comparable(results).items()}
    return _least("goodput of the whole run, by the oracle's", shares, target)


def _after_convergence(results: Results, _: Mapping[str, Scenario], *, target: float) -> Row | None:
    found = _comparable(results)
    shares = {name: _values(ours, "ratioAfter") for name, ours in found.items()}
    return _least("goodput after convergence, by the oracle's", shares, target)


def _against_the_largest_bound(results: Results, _: Mapping[str, Scenario]) -> Row | None:
    shares = {name: _ratios(results, name, LARGEST, "goodput") for name in _comparable(results)}
    return _least("goodput, by that of bound 128 and delay 0", shares, 0.99)


def _largest_bound_after(results: Results, _: Mapping[str, Scenario], *, short: bool) -> Row | None:
    """Compare goodput after convergence, where runs are so short that the time before decides."""
    if not short:
        return None
    shares = {
        name: [_goodput_after(ours, other) for ours, other in _pairs(results, name, LARGEST)]
        for name in _comparable(results)
    }
    return _least("the same after convergence", shares, 0.99)


def _goodput_after(ours: Result, other: Result) -> float:
    """Return the goodput since we converged by another's in the same windows; 0 if we did not."""
    if ours["reached"] is None:
        return 0.0
    mine, theirs = (sum(run["series"][ours["reached"] :]) for run in (ours, other))
    return float(mine / theirs) if theirs else 1.0


def _against_the_hill_climb(results: Results, scenarios: Mapping[str, Scenario]) -> Row | None:
    """Compare times, in runs whose goodput is that of the hill climb: until its last change."""
    shares, lost = [], 0
    for name, ours in _comparable(results).items():
        climbed = results[name].get(HILL_CLIMB, {})
        for seed, result in results[name].get(OURS, {}).items():
            if result not in ours or not climbed.get(seed, {}).get("settledAt"):
                continue
            reached, theirs = result["reached"], climbed[seed]
            if reached is None or result["goodput"] < AS_GOOD * theirs["goodput"]:
                lost += 1
            else:
                took_s = reached * scenarios[name].window_seconds
                shares.append(took_s / theirs["settledAt"])
    if not shares:
        return None
    share = median(shares)
    return Row(
        "time to 95 % of the oracle's goodput, by the hill climb's measuring time",
        "at most 0.1",
        f"median {share:.2f} of {len(shares)} runs; {lost} more have less goodput",
        share <= 0.1,  # noqa: PLR2004
    )


def _convex(results: Results, _: Mapping[str, Scenario]) -> Row | None:
    shares = {"convex-bursts": _ratios(results, "convex-bursts", ORACLE, "attainment")}
    return _least("convex with bursts: attainment, by the oracle's", shares, 0.95)


def _slack(results: Results, scenarios: Mapping[str, Scenario]) -> Row | None:
    busy = [
        _device_time(ours, other, scenarios["slack"].window_seconds)
        for ours, other in _pairs(results, "slack", LARGEST)
        if other["busy"] > 0
    ]
    if not busy:
        return None
    attained = min(result["attainment"] for result in _ours(results, "slack"))
    return Row(
        "slack: device time, by that of delay 0, at 99 % attainment",
        "at most 0.70",
        f"{median(busy):.2f} (up to {max(busy):.2f}), attainment at least {attained:.3f}",
        max(busy) <= 0.7 and attained >= 0.99,  # noqa: PLR2004
    )


def _device_time(ours: Result, other: Result, window_s: float) -> float:
    """Return device time by another's: after the last change, where it is known by window.

    The minutes of a real run are mostly those before device time is saved.
    """
    begun = ceil((ours["settledAt"] or 0.0) / window_s)
    spent, by_other = (run.get("busySeries", ())[begun:] for run in (ours, other))
    if spent and by_other:
        return float(sum(spent) / sum(by_other))
    return float(ours["busy"] / other["busy"])


def _step(results: Results, _: Mapping[str, Scenario]) -> Row | None:
    ours = _ours(results, "step")
    if not ours:
        return None
    slowest = [_slowest(turn["recovered"] for turn in result["turns"]) for result in ours]
    return _at_most("step: windows until recovered", slowest, 2)


def _infeasible(results: Results, _: Mapping[str, Scenario]) -> Row | None:
    ours = _ours(results, "infeasible")
    if not ours:
        return None
    said = [result["shortage"]["window"] for result in ours if result["shortage"]]
    after = [result["shortage"]["changesAfter"] for result in ours if result["shortage"]]
    told = f"in {len(said)} of {len(ours)} runs"
    if said:
        told += (
            f", after {median(said):.0f} windows (up to {max(said)}), {max(after)} changes later"
        )
    held = len(said) == len(ours) and max(said) <= 1 and max(after) == 0
    return Row("infeasible: NeedsCapacity", "after 1 window, no change later", told, held)


def _stationary(results: Results, scenarios: Mapping[str, Scenario]) -> Row | None:
    ours = _ours(results, "stationary")
    if not ours:
        return None
    hours = scenarios["stationary"].duration_s / _HOUR_S
    changes = [sum(result["byActuator"].values()) / hours for result in ours]
    return _at_most("stationary: changes in an hour", changes, 1)


def _overload(results: Results, scenarios: Mapping[str, Scenario]) -> Row | None:
    ours = _ours(results, "overload-reject")
    if not ours:
        return None
    capacity = capacity_per_s(scenarios["overload-reject"])
    goodput = [min(turn["goodput"] for turn in result["turns"][::2]) for result in ours]
    shares = {"overload-reject": [value / capacity for value in goodput]}
    queue = _ours(results, "overload-queue")
    row = _least("overload with Reject: goodput in it, by the capacity", shares, 0.9)
    if row is None or not queue:
        return row
    lowest = median(min(turn["goodput"] for turn in r["turns"][::2]) for r in queue) / capacity
    return Row(row.promise, row.target, f"{row.found}; with Queue {lowest:.2f}", row.held)


def _after_overload(results: Results, _: Mapping[str, Scenario]) -> Row | None:
    ours = _ours(results, "overload-reject")
    if not ours:
        return None
    slowest = [_slowest(turn["attained"] for turn in result["turns"][1::2]) for result in ours]
    return _at_most("after overload with Reject: windows until attainment is 0.99", slowest, 1)


def _values(ours: Sequence[Result], field: str) -> list[float]:
    """Return a figure of each run; 0 where it was never reached."""
    return [result[field] or 0.0 for result in ours]


def _pairs(results: Results, scenario: str, other: str) -> list[tuple[Result, Result]]:
    """Return each result of ours with that of another contender under the same seed."""
    entries = results.get(scenario, {})
    ours, others = entries.get(OURS, {}), entries.get(other, {})
    return [(ours[seed], others[seed]) for seed in sorted(ours.keys() & others.keys())]


def _ratios(results: Results, scenario: str, other: str, field: str) -> list[float]:
    """Return a figure of ours by another contender's, seed by seed."""
    pairs = _pairs(results, scenario, other)
    return [mine[field] / theirs[field] for mine, theirs in pairs if theirs[field] > 0]


def _slowest(windows: Any) -> float:  # noqa: ANN401  numbers and None
    return max((float("inf") if value is None else value for value in windows), default=0.0)


def _least(promise: str, shares: Mapping[str, Sequence[float]], target: float) -> Row | None:
    """Return a row about the scenario in which the median over the seeds is least."""
    medians = {name: median(values) for name, values in shares.items() if values}
    if not medians:
        return None
    worst = min(medians, key=medians.__getitem__)
    where = f" in {worst}" if len(shares) > 1 else ""
    short = [name for name, value in medians.items() if value < target]
    found = f"least median {medians[worst]:.3f}{where} (worst seed {min(shares[worst]):.3f})"
    if len(shares) > 1:
        found += f"; {len(short)} of {len(medians)} scenarios below"
    return Row(promise, f"at least {target}", found, not short)


def _at_most(promise: str, values: Sequence[float], target: float) -> Row:
    def shown(value: float) -> str:
        return "never" if value == float("inf") else f"{value:.1f}".removesuffix(".0")

    found = f"median {shown(median(values))}, up to {shown(max(values))}"
    return Row(promise, f"at most {target:.0f}", found, max(values) <= target)
