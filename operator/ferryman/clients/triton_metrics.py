"""Triton's metrics page: what its statistics extension does not tell."""

import asyncio
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import aiohttp

_log = logging.getLogger(__name__)

SUMMARY: Final = "nv_inference_request_summary_us"
PENDING: Final = "nv_inference_pending_request_count"
FAILURE: Final = "nv_inference_request_failure"
SUCCESS: Final = "nv_inference_request_success"
#: The value of a failure's label ``reason``: the request waited beyond the queue's timeout.
REJECTED: Final = "REJECTED"
#: Likewise: the client gave up. That is no failure of the server or the model.
CANCELED: Final = "CANCELED"
#: Whoever can serve a page can write anything on it, and reading it takes the operator's time: what
#: Triton writes of one model are some twenty lines of a hundred characters for each version.
MAX_PAGE: Final = 256 * 1024
_MAX_LINES: Final = 500
_MAX_LINE: Final = 1024
#: A longer page is parsed in another thread: the event loop has other things to do.
_LONG: Final = 32 * 1024
#: The text format (prometheus.io, exposition formats): NAME{LABELS} VALUE, and perhaps a time.
_SAMPLE: Final = re.compile(r"([a-zA-Z_:][\w:]*)\{(.*)\}[ \t]+(\S+)(?:[ \t]+-?\d+)?[ \t]*")
_LABEL: Final = re.compile(r'[ \t]*([a-zA-Z_]\w*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)')
_ESCAPE: Final = re.compile(r"\\(.)")
_PERCENTILES: Final = {"0.5": 50, "0.9": 90, "0.95": 95, "0.99": 99}


@dataclass(frozen=True, slots=True)
class _Sample:
    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class ModelMetrics:
    """One model's latency quantiles and queue length on one server."""

    latency_quantiles_us: Mapping[int, float] = field(default_factory=dict)
    """Percentile -> microseconds over Triton's sliding window of 60 s; empty without requests."""
    pending: int | None = None
    """Requests waiting in the queue over all versions, or None where Triton does not say."""
    rejected: int | None = None
    """Requests that the queue policy rejected, ever; None where Triton does not tell reasons."""
    failed: int | None = None
    """Requests that failed for any other reason, ever; None likewise. Not those that their
    clients cancelled."""
    cancelled: int | None = None
    """Those that their clients cancelled, ever; None likewise."""
    succeeded: int | None = None
    """Requests that succeeded, ever; None where the page does not tell."""
    summarised: int | None = None
    """Requests that the latency summary was made of; None without a summary."""

    @property
    def counted(self) -> int:
        """Requests that ended, whatever became of them, as far as the page tells."""
        return sum(count or 0 for count in (self.succeeded, self.failed, self.rejected))

    def believed(self, ended: int) -> "ModelMetrics":
        """Return what is to be believed of a server that has answered so many requests.

        With ``counter_latencies=false`` Triton goes on showing its counters and the length of
        the queue, all of them at 0 for ever (core/src/infer_stats.cc): such figures are unknown.
        """
        if self.succeeded is None or self.counted or not ended:
            return self
        return ModelMetrics(self.latency_quantiles_us, summarised=self.summarised)


def parse(page: str, model: str) -> ModelMetrics:
    """Return one model's metrics from a page in the Prometheus text format.

    Where several versions serve, each percentile is that of the slowest: percentiles cannot be
    merged. Raises ValueError when a line of interest is not in the
    format, or there are far too many.
    """
    found = _samples(page, f'model="{model}"')
    samples = [sample for sample in found if sample.labels.get("model") == model]
    failures = [s for s in samples if s.name.startswith(FAILURE) and "reason" in s.labels]
    return ModelMetrics(
        latency_quantiles_us=_quantiles(samples),
        pending=_total(sample for sample in samples if sample.name == PENDING),
        rejected=_total(s for s in failures if s.labels["reason"] == REJECTED),
        failed=_total(s for s in failures if s.labels["reason"] not in {REJECTED, CANCELED}),
        cancelled=_total(s for s in failures if s.labels["reason"] == CANCELED),
        succeeded=_total(s for s in samples if s.name.startswith(SUCCESS)),
        summarised=_total(s for s in samples if s.name == f"{SUMMARY}_count"),
    )


