"""What came of a measurement, as the table that goes into node profiles."""

from datetime import datetime
from typing import Annotated

from pydantic import Field, ValidationError

from ferryman.api.base import ApiType
from ferryman.api.node_profile import Benchmark, BenchmarkPoint
from ferryman.core import timestamps
from ferryman.core.benchmark.schedule import Measurement

MAX_FAILURES = 1000


class _Error(ApiType):
    error: str | None = None


class Result(ApiType):
    """What a benchmark found: the rows by batch size, and what it has to add."""

    points: Annotated[tuple[BenchmarkPoint, ...], Field(min_length=1, max_length=16)]
    max_instances: Annotated[int, Field(ge=1, le=64)] | None = None
    """The largest useful number of instances; None where it was not measured."""
    note: str | None = None
    """Why the rows end before the largest batch size, if they do."""


def succeeded(measurement: Measurement, text: str, now: datetime) -> Benchmark:
    """Return the table that a benchmark's result describes. Raises ValueError as parse_result."""
    result = parse_result(text)
    return Benchmark(
        processor_class=measurement.processor,
        runtime=measurement.runtime,
        image=measurement.image,
        node_type=measurement.node_type,
        measured_on=measurement.node,
        measured_at=timestamps.text(now),
        points=result.points,
        max_instances=result.max_instances,
        driver=measurement.driver or None,
        sharing=measurement.sharing or None,
        note="; ".join(filter(None, (result.note, _bound(measurement)))) or None,
    )


def failed(
    measurement: Measurement, error: str, now: datetime, previous: Benchmark | None = None
) -> Benchmark:
    """Return the record of a failed measurement.

    ``previous`` is the present table of the same subject and image (see ``newest``): its rows
    stay, for a repetition that fails says nothing against them.
    """
    return Benchmark(
        processor_class=measurement.processor,
        runtime=measurement.runtime,
        image=measurement.image,
        node_type=measurement.node_type,
        measured_on=measurement.node,
        measured_at=timestamps.text(now),
        points=previous.points if previous else (),
        max_instances=previous.max_instances if previous else None,
        error=error or "the benchmark gave no reason",
        failures=min(MAX_FAILURES, previous.failures + 1 if previous else 1),
        # What stands beside the rows describes the rows.
        driver=previous.driver if previous else measurement.driver or None,
        sharing=previous.sharing if previous else measurement.sharing or None,
        note=previous.note if previous else None,
    )


def _bound(measurement: Measurement) -> str:
    """Say that the measurement did not have the whole node, where it had not."""
    cores = measurement.cpu_limit_millicores / 1_000
    return f"measured with {cores:g} CPUs: serving models have reserved the rest" if cores else ""


def parse_result(text: str) -> Result:
    """Return what the benchmark wrote, its rows by batch size.

    That is ``{"points": [{"batchSize": …, "imagesPerSecond": …, "latencyP50Milliseconds": …,
    "latencyP99Milliseconds": …}], "maxInstances": …, "note": …}``, or ``{"error": "…"}``. Raises
    ValueError, with words for a person, for anything else.
    """
    try:
        error = _Error.model_validate_json(text, strict=True).error
        if error:
            raise ValueError(error)
        result = Result.model_validate_json(text, strict=True)
    except ValidationError as wrong:
        raise ValueError(_words(wrong, text)) from wrong
    if len({point.batch_size for point in result.points}) < len(result.points):
        raise ValueError("the benchmark's result has two points of one batch size")
    return result.with_(points=tuple(sorted(result.points, key=lambda point: point.batch_size)))


def _words(wrong: ValidationError, text: str) -> str:
    first = wrong.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return f"the benchmark's result is not a JSON object: {text[:200]!r}"
    return f"the benchmark's result is wrong at {where}: {first['msg']}"
