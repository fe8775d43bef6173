"""One picture of each act, made of its story: what happened should be seen without reading."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hack.demo.story import Story

GOOD, BAD, ASKED, CALM, DARK = "#2e8b57", "#c8402d", "#1b3a57", "#b9c0c7", "#333333"
_WATCHED: Final = "#f1f1f1"
_LINE = 2.2
#: The last second of a load is a shorter one: its bar would lie on that of the one before.
_PART_S = 0.1

mpl.rcParams["svg.hashsalt"] = "ferryman"
mpl.rcParams["font.size"] = 11


def rescue(story: Story, target_ms: float, path: Path) -> Path:
    """Draw act 1: latency against its target, and below it what is answered of what is asked."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    known = [each for each in story.seconds if each.p99_ms is not None]
    at_s, p99_ms = [each.at_s for each in known], [each.p99_ms or 0.0 for each in known]
    above.plot(at_s, p99_ms, color=DARK, linewidth=_LINE)
    for fails, colour in ((True, BAD), (False, GOOD)):
        where = [(late > target_ms) is fails for late in p99_ms]
        above.fill_between(
            at_s, target_ms, p99_ms, where=where, interpolate=True, color=colour, alpha=0.35
        )
    above.axhline(target_ms, color=GOOD, linewidth=_LINE, linestyle="--")
    _at_the_end(above, story, target_ms, f"{target_ms:g} ms", GOOD)
    above.set(ylabel="p99, ms", ylim=(0, 1.1 * max([*p99_ms, target_ms])))
    _draw_answers(below, story)
    bounds = [(look.at_s, look.setting.get("maxBatchSize", 0)) for look in story.looks]
    _mark(above, story, [f"{size}" for size in _steps(bounds)])
    _mark(below, story)
    return _save(figure, below, story, path)


def economy(story: Story, target_ms: float, path: Path) -> Path:
    """Draw act 2: the device's time while it is being spared, and before and after as two bars."""
    figure = Figure(figsize=(9, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(3, 1), height_ratios=(2, 1))
    over_time, bars = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[:, 1])
    latency = figure.add_subplot(grid[1, 0], sharex=over_time)
    shares = story.busy()
    at_s, percent = [at for at, _ in shares], [100 * share for _, share in shares]
    over_time.fill_between(at_s, percent, color=ASKED, alpha=0.35, step="pre")
    over_time.step(at_s, percent, color=ASKED, linewidth=_LINE, where="pre")
    over_time.set(ylabel="device busy, %", ylim=(0, 1.2 * max(percent, default=1.0)))
    _draw_bars(bars, story)
    known = [each for each in story.seconds if each.p99_ms is not None]
    latency.plot([each.at_s for each in known], [each.p99_ms or 0 for each in known], color=DARK)
    latency.axhline(target_ms, color=GOOD, linewidth=_LINE, linestyle="--")
    top_ms = max([target_ms, *(each.p99_ms or 0 for each in known)])
    latency.set(ylabel="p99, ms", ylim=(0, 1.15 * top_ms))
    _at_the_end(latency, story, target_ms, f"{target_ms:g} ms", GOOD)
    _mark(over_time, story)
    _mark(latency, story)
    return _save(figure, latency, story, path)


def workers(story: Story, path: Path) -> Path:
    """Draw act 3: each step's workers as stairs, what is read of what is asked, and how right."""
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    stairs, answers, right = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    series = {
        step: [(look.at_s, look.setting.get(step, 1)) for look in story.looks]
        for step in story.looks[0].setting
    }
    most = max((count for points in series.values() for _, count in points), default=1)
    grown = [step for step, points in series.items() if max(n for _, n in points) > 1]
    for number, (step, points) in enumerate(series.items()):
        # Beside each other, not on top of each other: most steps keep their one worker.
        shift = 0.06 * (number - len(series) / 2)
        colour = (BAD, ASKED, GOOD)[grown.index(step) % 3] if step in grown else CALM
        stairs.step(
            [at for at, _ in points],
            [count + shift for _, count in points],
            where="post",
            color=colour,
            linewidth=2 * _LINE if step in grown else _LINE,
        )
        if step in grown:
            _at_the_end(stairs, story, points[-1][1] + shift, step, colour)
    stairs.set(ylabel="workers", ylim=(0, most + 0.6), yticks=range(most + 1))
    _draw_answers(answers, story)
    scored = [(each.at_s, 100 * each.accuracy) for each in story.seconds if each.accuracy]
    right.plot(*zip(*scored, strict=True), "o", color=GOOD, markersize=4)
    right.set(ylabel="characters\nright, %", ylim=(0, 108), yticks=(0, 50, 100))
    for axes in (stairs, answers, right):
        _mark(axes, story)
    return _save(figure, right, story, path)


def _draw_answers(axes: Axes, story: Story) -> None:
    """Draw what is answered each second as bars, and what is asked as a line."""
    whole = [each for each in story.seconds if abs(each.at_s - round(each.at_s)) < _PART_S]
    asked = [each for each in whole if each.asked]
    level = sum(each.asked for each in asked) / max(1, len(asked))
    short = [each.ok < 0.9 * level and each.waiting > level for each in whole]
    axes.bar(
        [each.at_s - 0.5 for each in whole],
        [each.ok for each in whole],
        width=1.0,
        color=[BAD if is_short else GOOD for is_short in short],
        alpha=0.6,
    )
    axes.axhline(level, color=ASKED, linewidth=_LINE, linestyle="--")
    _at_the_end(axes, story, level, "asked", ASKED)
    axes.set(ylabel="answers/s", ylim=(0, None))


def _draw_bars(axes: Axes, story: Story) -> None:
    shares = [100 * share for share in story.busy_before_and_after()]
    axes.bar((0, 1), shares, color=(CALM, GOOD), width=0.7)
    for place, share in enumerate(shares):
        axes.text(place, share, f"{share:.0f} %", ha="center", va="bottom", fontsize=16)
    axes.set(xticks=(0, 1), xticklabels=("before", "after"), yticks=())
    axes.spines[["top", "right", "left"]].set_visible(False)


def _mark(axes: Axes, story: Story, values: Sequence[str] = ()) -> None:
    """Shade what was only watched, and mark each change, with what it led to if that is given."""
    axes.axvspan(0, story.allowed_at_s, color=_WATCHED, zorder=0)
    for number, change in enumerate(story.changes):
        axes.axvline(change.at_s, color=GOOD, linewidth=_LINE, zorder=1)
        if number + 1 < len(values):
            axes.annotate(
                f" {values[number]} → {values[number + 1]}",
                (change.at_s, 0.97 - 0.12 * number),
                xycoords=("data", "axes fraction"),
                va="top",
                color=GOOD,
                fontsize=14,
                fontweight="bold",
            )
    axes.spines[["top", "right"]].set_visible(False)


def _steps(points: Sequence[tuple[float, int]]) -> list[int]:
    """Return the values that followed each other, each once."""
    values = [value for _, value in points]
    return [value for at, value in enumerate(values) if at == 0 or value != values[at - 1]]


def _at_the_end(axes: Axes, story: Story, y: float, words: str, colour: str) -> None:
    axes.text(story.seconds[-1].at_s, y, f" {words}", color=colour, va="center")


def _save(figure: Figure, lowest: Axes, story: Story, path: Path) -> Path:
    lowest.set(xlabel="s", xlim=(0, story.seconds[-1].at_s))
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata: dict[str, Any] = {"Date": None}
    figure.savefig(path, metadata=metadata)
    return path
