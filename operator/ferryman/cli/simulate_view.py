"""What ``ferryman simulate`` shows: one algorithm beside configurations that never change."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ferryman.api.batching import Batching
from ferryman.api.scaling import ScalingChange
from ferryman.cli.tables import Column, Listing
from ferryman.cli.terminal import console
from ferryman.cli.tuning.lines import needs_words
from ferryman.core import timestamps
from ferryman.core.simulator.figures import Figures, windows_to_converge
from ferryman.core.simulator.oracle import Static
from ferryman.core.simulator.scenario import Scenario
from ferryman.core.simulator.simulation import EPOCH
from ferryman.core.simulator.tuned_run import CapacityShortage, Run
from ferryman.core.tuners import needs
from ferryman.core.wording import describe

COLUMNS = (
    *("goodput/s", "attained", "lost"),
    *("p50 ms", "p90 ms", "p95 ms", "p99 ms", "busy s", "mean b"),
)


@dataclass(frozen=True)
class Comparison:
    """One algorithm beside the static contenders, under the same arrivals."""

    scenario: Scenario
    algorithm: str
    run: Run
    first: Static
    """Where tuning starts, kept."""
    largest: Static
    """The largest bound that the limits allow, without delay where they allow none."""
    oracle: Static | None
    """The best of those tried; None where none was to be."""
    tried: int
    """Among so many configurations the oracle was found …"""
    of: int
    """… of so many that there are."""

    @property
    def busy_by_oracle(self) -> float | None:
        """Device time in the second half, by the oracle's; None where there is none of either."""
        mine = self.run.figures.device_busy_by_half_s
        best = self.oracle.figures.device_busy_by_half_s if self.oracle else None
        return mine[1] / best[1] if mine and best and best[1] else None

    @property
    def windows_to_converge(self) -> int | None:
        """Windows until the algorithm stays within 5 % of the oracle; None for never."""
        if self.oracle is None:
            return None
        best = self.oracle.figures.goodput_by_window
        return windows_to_converge(self.run.figures.goodput_by_window, best)


def as_json(compared: Comparison) -> dict[str, Any]:
    """Return the comparison as JSON values; units are in the names."""
    tuned = compared.run
    changes = [
        {
            "window": change.window,
            "atSeconds": change.at_s,
            "actuator": change.actuator,
            "after": change.after.as_dict(),
            "reason": change.reason,
            "message": change.message,
        }
        for change in tuned.changes
    ]
    return {
        "seed": compared.scenario.seed,
        "replicas": compared.scenario.replicas,
        "algorithm": {
            "name": compared.algorithm,
            **_contender(tuned.batching, tuned.figures),
            "windowsToConverge": compared.windows_to_converge,
            "windowsObserved": tuned.windows,
            "changesByActuator": tuned.changes_by_actuator,
            "needsCapacity": _shortage(tuned.shortage),
            "changes": changes,
            "scaling": _scaling(compared),
        },
        "initial": _contender(compared.first.batching, compared.first.figures),
        "largest": _contender(compared.largest.batching, compared.largest.figures),
        "oracle": _oracle(compared),
    }


def _scaling(compared: Comparison) -> dict[str, Any] | None:
    """Return what own scaling did; None where the scenario has none."""
    if compared.scenario.scaling is None:
        return None
    run = compared.run
    changes = [
        {
            "atSeconds": _at_s(change),
            "before": change.before,
            "after": change.after,
            "reason": change.reason,
            "message": change.message,
        }
        for change in run.scaled
    ]
    return {"podSeconds": run.pod_seconds, "changes": changes}


def _oracle(compared: Comparison) -> dict[str, Any] | None:
    if compared.oracle is None:
        return None
    best = _contender(compared.oracle.batching, compared.oracle.figures)
    return {**best, "tried": compared.tried, "configurations": compared.of}


def _shortage(shortage: CapacityShortage | None) -> dict[str, Any] | None:
    if shortage is None:
        return None
    return {
        "window": shortage.window,
        "atSeconds": shortage.at_s,
        "replicas": needs.number(shortage.needs),
        "unattainable": needs.unattainable(shortage.needs),
    }


