"""Bounds on how often a serving model is reloaded."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ferryman.api.batching import Guardrails
from ferryman.api.conditions import Reason
from ferryman.core import times

_HOUR = timedelta(hours=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a reload is refused, and when it will be possible (None: never under this spec)."""

    reason: Reason
    message: str
    possible_at: datetime | None


def refuse_reload(
    guardrails: Guardrails, recent_reloads: tuple[str, ...], now: datetime
) -> Decision | None:
    """Return why a reload must wait, or None when it may happen now.

    ``recent_reloads`` are RFC 3339 times in any order. Raises ValueError when one is no time.
    """
    reloads = sorted(map(times.parse, recent_reloads))
    refusals = [
        r for r in (_budget(guardrails, reloads, now), _interval(guardrails, reloads, now)) if r
    ]
    return max(refusals, key=lambda refusal: refusal.possible_at or _NEVER, default=None)


def prune(recent_reloads: tuple[str, ...], now: datetime) -> tuple[str, ...]:
    """Return the reloads that a guardrail can still count, in the order given.

    These are the last hour's, and the latest one for intervals longer than an hour.
    """
    latest = max(recent_reloads, key=times.parse, default=None)
    return tuple(
        text for text in recent_reloads if text == latest or now - times.parse(text) < _HOUR
    )


def _budget(guardrails: Guardrails, reloads: list[datetime], now: datetime) -> Decision | None:
    allowed = guardrails.max_reloads_per_hour
    reloads = [reload for reload in reloads if now - reload < _HOUR]
    if len(reloads) < allowed:
        return None
    if allowed == 0:
        return Decision(
            Reason.RELOAD_BUDGET_SPENT, "no reloads are allowed (maxReloadsPerHour is 0)", None
        )
    # The budget has room again when only allowed - 1 reloads are younger than an hour.
    possible_at = reloads[-allowed] + _HOUR
    message = (
        f"{len(reloads)} reloads in the last hour, {allowed} allowed; "
        f"the next is possible at {times.text(possible_at)}"
    )
    return Decision(Reason.RELOAD_BUDGET_SPENT, message, possible_at)


def _interval(guardrails: Guardrails, reloads: list[datetime], now: datetime) -> Decision | None:
    if not reloads:
        return None
    latest = reloads[-1]
    least_s = guardrails.min_seconds_between_reloads
    possible_at = latest + timedelta(seconds=least_s)
    if possible_at <= now:
        return None
    message = (
        f"the last reload was at {times.text(latest)}, {least_s} s must lie between reloads; "
        f"the next is possible at {times.text(possible_at)}"
    )
    return Decision(Reason.RELOAD_INTERVAL, message, possible_at)
