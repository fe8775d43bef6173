"""What reconciles and changes take, as OpenTelemetry's spans: nothing where tracing is off.

The one place that the operator's code knows spans from; ``export`` sends them. Names follow
OpenTelemetry's semantic conventions where there are any (``k8s.…``, ``error.type``). Attributes
hold names, figures and words of statuses and logs, never a key or what clients send.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from opentelemetry.trace import INVALID_SPAN, Link, Span, StatusCode, Tracer, get_current_span
from opentelemetry.util.types import AttributeValue

from ferryman.api.resources import Key

Attributes = Mapping[str, AttributeValue]

#: Set for as long as spans are recorded.
_TRACER: ContextVar[Tracer | None] = ContextVar("tracer", default=None)
MAX_MESSAGE: Final = 1024
#: OpenTelemetry's own variables: who sets one of them turns tracing on. The second wins.
ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def collector() -> str:
    """Return the URL of the collector that the environment names; empty: tracing is off."""
    return next(filter(None, map(os.environ.get, reversed(ENDPOINTS))), "")


@contextmanager
def tracing(tracer: Tracer) -> Iterator[None]:
    """Record spans while the block runs, in it and in tasks that begin in it."""
    token = _TRACER.set(tracer)
    try:
        yield
    finally:
        _TRACER.reset(token)


@contextmanager
def span(
    name: str, attributes: Attributes | None = None, links: tuple[Link, ...] = ()
) -> Iterator[Span]:
    """Record how long the block takes, as a part of the span around it, and how it fails."""
    tracer = _TRACER.get()
    if tracer is None:
        yield INVALID_SPAN
        return
    with tracer.start_as_current_span(
        name,
        attributes=attributes,
        links=links,
        record_exception=False,  # the log has the trace of what is a fault of ours
        set_status_on_exception=False,
    ) as begun:
        try:
            yield begun
        except Exception as error:
            failed(begun, type(error).__name__, str(error))
            raise


def describe(attributes: Attributes) -> None:
    """Say more of the span around."""
    get_current_span().set_attributes(attributes)


def failed(begun: Span, kind: str, message: str) -> None:
    """Have a span say that it failed; ``kind`` is one of few words."""
    begun.set_attribute("error.type", kind)
    begun.set_status(StatusCode.ERROR, message[:MAX_MESSAGE])


def came(change: Span, outcome: str, message: str) -> None:
    """Say what came of a change: whatever was not applied failed."""
    change.set_attribute("ferryman.outcome", outcome)
    if outcome != "Applied":
        failed(change, outcome, message)


def of_pod(pod: str) -> Attributes:
    """Return what says which pod a span is about."""
    return {"k8s.pod.name": pod}


def of_object(key: Key, uid: str, generation: int) -> Attributes:
    """Return what says which object a span is about."""
    return {
        "k8s.namespace.name": key.namespace,
        "k8s.object.kind": key.kind,
        "k8s.object.name": key.name,
        "k8s.object.uid": uid,
        "ferryman.generation": generation,
    }


class Changes:
    """The latest change of each object, for what judges it or follows it to refer to."""

    def __init__(self) -> None:
        self._latest: dict[Key, Link] = {}

    @contextmanager
    def recorded(
        self, key: Key, *, actuator: str, reason: str, before: str, after: str
    ) -> Iterator[Span]:
        """Record a change of what serves an object, for ``came`` to say what came of it."""
        words = {
            "ferryman.actuator": actuator,
            "ferryman.reason": reason,
            "ferryman.from": before,
            "ferryman.to": after,
        }
        with span("change batching", words, self.link(key)) as change:
            if change.is_recording():
                self._latest[key] = Link(change.get_span_context())
            yield change

    def link(self, key: Key) -> tuple[Link, ...]:
        """Return the link to the latest change, if there was one."""
        found = self._latest.get(key)
        return () if found is None else (found,)

    def forget(self, key: Key) -> None:
        """Forget an object that is gone."""
        self._latest.pop(key, None)
