"""The cluster as ``ferryman benchmark`` sees it, with the user's own credentials."""

from collections.abc import Iterable
from typing import TypeVar

from pydantic import ValidationError

from ferryman.api import names
from ferryman.api.base import ApiType
from ferryman.api.inference_runtime import InferenceRuntime
from ferryman.api.node_profile import NodeProfile
from ferryman.api.resources import INFERENCE_RUNTIME, NODE_PROFILE
from ferryman.cli import gather
from ferryman.cli.benchmarking.follow import JobView
from ferryman.cli.errors import GatherError
from ferryman.cli.files import field_errors
from ferryman.clients.cluster import ApiServerError
from ferryman.core.benchmark import job as benchmark_job
from ferryman.core.manifests import Manifest, condition
from ferryman.core.pods.diagnosis import unscheduled

T = TypeVar("T", bound=ApiType)

_OF_JOB = "batch.kubernetes.io/job-name"


class BenchmarkCluster:
    """Reads profiles, runtimes, Jobs and logs; writes one annotation."""

    def __init__(self, context: str | None, namespace: str) -> None:
        """Connect as kubectl would. Raises GatherError when there is no cluster."""
        self._server = gather.connect(context)
        self._namespace = namespace

    def profile(self, node: str) -> NodeProfile:
        """Return a node's profile. Raises GatherError."""
        with gather.asking():
            return _parse(NodeProfile, self._server.get(_profile(node)))

    def runtimes(self) -> tuple[InferenceRuntime, ...]:
        """Return all runtimes. Raises GatherError."""
        with gather.asking():
            manifests = self._server.items(f"{gather.OURS}/{INFERENCE_RUNTIME.plural}")
        return tuple(_parse(InferenceRuntime, manifest) for manifest in manifests)

    def request(self, node: str, at: str) -> None:
        """Write the annotation that asks for a measurement. Raises GatherError."""
        wanted = {names.ANNOTATION_BENCHMARK_REQUESTED: at}
        with gather.asking():
            self._server.merge(_profile(node), {"metadata": {"annotations": wanted}})

    def jobs(self, node_type: str) -> tuple[JobView, ...]:
        """Return the benchmark Jobs of a node type, with the end of their logs.

        Raises GatherError.
        """
        selector = f"{names.LABEL_BENCHMARK},{names.LABEL_NODE_TYPE}={node_type}"
        with gather.asking():
            jobs = self._server.items(f"/apis/batch/v1/namespaces/{self._namespace}/jobs", selector)
            pods = self._server.items(f"/api/v1/namespaces/{self._namespace}/pods", selector)
            return tuple(self._job(job, pods) for job in jobs)

    def _job(self, job: Manifest, pods: Iterable[Manifest]) -> JobView:
        name = job["metadata"]["name"]
        pod = next((p for p in pods if p["metadata"]["labels"].get(_OF_JOB) == name), None)
        return JobView(name, title(job), phase(job, pod), tuple(self._lines(pod)))

    def _lines(self, pod: Manifest | None) -> list[str]:
        if pod is None or not has_begun(pod):
            return []
        path = f"/api/v1/namespaces/{self._namespace}/pods/{pod['metadata']['name']}/log"
        query = [("container", benchmark_job.CONTAINER_BENCHMARK)]
        try:
            return self._server.text(path, query).splitlines()
        except ApiServerError as error:
            # Forbidden, or gone with its pod: the Job itself is still followed.
            return [f"its log cannot be read: {error}"]


def title(job: Manifest) -> str:
    """Return what a Job measures in words; its name where it does not say."""
    try:
        measured = benchmark_job.describe(job)
    except ValueError:
        return str(job["metadata"]["name"])
    return f"{measured.processor} under {measured.runtime} on {measured.node}"


def phase(job: Manifest, pod: Manifest | None) -> str:
    """Return how far a Job is: how it ended, or what its pod does or waits for."""
    end = condition(job, "Complete", "Failed")
    if end is not None:
        return end["type"]
    if pod is None:
        return "no pod yet"
    status = pod.get("status", {})
    waiting = (
        each.get("state", {}).get("waiting", {}).get("reason")
        for each in (
            *(status.get("initContainerStatuses") or ()),
            *(status.get("containerStatuses") or ()),
        )
    )
    unbound = (unscheduled(pod) or {}).get("message")
    why = next(filter(None, (unbound, *waiting)), None)
    return f"{status.get('phase', 'Unknown')} ({why})" if why else str(status.get("phase"))


def has_begun(pod: Manifest) -> bool:
    """Whether the client has begun, so that there is a log."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    return any(
        each["name"] == benchmark_job.CONTAINER_BENCHMARK
        and {"running", "terminated"} & each.get("state", {}).keys()
        for each in statuses
    )


def _profile(node: str) -> str:
    return f"{gather.OURS}/{NODE_PROFILE.plural}/{node}"


def _parse(kind: type[T], manifest: Manifest) -> T:
    try:
        return kind.model_validate(manifest)
    except ValidationError as error:
        name = manifest["metadata"]["name"]
        said = field_errors.describe(f"{kind.__name__} {name} is malformed", error)
        raise GatherError(said) from error