def _contender(batching: Batching, figures: Figures) -> dict[str, Any]:
    return {
        "batching": batching.as_dict(),
        "offered": figures.offered,
        "goodputPerSecond": figures.goodput_per_s,
        "attainment": figures.attainment,
        "latencyMilliseconds": {f"p{p}": value for p, value in figures.latency_ms.items()},
        "deviceBusySeconds": figures.device_busy_s,
        "deviceBusySecondsByHalf": list(figures.device_busy_by_half_s or ()),
        "rejected": figures.rejected,
        "failed": figures.failed,
        "meanBatchSize": figures.mean_batch_size,
        "goodputByWindow": list(figures.goodput_by_window),
    }


def show(compared: Comparison) -> None:
    """Print the comparison as a table, and what the algorithm did in words."""
    scenario, tuned = compared.scenario, compared.run
    title = f"{tuned.figures.offered} requests in {scenario.duration_s:.0f} s"
    figures = (Column(name, right=True) for name in COLUMNS)
    table = Listing(
        (Column("contender"), Column("batching at the end", fold=14, below=True), *figures),
        title=title,
    )
    table.add(compared.algorithm, describe(tuned.batching), *_cells(tuned.figures))
    for name, static in (
        ("initial, kept", compared.first),
        ("largest bound", compared.largest),
        ("oracle", compared.oracle),
    ):
        if static is not None:
            table.add(name, describe(static.batching), *_cells(static.figures))
    screen = console()
    screen.print(table)
    if tuned.scaled:
        screen.print(_replicas(tuned))
    screen.print(_story(compared), soft_wrap=True, markup=False)


def _replicas(run: Run) -> Listing:
    """Return each change of the number of replicas, and why it was made."""
    columns = (*(Column(name, right=True) for name in ("after s", "from", "to")), Column("reason"))
    table = Listing((*columns, Column("why", fold=24, below=True)), title="Replicas")
    for change in run.scaled:
        counts = (f"{_at_s(change):.0f}", str(change.before), str(change.after))
        table.add(*counts, change.reason, change.message)
    return table


def _at_s(change: ScalingChange) -> float:
    return (timestamps.parse(change.time) - EPOCH).total_seconds()


def _cells(figures: Figures) -> tuple[str, ...]:
    return (
        f"{figures.goodput_per_s:.1f}",
        f"{figures.attainment:.1%}",
        f"{figures.rejected + figures.failed}",
        *(f"{latency:.1f}" for latency in figures.latency_ms.values()),
        *("-" * (0 if figures.latency_ms else 4)),
        f"{figures.device_busy_s:.1f}",
        f"{figures.mean_batch_size:.2f}",
    )


def _story(compared: Comparison) -> str:
    """Return what the algorithm did, in one line."""
    used = compared.run.changes_by_actuator
    changes = ", ".join(f"{count} {actuator}" for actuator, count in used.items()) or "none"
    short = compared.run.shortage
    lacking = f"; NeedsCapacity: objectives missed, {needs_words(short.needs)}" if short else ""
    parts = (*_converged(compared), f"changes: {changes}{lacking}", *_scaled(compared))
    return f"{compared.algorithm}: {'; '.join(parts)}"


def _scaled(compared: Comparison) -> Iterator[str]:
    """Yield how many replicas own scaling took, in words."""
    scenario, run = compared.scenario, compared.run
    if scenario.scaling is None:
        return
    told = f"changed {len(run.scaled)} times" if run.scaled else "no change"
    mean = run.pod_seconds / scenario.duration_s
    yield f"replicas: {told}, {mean:.2f} on average, {scenario.replicas} of each other contender"


def _converged(compared: Comparison) -> Iterator[str]:
    if compared.oracle is None:
        return
    after, windows = compared.windows_to_converge, compared.scenario.windows
    of = f"{windows} window{'' if windows == 1 else 's'}"
    yield (
        f"never stays within 5 % of the oracle in {of}"
        if after is None
        else f"within 5 % of the oracle after {after} of {of}"
    )
    busy = compared.busy_by_oracle
    if busy is not None:
        yield f"device time in the second half {busy:.2f} of the oracle's"
    if compared.tried < compared.of:
        yield (
            f"the oracle is the best of {compared.tried} configurations out of {compared.of} "
            "(--oracle all tries each of them)"
        )
