"""For how long windows must have agreed before there are fewer replicas.

Longer where the demand comes and goes: a *lull* is a time for which fewer would have done, until
more were needed again. It begins late, since windows look back over some minutes of demand. As long
as one is not clearly longer than those of the last hour it may be another of them; pods would
otherwise start and end at each turn. A lull counts whether there were fewer in it or not.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from ferryman.api.inference_model_status import MAX_LULLS, Lull
from ferryman.api.scaling import ScalingSpec
from ferryman.core import timestamps

#: Without a word of the owner: as long as an HPA looks back by default.
HOLD: Final = timedelta(minutes=5)
#: So many times as long is clearly longer: of pauses of random length between bursts (a Poisson
#: process) the next is, after n of them, with probability 2 / ((n + 1)(n + 2)).
CLEARLY_LONGER: Final = 2
#: A demand that comes back later is not the one that went.
RETURNS: Final = timedelta(minutes=30)
#: For so long a lull is remembered, and no wait is longer …
MEMORY: Final = timedelta(hours=1)
#: … nor than so many times what the owner states: who states little wants fewer soon.
MOST: Final = 12


def stated(spec: ScalingSpec | None) -> timedelta:
    """Return for how long windows must agree where there was no lull; without a word ``HOLD``."""
    return HOLD if spec is None else timedelta(seconds=spec.scale_down_stabilization_seconds)


def hold(least: timedelta, lulls: Sequence[Lull], now: datetime) -> timedelta:
    """Return for how long windows must have agreed on fewer: so long where there was no lull."""
    longest = max(_lengths(lulls, now), default=timedelta())
    return max(least, min(least + CLEARLY_LONGER * longest, MOST * least, MEMORY))


def ended(lulls: Sequence[Lull], needed: int, now: datetime) -> tuple[Lull, ...]:
    """Return the lulls once so many are needed, by their ends; those that say nothing more go.

    Of those that are over each is longer than all that ended later.
    """
    kept: list[Lull] = []
    longest = timedelta()
    for lull in sorted(lulls, key=lambda each: _end(each, now), reverse=True):
        is_over = lull.until is not None or lull.replicas < needed
        end = _end(lull, now)
        length = end - timestamps.parse(lull.since)
        if length > RETURNS or now - end > MEMORY or (is_over and length <= longest):
            continue
        longest = max(longest, length) if is_over else longest
        kept.append(lull.with_(until=timestamps.text(end)) if is_over else lull)
    return tuple(reversed(kept[-MAX_LULLS:]))


def _end(lull: Lull, now: datetime) -> datetime:
    return now if lull.until is None else timestamps.parse(lull.until)


def _lengths(lulls: Sequence[Lull], now: datetime) -> Iterator[timedelta]:
    for lull in lulls:
        if lull.until is not None:
            until = timestamps.parse(lull.until)
            if now - until <= MEMORY:
                yield until - timestamps.parse(lull.since)
