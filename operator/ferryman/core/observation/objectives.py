"""Whether a window met the objectives that the model's owner stated."""

from dataclasses import dataclass
from typing import Final

from ferryman.api.conditions import Reason
from ferryman.api.objectives import LatencyObjective, Objectives, ThroughputObjective
from ferryman.core.observation.mann_kendall import Sign, sign
from ferryman.core.observation.window import Window

#: Fewer requests than this say nothing about a percentile.
MIN_REQUESTS: Final = 10
_MS_PER_S: Final = 1e3
#: Times that differ by less are the same, but for rounding.
_SAME_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one window says about the objectives.

    ``met`` is None when the window cannot tell, because nothing was served in it.
    """

    met: bool | None
    latency: Sign | None
    """-1 below the target, 0 at it, 1 above; None without latency objective or traffic."""
    throughput_met: bool | None
    """None without throughput objective or traffic."""
    reason: Reason
    message: str


def judge(objectives: Objectives, window: Window, *, queue_delay_ms: float = 0.0) -> Verdict:
    """Compare a window with the objectives.

    *Latency* is met when the objective's percentile is at or below its target.

    *Throughput* is met when the inferences served per second reach the demanded number, and
    also when clients ask for less than that and no queue stands: a model cannot serve what
    nobody asks for. Asked for is what was served, what failed and what the queue grew by. A
    queue stands when requests wait longer on average than the configured queue delay
    (``queue_delay_ms``, a wait that is intended) and one batch's compute time together; then
    clients may well be held back by the model, so that the shortfall is the model's.
    """
    if window.requests == 0 and _waits_too_long(objectives, window):
        return _unanswered(objectives, window)
    if window.requests == 0:
        return _nothing_served(window)
    latency = _latency(objectives.latency, window)
    throughput_met, throughput = _throughput(objectives.throughput, window, queue_delay_ms)
    message = "; ".join(
        part for part in (_latency_text(objectives.latency, window), throughput) if part
    )
    message = message or f"all {window.requests} requests were answered by the response cache"
    met = latency != 1 and throughput_met is not False
    return Verdict(met, latency, throughput_met, _reason(latency, throughput_met), message)


def few(window: Window, verdict: Verdict) -> bool:
    """Say whether so few requests were answered that nothing follows from them.

    Something does where these were late and enough others wait: they will be late as well. A model
    that answers a hundredth of what it is asked for would never be seen to fail otherwise.
    """
    waiting = window.pending or 0
    return window.requests < MIN_REQUESTS and (verdict.met is not False or waiting < MIN_REQUESTS)


def _waits_too_long(objectives: Objectives, window: Window) -> bool:
    """Whether requests waited all along, longer than they may: batches that outlast a window.

    Where counters began anew in the window, some may have been answered uncounted.
    """
    if not window.pending_before or not window.pending or window.failures or window.rejected:
        return False
    known_s = sum(seconds for seconds, _ in window.arrived)
    if window.arrived and known_s < window.seconds - _SAME_S:
        return False
    latency = objectives.latency
    return latency is None or window.seconds * _MS_PER_S > latency.target_milliseconds


def _unanswered(objectives: Objectives, window: Window) -> Verdict:
    message = f"nothing was answered in {window.seconds:.0f} s while {window.pending} requests wait"
    if objectives.latency is None:
        reason = Reason.THROUGHPUT_BELOW_TARGET
        return Verdict(
            met=False, latency=None, throughput_met=False, reason=reason, message=message
        )
    throughput_met = None if objectives.throughput is None else False
    reason = Reason.LATENCY_ABOVE_TARGET
    return Verdict(
        met=False, latency=1, throughput_met=throughput_met, reason=reason, message=message
    )


def _nothing_served(window: Window) -> Verdict:
    """Return what is known where no request succeeded.

    Where requests wait, a batch is being executed that takes longer than the window, and that is
    no lack of traffic.
    """
    lasted = f"in {window.seconds:.0f} s"
    if window.failures:
        became = "failed" if window.rejected is not None else "failed or were rejected"
        return _silent(f"all {window.failures} requests {became} {lasted}")
    if window.rejected:
        return _silent(f"all {window.rejected} requests were rejected {lasted}")
    if not window.pending and not window.pending_before:
        return _silent(f"no requests {lasted}")
    message = f"no request was answered {lasted}, though some wait"
    return Verdict(None, None, None, Reason.OBSERVING, message)


def _silent(message: str) -> Verdict:
    return Verdict(None, None, None, Reason.NO_TRAFFIC, message)


def _reason(latency: Sign | None, throughput_met: bool | None) -> Reason:  # noqa: FBT001 - a fact, not a switch
    if latency == 1:
        return Reason.LATENCY_ABOVE_TARGET
    return Reason.THROUGHPUT_BELOW_TARGET if throughput_met is False else Reason.MET


def _latency(objective: LatencyObjective | None, window: Window) -> Sign | None:
    if objective is None or window.latency_ms is None:
        return None
    return sign(window.latency_ms - objective.target_milliseconds)


def _latency_text(objective: LatencyObjective | None, window: Window) -> str:
    if objective is None or window.latency_ms is None:
        return ""
    estimated = " (estimated)" if window.latency_estimated else ""
    return (
        f"p{objective.percentile} {window.latency_ms:.1f} ms{estimated}, "
        f"target {objective.target_milliseconds} ms"
    )


def _throughput(
    objective: ThroughputObjective | None, window: Window, queue_delay_ms: float
) -> tuple[bool | None, str]:
    if objective is None:
        return None, ""
    wanted = objective.min_per_second
    spared_per_s = _spared_per_s(window)
    served_per_s = window.inferences_per_s + spared_per_s
    offered_per_s = window.offered_inferences_per_s + spared_per_s
    text = f"{served_per_s:.1f} inferences/s, at least {wanted} wanted"
    if served_per_s >= wanted:
        return True, text
    if offered_per_s < wanted and not queue_stands(window, queue_delay_ms):
        offered = f"clients ask for only {offered_per_s:.1f}"
        return True, f"{text}, but {offered} and nothing queues"
    return False, text


def _spared_per_s(window: Window) -> float:
    """Return the inferences that the response cache stood for; each as large as the average."""
    executed = window.requests - window.cached
    each = window.inferences / executed if executed else 1.0
    return window.cached * each / window.seconds


def queue_stands(window: Window, queue_delay_ms: float) -> bool:
    """Whether requests wait longer than the queue delay and one batch's compute time explain."""
    return (window.queue_ms or 0.0) > queue_delay_ms + (window.compute_ms or 0.0)
