"""Benchmark Jobs as the API server shows them: what they measure, how they end, what they say."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ferryman.core.benchmark import job as benchmark_job
from ferryman.core.benchmark.job import CONTAINER_BENCHMARK
from ferryman.core.benchmark.schedule import Measurement
from ferryman.core.manifests import Manifest, condition
from ferryman.core.pods.diagnosis import failure

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BenchmarkJob:
    """A benchmark Job and what it measures."""

    name: str
    measurement: Measurement
    manifest: Manifest

    @property
    def ended(self) -> bool:
        """Whether it succeeded or failed for good."""
        return ending(self.manifest) is not None


def read(manifest: Manifest) -> BenchmarkJob | None:
    """Return a Job of ours; None, and a warning, for one that does not say what it measures."""
    name = manifest["metadata"]["name"]
    try:
        return BenchmarkJob(name, benchmark_job.describe(manifest), manifest)
    except ValueError as error:
        _log.warning("a Job is not one of ours", extra={"job": name, "why": str(error)})
        return None


def ending(job: Manifest) -> str | None:
    """Return in words how a Job ended, or None while it runs."""
    end = condition(job, "Complete", "Failed")
    if end is None:
        return None
    words = end.get("message") or end.get("reason") or ""
    return f"the Job ended: {end['type']} {words}".strip()


def why_without_result(job: Manifest, pods: Sequence[Manifest]) -> str | None:
    """Return why a Job has nothing to show: what its pods' containers said, else how it ended."""
    return next(filter(None, map(failure, pods)), None) or ending(job)


def termination_message(pod: Manifest) -> str:
    """Return what the client left when it ended; "" where it has not, or left nothing."""
    statuses: Sequence[Mapping[str, Any]] = pod.get("status", {}).get("containerStatuses") or ()
    for container in statuses:
        if container["name"] == CONTAINER_BENCHMARK:
            ended = container.get("state", {}).get("terminated") or {}
            return str(ended.get("message") or "")
    return ""
