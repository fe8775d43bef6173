"""Bounds on how often a serving model is reloaded."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ferryman.api.batching import Guardrails
from ferryman.api.conditions import Reason
from ferryman.core import timestamps

#: Why a change goes back to what served better.
ROLLBACKS: Final = (Reason.ROLLED_BACK, Reason.BATCH_TOO_LARGE)
_HOUR = timedelta(hours=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReloadRefusal:
    """Why a reload is refused, and when it will be possible (None: never under this spec)."""

    reason: Reason
    message: str
    possible_at: datetime | None


def refuse_reload(
    guardrails: Guardrails,
    recent_reloads: tuple[str, ...],
    now: datetime,
    *,
    rollback: bool = False,
    urgent: bool = False,
) -> ReloadRefusal | None:
    """Return why a reload must wait, or None when it may happen now.

    ``recent_reloads`` are RFC 3339 times in any order. A rollback counts, but it never waits:
    what it ends is worse than a reload, and each follows a reload that was allowed. An urgent
    one, for a model that answers hardly anything in time, need not keep the interval: nothing
    can be lost. The budget binds it. Raises ValueError when one of the times is none.
    """
    reloads = sorted(map(timestamps.parse, recent_reloads))
    if rollback and guardrails.max_reloads_per_hour:
        return None
    rules = (_budget,) if urgent else (_budget, _interval)
    refusals = [found for rule in rules if (found := rule(guardrails, reloads, now))]
    return max(refusals, key=lambda refusal: refusal.possible_at or _NEVER, default=None)


def prune(recent_reloads: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """Return the reloads that a guardrail can still count, in the order given.

    These are the last hour's, and the latest one for intervals longer than an hour.
    """
    latest = max(recent_reloads, key=timestamps.parse, default=None)
    return tuple(
        text for text in recent_reloads if text == latest or now - timestamps.parse(text) < _HOUR
    )


def _budget(guardrails: Guardrails, reloads: list[datetime], now: datetime) -> ReloadRefusal | None:
    allowed = guardrails.max_reloads_per_hour
    reloads = [reload for reload in reloads if now - reload < _HOUR]
    if len(reloads) < allowed:
        return None
    if allowed == 0:
        return ReloadRefusal(
            Reason.RELOAD_BUDGET_SPENT, "no reloads are allowed (maxReloadsPerHour is 0)", None
        )
    # The budget has room again when only allowed - 1 reloads are younger than an hour.
    possible_at = reloads[-allowed] + _HOUR
    message = (
        f"{len(reloads)} reloads in the last hour, {allowed} allowed; "
        f"the next is possible at {timestamps.text(possible_at)}"
    )
    return ReloadRefusal(Reason.RELOAD_BUDGET_SPENT, message, possible_at)


def _interval(
    guardrails: Guardrails, reloads: list[datetime], now: datetime
) -> ReloadRefusal | None:
    if not reloads:
        return None
    latest = reloads[-1]
    least_s = guardrails.min_seconds_between_reloads
    possible_at = latest + timedelta(seconds=least_s)
    if possible_at <= now:
        return None
    message = (
        f"the last reload was at {timestamps.text(latest)}, {least_s} s must lie between reloads; "
        f"the next is possible at {timestamps.text(possible_at)}"
    )
    return ReloadRefusal(Reason.RELOAD_INTERVAL, message, possible_at)