def models(page: str) -> frozenset[str]:
    """Return the models that a page tells anything of. Raises ValueError as ``parse``."""
    return frozenset(
        filter(None, (sample.labels.get("model") for sample in _samples(page, "model=")))
    )


def _total(samples: Iterable[_Sample]) -> int | None:
    values = [sample.value for sample in samples]
    total = sum(values)
    if not math.isfinite(total):
        raise ValueError(f"a count of {total}")
    return round(total) if values else None


def _quantiles(samples: Iterable[_Sample]) -> dict[int, float]:
    quantiles: dict[int, float] = {}
    for sample in samples:
        percentile = _PERCENTILES.get(sample.labels.get("quantile", ""))
        if sample.name == SUMMARY and percentile and not math.isnan(sample.value):
            quantiles[percentile] = max(sample.value, quantiles.get(percentile, 0.0))
    return quantiles


def _samples(page: str, label: str) -> list[_Sample]:
    """Parse only the lines of interest: a page with many models has thousands of others.

    In time linear in the page, whatever is on it: lines are short, and each is matched once.
    """
    if len(page) > MAX_PAGE:
        raise ValueError(f"the page is longer than {MAX_PAGE:_} characters")
    wanted = (SUMMARY, PENDING, FAILURE, SUCCESS)
    lines = [line for line in page.split("\n") if line.startswith(wanted) and label in line]
    if len(lines) > _MAX_LINES or any(len(line) > _MAX_LINE for line in lines):
        raise ValueError(f"more than {_MAX_LINES} lines of {_MAX_LINE} characters for one model")
    return [_sample(line.rstrip("\r")) for line in lines]


def _sample(line: str) -> _Sample:
    found = _SAMPLE.fullmatch(line)
    if found is None:
        raise ValueError(f"not in the text format: {line[:80]!r}")
    name, labels, value = found.groups()
    return _Sample(name, dict(_labels(labels)), float(value))


def _labels(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            raise ValueError(f"not a label: {text[at : at + 80]!r}")
        name, value = found.groups()
        yield name, _ESCAPE.sub(lambda escaped: _ESCAPED.get(escaped[1], escaped[0]), value)
        at = found.end()


_ESCAPED: Final = {"n": "\n", '"': '"', "\\": "\\"}


class MetricsPage:
    """The metrics page of one server, which may be missing: it can be switched off."""

    def __init__(self, url: str, deadline_s: float) -> None:
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=deadline_s)
        self._http: aiohttp.ClientSession | None = None

    async def read(self, model: str) -> ModelMetrics:
        """Return one model's metrics now; empty ones where the page cannot be read."""
        try:
            page = await self._text()
            if len(page) > _LONG:
                return await asyncio.to_thread(parse, page, model)
            return parse(page, model)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            _log.debug("no metrics at %s: %r", self._url, error)
            return ModelMetrics()

    async def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            await self._http.close()

    async def _text(self) -> str:
        if self._http is None:
            # As it is: a few bytes may stand for any number of decompressed ones.
            self._http = aiohttp.ClientSession(
                timeout=self._timeout,
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        page = bytearray()
        # Not followed: a pod must not have the operator ask for what it cannot reach itself.
        async with self._http.get(self._url, allow_redirects=False) as answer:
            if answer.status != HTTPStatus.OK:
                raise ValueError(f"the page answers {answer.status}")
            async for chunk in answer.content.iter_any():
                page += chunk
                if len(page) > MAX_PAGE:
                    raise ValueError(f"the page is longer than {MAX_PAGE:_} bytes")
        return page.decode(errors="replace")
