"""Spans to a collector, over OTLP/HTTP and as OpenTelemetry's environment variables say.

The collector may hang, refuse, or be gone: a thread of its own sends, what waits is bounded, and
what does not fit or is not taken is lost and counted. The end waits for it for moments.
"""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ferryman import __version__
from ferryman.clients.tracing import collector, tracing

_log = logging.getLogger(__name__)

#: Spans that may wait to be sent, where the environment does not say: OpenTelemetry's own number.
MAX_WAITING: Final = 2048
#: What still waits at the end is sent within so long, or lost.
END_WITHIN_S: Final = 2.0
_SERVICE: Final = "ferryman-operator"

Outcome = Literal["Sent", "Lost"]
Count = Callable[[Outcome, int], None]


@contextmanager
def to_collector(about: Mapping[str, str], count: Count) -> Iterator[None]:
    """Record spans and send them while the block runs.

    ``about`` tells operators apart; ``count`` is told of spans that were sent or lost, in any
    thread. Settings that are wrong leave tracing off, and are said.
    """
    try:
        host = urlsplit(collector()).hostname  # the rest may hold a password
        provider = _provider(about, count)
    except (OSError, ValueError) as error:
        _log.error("tracing is off: OTEL_… is set wrongly", extra={"why": str(error)})
        yield
        return
    _log.info("spans are sent", extra={"to": host})
    try:
        with tracing(provider.get_tracer("ferryman", __version__)):
            yield
    finally:
        _end(provider)


def _provider(about: Mapping[str, str], count: Count) -> TracerProvider:
    """Return what makes spans. Raises OSError or ValueError for settings that are wrong."""
    most = int(os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE) or MAX_WAITING)
    exporter = _Counted(OTLPSpanExporter(), most, count)
    ours = {"service.name": _SERVICE, "service.version": __version__, **about}
    resource = Resource.create().merge(Resource(ours)).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(_Bounded(exporter, most))
    return provider


def _end(provider: TracerProvider) -> None:
    """Send what waits, but not for long: a thread that hangs dies with the process."""
    ending = threading.Thread(target=provider.shutdown, name="end of tracing", daemon=True)
    ending.start()
    ending.join(END_WITHIN_S)
    if ending.is_alive():
        _log.warning("the last spans were not sent in time", extra={"waited_s": END_WITHIN_S})


class _Overheard(threading.local, logging.Filter):
    """Keeps the exporter's words from the log, which come with every attempt; has the first."""

    words = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let none through."""
        self.words = self.words or record.getMessage()
        return False


_overheard: Final = _Overheard()


class _Counted(SpanExporter):
    """An exporter that counts what is taken and what is not, and says once that it is not."""

    def __init__(self, exporter: SpanExporter, most: int, count: Count) -> None:
        self._exporter = exporter
        self._most = most
        self._count = count
        self._lock = threading.Lock()
        self._waiting = 0
        self._losing = False
        logging.getLogger(type(exporter).__module__).addFilter(_overheard)

    def admitted(self) -> bool:
        """Whether one more span may wait; one that may not is lost."""
        with self._lock:
            room = self._waiting < self._most
            self._waiting += room
        if not room:
            self._lost(1, f"{self._most} spans wait already")
        return room

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; return whether they were taken."""
        _overheard.words = ""
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            with self._lock:
                self._waiting -= len(spans)
            if result is SpanExportResult.SUCCESS:
                self._sent(len(spans))
            else:
                self._lost(len(spans), _overheard.words)
        return result

    def shutdown(self) -> None:
        """End what is under way."""
        self._exporter.shutdown()

    def _sent(self, spans: int) -> None:
        self._count("Sent", spans)
        # One that is merely slow is not said to recover with every batch.
        if self._losing and self._waiting < self._most / 2:
            self._losing = False
            _log.info("the collector takes spans again")

    def _lost(self, spans: int, why: str) -> None:
        self._count("Lost", spans)
        if not self._losing:
            self._losing = True
            _log.warning("the collector does not take spans: they are lost", extra={"why": why})


class _Bounded(BatchSpanProcessor):
    """Sends in batches, in a thread of its own; what finds no room is counted."""

    def __init__(self, exporter: _Counted, most: int) -> None:
        self._counted = exporter
        super().__init__(exporter, max_queue_size=most)

    def on_end(self, span: ReadableSpan) -> None:
        """Have a span sent."""
        sampled = span.context is not None and span.context.trace_flags.sampled
        if sampled and self._counted.admitted():
            super().on_end(span)
