"""The metrics of the one table on a registry, and the series that objects have on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ferryman.core.vocabulary.metrics import METRICS, MetricFamily


@dataclass(frozen=True, slots=True)
class Sample:
    """What a gauge shows of an object."""

    metric: str
    labels: tuple[str, ...]
    value: float


Family = Counter | Gauge | Histogram
F = TypeVar("F", Counter, Gauge, Histogram)
_KINDS: Final[Mapping[str, type[Family]]] = {
    "counter": Counter,
    "gauge": Gauge,
    "histogram": Histogram,
}


class Families:
    """Every metric of the table but those of the process, which its collector brings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._families = {
            metric.name: _family(metric, registry)
            for metric in METRICS.values()
            if metric.subject != "process"
        }
        self._former = {
            metric.name: Gauge(
                metric.former.name,
                f"The former name of {metric.name}.",
                metric.labels,
                registry=registry,
            )
            for metric in METRICS.values()
            if metric.former is not None
        }

    def counter(self, name: str) -> Counter:
        """Return a counter. Raises KeyError, TypeError where the table has none of this name."""
        return _of(Counter, self._families[name])

    def histogram(self, name: str) -> Histogram:
        """Return a histogram. Raises KeyError, TypeError likewise."""
        return _of(Histogram, self._families[name])

    def gauge(self, name: str) -> Gauge:
        """Return a gauge. Raises KeyError, TypeError likewise."""
        return _of(Gauge, self._families[name])

    def set(self, sample: Sample) -> None:
        """Show a value, under its former name, too, where it has one."""
        _child(self.gauge(sample.metric), sample.labels).set(sample.value)
        former = METRICS[sample.metric].former
        if former is not None:
            gauge = _child(self._former[sample.metric], sample.labels)
            gauge.set(sample.value * former.factor)

    def remove(self, name: str, labels: tuple[str, ...]) -> None:
        """Take a series away that was set."""
        self.gauge(name).remove(*labels)
        if name in self._former:
            self._former[name].remove(*labels)


class Shown:
    """Which series each object has: what it no longer says is taken away."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._of: dict[object, set[tuple[str, tuple[str, ...]]]] = {}

    def show(self, owner: object, samples: Iterable[Sample]) -> None:
        """Show what an object says now, and nothing else of it."""
        said = {(sample.metric, sample.labels): sample for sample in samples}
        for gone in self._of.get(owner, set()) - said.keys():
            self._families.remove(*gone)
        for sample in said.values():
            self._families.set(sample)
        self._of[owner] = set(said)

    def forget(self, owner: object) -> None:
        """Take away all series of an object that is gone."""
        self.show(owner, ())
        del self._of[owner]

    def forget_all(self) -> None:
        """Take away the series of all objects."""
        for owner in list(self._of):
            self.forget(owner)


def _family(metric: MetricFamily, registry: CollectorRegistry) -> Family:
    # The client adds `_total` itself.
    name = metric.name.removesuffix("_total") if metric.kind == "counter" else metric.name
    return _KINDS[metric.kind](name, f"{metric.meaning}.", metric.labels, registry=registry)


def _child(gauge: Gauge, labels: tuple[str, ...]) -> Gauge:
    return gauge.labels(*labels) if labels else gauge


def _of(kind: type[F], family: Family) -> F:
    if not isinstance(family, kind):
        raise TypeError(f"{family} is no {kind.__name__}")
    return family
