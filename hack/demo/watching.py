"""Looking at the cluster every second without starting a program each time."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ferryman.api.names import API_VERSION
from hack.cluster import Cluster, binaries
from hack.cluster.shell import ClusterError

TIMEOUT_S = 60


class NotSeen(Exception):  # noqa: N818  the name states the finding
    """The cluster did not answer this once: a look is missing, and no more."""


_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Api:
    """The cluster's API, at an address of this machine that needs no credentials.

    All of its methods raise NotSeen where there is no answer.
    """

    url: str
    namespace: str

    def object(self, plural: str, name: str) -> dict[str, Any]:
        """Return one of Ferryman's objects."""
        return self._ask(f"/apis/{API_VERSION}/namespaces/{self.namespace}/{plural}/{name}")

    def statistics(self, service: str) -> dict[str, dict[str, Any]]:
        """Return what a server has counted, by model."""
        answer = self._ask(f"{self._service(service)}/v2/models/stats")
        return {each["name"]: each for each in answer["model_stats"]}

    def infer(self, service: str, model: str, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request to a model."""
        return self._ask(f"{self._service(service)}/v2/models/{model}/infer", request)

    def _service(self, name: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/services/{name}:http/proxy"

    def _ask(self, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
        data = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers)  # noqa: S310  our own URL
        try:
            with _NO_PROXY.open(request, timeout=TIMEOUT_S) as answer:
                found: dict[str, Any] = json.loads(answer.read())
        except OSError as error:  # urllib's errors and timeouts are such
            raise NotSeen(f"{path}: {error}") from error
        return found


@contextmanager
def opened(cluster: Cluster, namespace: str) -> Iterator[Api]:
    """Have kubectl forward to the cluster's API, and end it afterwards."""
    program = binaries.ensure("kubectl")["kubectl"]
    command = [str(program), f"--kubeconfig={cluster.kubeconfig}", "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""
            if not (found := re.search(r"127\.0\.0\.1:\d+", said)):
                raise ClusterError(f"`kubectl proxy` did not start: {said.strip()}")
            yield Api(f"http://{found.group()}", namespace)
        finally:
            process.terminate()


def executed_s(counted: dict[str, Any]) -> float:
    """Return for how long a server has executed a model, in seconds, since it was loaded.

    Of its batches: what Triton counts for requests has a batch's time once for each of them.
    """
    return sum(float(each["compute_infer"]["ns"]) for each in counted.get("batch_stats", ())) / 1e9


def executions(counted: dict[str, Any]) -> int:
    """Return how many batches a server has executed of a model since it was loaded."""
    return int(counted["execution_count"])
