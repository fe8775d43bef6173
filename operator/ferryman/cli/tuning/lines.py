"""What ``ferryman tune`` says: one line for each event, and the words at the end."""

from functools import singledispatch

from ferryman.actuation.events import (
    Began,
    ChangeBegun,
    ChangeEnded,
    Decided,
    Ended,
    Entry,
    Moved,
    Observed,
    Silence,
)
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.objectives import Objectives
from ferryman.core.observation.objectives import Verdict
from ferryman.core.observation.window import Window
from ferryman.core.tuners.needs import Needs, Replicas, Unattainable
from ferryman.core.wording import describe


def line(entry: Entry) -> str:
    """Return an event as one line; '' for what is not worth one."""
    words = _words(entry.event)
    return f"{entry.elapsed_s:7.1f} s  {words}" if words else ""


def target_words(objectives: Objectives) -> str:
    """Return the objectives in words."""
    latency, throughput = objectives.latency, objectives.throughput
    parts = []
    if latency is not None:
        parts.append(f"p{latency.percentile} within {latency.target_milliseconds} ms")
    if throughput is not None:
        parts.append(f"at least {throughput.min_per_second} inferences/s")
    return " and ".join(parts)


def met_words(verdict: Verdict) -> str:
    """Return whether the objectives were met, in a word."""
    unknown = "no traffic" if verdict.reason == Reason.NO_TRAFFIC else "nothing answered yet"
    return {True: "met", False: "missed", None: unknown}[verdict.met]


def needs_words(needs: Needs) -> str:
    """Return how many servers would be needed, in words; '' where this one is enough."""
    if isinstance(needs, Unattainable):
        return needs.why
    return f"{needs.count} replicas would meet them" if isinstance(needs, Replicas) else ""


def ms(value: float | None) -> str:
    """Return milliseconds for people; '-' where there are none."""
    return "-" if value is None else f"{value:.1f}"


def latency(window: Window) -> str:
    """Return the percentile in ms; '~' marks an estimate."""
    estimated = "~" if window.latency_estimated and window.latency_ms is not None else ""
    return f"{estimated}{ms(window.latency_ms)}"


def closing(first: Batching, applied: Batching, recommended: Batching | None, fragment: str) -> str:
    """Return what is in force at the end and how to keep it.

    ``fragment`` is the part of config.pbtxt with what is recommended, or else in force.
    """
    if recommended is not None:
        return _recommendation(applied, recommended, fragment)
    if applied == first:
        return f"In force: {describe(applied)}, as in the beginning."
    return (
        f"In force: {describe(applied)}; it was {describe(first)} in the beginning.\n"
        "It is in Triton's memory only: when the server restarts, or the model is loaded again, "
        "its file counts. To keep it, have this in the model's config.pbtxt:\n\n"
        f"{fragment}"
    )


def _recommendation(applied: Batching, recommended: Batching, fragment: str) -> str:
    if recommended == applied:
        return f"Nothing was changed, and nothing is to be: {describe(applied)} is recommended."
    return (
        f"Nothing was changed: {describe(applied)} is in force. Recommended is "
        f"{describe(recommended)}: have this in the model's config.pbtxt:\n\n{fragment}"
    )


@singledispatch
def _words(event: object) -> str:  # noqa: ARG001  a reading is not worth a line
    return ""


@_words.register
def _began(event: Began) -> str:
    return f"in force: {describe(event.applied)}"


@_words.register
def _silence(event: Silence) -> str:
    return f"silent for {event.since_s:.0f} s: {event.message}"


@_words.register
def _observed(event: Observed) -> str:
    window = event.window
    figures = [
        f"{window.requests_per_s:.1f} requests/s",
        f"latency {latency(window)} ms",
        f"queue {ms(window.queue_ms)} ms",
        f"mean batch {_size(window.mean_batch_size)}",
    ]
    became = "failed" if window.rejected is not None else "failed or rejected"
    figures += [f"{window.failures} {became}"] if window.failures else []
    figures += [f"{window.rejected} rejected"] if window.rejected else []
    return f"window {event.number}: {', '.join(figures)}: {met_words(event.verdict)}"


@_words.register
def _decided(event: Decided) -> str:
    done = event.step
    wish = "" if done.batching == event.applied else f" {describe(done.batching)}"
    needs = needs_words(done.needs)
    return f"{done.verb.lower()}{wish}: {done.reason}, {done.message}{needs and f' ({needs})'}"


@_words.register
def _begun(event: ChangeBegun) -> str:
    return (
        f"changing ({event.actuator}) to {describe(event.after)}; {describe(event.before)} serves"
    )


@_words.register
def _changed(event: ChangeEnded) -> str:
    return f"{event.outcome} after {event.took_s:.1f} s: {event.message}"


@_words.register
def _moved(event: Moved) -> str:
    return (
        f"not by us: {describe(event.applied)} is in force instead of {describe(event.before)} "
        "(another hand, or a restart); going on from there"
    )


@_words.register
def _ended(event: Ended) -> str:
    return f"lost: {event.message}" if event.why == "Lost" else ""


def _size(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
