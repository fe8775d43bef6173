"""What each act ends with: a table, and whether anything was broken. Made of stories alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from hack.demo.story import SETTLED_S, Second, Story, accuracy, chance, per_s, typical_p99_ms

MIN_ACCURACY = 0.95
#: The balance of two rates is called even from here on.
_EVEN = 0.95


@dataclass(frozen=True)
class Outcome:
    """One act: its figures as rows of a table, what was broken, and its picture."""

    title: str
    rows: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]
    picture: Path | None = None
    reached: tuple[str, ...] = field(default=())
    """What a busy machine did not let come about, or is worth saying."""


def table(outcome: Outcome) -> Table:
    """Return the table of an act."""
    shown = Table("", "", title=outcome.title, show_header=False, title_justify="left")
    for row in outcome.rows:
        shown.add_row(*row)
    return shown


def faults(story: Story) -> tuple[str, ...]:
    """Return what is broken, however slow the machine: lost answers, wrong ones, nothing done."""
    found = []
    if story.failed:
        found.append(f"{story.failed} requests failed")
    if not any(second.ok for second in story.seconds):
        found.append("nothing was answered")
    if not story.changes:
        found.append("the operator changed nothing")
    return (*found, *_wrong(story))


def _wrong(story: Story) -> Iterator[str]:
    """Yield where answers are more often wrong than chance can explain."""
    seen = {phase: _scored(seconds) for phase, seconds in story.phases().items()}
    for phase, (share, off) in seen.items():
        if share + off < MIN_ACCURACY:
            yield f"accuracy {share:.3f} {phase}, below {MIN_ACCURACY}"
    if "before" in seen and "after" in seen:
        (before, off_before), (after, off_after) = seen["before"], seen["after"]
        if before - after > off_before + off_after:
            yield f"accuracy fell from {before:.3f} to {after:.3f}"


def _scored(seconds: Sequence[Second]) -> tuple[float, float]:
    """Return the share of right answers, and by how much it may be off by chance."""
    share, answers = accuracy(seconds), sum(each.ok for each in seconds)
    return (1.0, math.inf) if math.isnan(share) else (share, chance(share, answers))


def rescue(story: Story, target_ms: float, where: str, bounds: Sequence[int]) -> Outcome:
    """Sum up act 1."""
    within = story.back_in_time_s(target_ms)
    rows = (
        *_common(story, where),
        ("max_batch_size", " → ".join(map(str, bounds))),
        ("p99, target", f"{_worst(story)}, {target_ms:g} ms"),
        ("answers/s", _rates(story)),
        ("first change within", _after(story, story.first_change_s)),
        ("in time again within", _after(story, within)),
    )
    reached = () if within is not None else ("not in time at the end: the machine was busy",)
    return Outcome("Act 1: drowning, rescued live", rows, faults(story), reached=reached)


def economy(story: Story, target_ms: float, where: str, delays_ms: Sequence[float]) -> Outcome:
    """Sum up act 2."""
    before, after = story.busy_before_and_after()
    rows = (
        *_common(story, where),
        ("queue delay", " → ".join(f"{each:g}" for each in delays_ms) + " ms"),
        ("device busy", f"{before:.0%} → {after:.0%}"),
        ("device time spared", f"{1 - after / before:.0%}" if before else "unknown"),
        ("p99, target", f"{_late(story)}, {target_ms:g} ms"),
        ("answers/s", _rates(story)),
    )
    reached = () if after < before else ("no device time was spared",)
    return Outcome("Act 2: slack becomes spared device time", rows, faults(story), reached=reached)


def workers(story: Story, where: str, steps: Mapping[str, float | None]) -> Outcome:
    """Sum up act 3; ``steps`` are the milliseconds that an execution of each takes."""
    first, last = story.looks[0].setting, story.looks[-1].setting
    asked = sum(each.asked for each in story.seconds) / max(1, len(story.seconds))
    rows = (
        *_common(story, where),
        *(
            (step, f"{_ms(steps.get(step))} a page, workers {first[step]} → {last[step]}")
            for step in last
        ),
        ("pages/s", _rates(story)),
        ("first change within", _after(story, story.first_change_s)),
    )
    short = per_s(story.settled()) < _EVEN * asked and bool(story.settled()[-1].waiting > asked)
    reached = (
        ("more is asked than this machine reads, with any number of workers",) if short else ()
    )
    return Outcome("Act 3: the slow step gets its workers", rows, faults(story), reached=reached)


def _common(story: Story, where: str) -> tuple[tuple[str, str], ...]:
    sent = sum(second.asked for second in story.seconds)
    known = {phase: accuracy(seconds) for phase, seconds in story.phases().items()}
    shares = ", ".join(f"{each:.3f} {phase}" for phase, each in known.items())
    why = ", ".join(f"{each.why} ({each.how})" if each.how else each.why for each in story.changes)
    return (
        ("placed on", where),
        ("sent, failed", f"{sent}, {story.failed}"),
        ("accuracy relative to the changes", shares or "unknown"),
        ("changes", why or "none"),
    )


def _late(story: Story) -> str:
    before, after = typical_p99_ms(story.watched()[-SETTLED_S:]), typical_p99_ms(story.settled())
    return f"{before:,.0f} → {after:,.0f} ms"


def _worst(story: Story) -> str:
    worst = max(
        (each.p99_ms for each in story.seconds if each.p99_ms is not None), default=math.nan
    )
    return f"{worst:,.0f} at worst → {typical_p99_ms(story.settled()):,.0f} ms"


def _rates(story: Story) -> str:
    before, after = per_s(story.watched()[-SETTLED_S:]), per_s(story.settled())
    return f"{before:.1f} → {after:.1f}"


def _after(story: Story, at_s: float | None) -> str:
    if at_s is None:
        return "never"
    # The journal has whole seconds, rounded down.
    return f"{math.ceil(max(0.0, at_s - story.allowed_at_s)) + 1} s of being allowed to"


def _ms(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.0f} ms"
