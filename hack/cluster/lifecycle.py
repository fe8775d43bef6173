"""Up, down and status: which cluster it is, and what is said about it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hack.cluster import binaries, daemon, engine
from hack.cluster.kind import NAME, SLOW_NODE, Kind
from hack.cluster.shell import ClusterError, Progress, run, to_stderr
from hack.images.cache import cache_root, locked

REPOSITORY = Path(__file__).parents[2]
KUBECONFIG = REPOSITORY / "build" / "kubeconfig"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Cluster:
    """A running cluster; `kind` if it is ours, else `context` is the one that was given."""

    kubeconfig: Path
    context: str | None
    docker_host: str | None
    progress: Progress = field(default=to_stderr, repr=False, compare=False)

    @property
    def kind(self) -> bool:
        """Tell whether this is our kind cluster."""
        return self.context is None

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The names of the workers."""
        selector = f"--selector=!{CONTROL_PLANE}"
        return tuple(
            name.removeprefix("node/")
            for name in self.kubectl("get", "nodes", selector, "-o", "name").split()
        )

    @property
    def slow_node(self) -> str | None:
        """The worker of half a core, in our kind cluster."""
        return SLOW_NODE if self.kind else None

    def kubectl(self, *arguments: str, timeout_s: float = 60) -> str:
        """Run kubectl against this cluster and return its output."""
        program = binaries.ensure("kubectl", progress=self.progress)["kubectl"]
        return run(program, f"--kubeconfig={self.kubeconfig}", *arguments, timeout_s=timeout_s)

    def load_archive(self, path: Path) -> None:
        """Load an image archive into every node; a given context pulls from a registry instead."""
        if not self.kind:
            self.progress(f"not loading {path.name}: {self.context} pulls images from its registry")
            return
        if not path.is_file():
            raise ClusterError(f"{path} is not there: build the image archive first.")
        self.progress(f"loading {path.name} into every node")
        _kind().load(path)

    def how_to_use(self) -> str:
        """Say what this cluster is and how to use it."""
        what = f"kind cluster {NAME}" if self.kind else f"context {self.context}"
        lines = [
            f"{what} is up: workers {', '.join(self.nodes)}",
            f"  export KUBECONFIG={self.kubeconfig}",
        ]
        if self.docker_host:
            lines += [f"  export DOCKER_HOST={self.docker_host}"]
        return "\n".join(lines)


def ensure_up(
    context: str | None = None, progress: Progress = to_stderr, *, replace: bool = False
) -> Cluster:
    """Return a running cluster: the given context's, else kind, started if need be.

    Raises `ClusterError` for a cluster that is there and does not become healthy: whatever it
    holds is somebody's, unless the caller says to `replace` it.
    """
    if context:
        progress(f"using context {context}, because it was given")
        return _given(context, progress)
    progress("using kind, because no context was given (--context or CONTEXT)")
    with locked(cache_root() / ".cluster.lock"):
        cluster = _kind(progress)
        if cluster.recovers():
            cluster.repair()
            cluster.verify_services()
            progress("the cluster runs and is healthy")
        else:
            if not replace and (left := cluster.containers()):
                raise ClusterError(_not_healthy(left))
            cluster.create(progress)
            cluster.verify_services()
            progress("the cluster is up")
    return Cluster(KUBECONFIG, None, cluster.engine.docker_host, progress)


def down(context: str | None = None, progress: Progress = to_stderr) -> None:
    """Remove the cluster, and our engine if it is ours; the cache stays."""
    if context:
        progress(f"context {context} was given: there is nothing of ours to remove")
        return
    with locked(cache_root() / ".cluster.lock"):
        if found := engine.running():
            progress("removing the cluster")
            Kind(found, KUBECONFIG).remove()
        daemon.remove(progress)
        KUBECONFIG.unlink(missing_ok=True)
    progress(f"removed everything but the cache in {cache_root()}")


def exists() -> bool:
    """Tell whether there is a cluster of ours, healthy or not."""
    found = engine.running()
    return bool(found and Kind(found, KUBECONFIG).containers())


def status(context: str | None = None) -> str:
    """Say what runs, changing nothing."""
    if context:
        return _given(context, to_stderr).kubectl("get", "nodes")
    found = engine.running()
    if not found:
        return "no container engine runs, so no cluster does: `python -m hack.cluster up`"
    cluster = Kind(found, KUBECONFIG)
    whose = "our own" if found.ours else "another's"
    lines = [f"engine: {found.docker_host} ({whose})"]
    if not cluster.containers():
        return "\n".join([*lines, "cluster: none: `python -m hack.cluster up`"])
    state = (
        "healthy"
        if cluster.healthy()
        else "not healthy: `python -m hack.cluster up --replace` renews it"
    )
    return "\n".join([*lines, f"cluster: {NAME}, {state}", f"kubeconfig: {KUBECONFIG}"])


def _not_healthy(containers: list[str]) -> str:
    return (
        f"The cluster {NAME} is there ({', '.join(containers)}) but not healthy, and is left as it "
        "is: `python -m hack.cluster status` and `docker logs` on its nodes tell more; `python -m "
        "hack.cluster up --replace` removes it, with all that it holds, and makes it anew."
    )


def _kind(progress: Progress = to_stderr) -> Kind:
    return Kind(engine.ensure(progress), KUBECONFIG)


def _given(context: str, progress: Progress) -> Cluster:
    """Copy the one context into a file of our own, so that nothing else can be reached by it."""
    kubectl = shutil.which("kubectl") or binaries.ensure("kubectl")["kubectl"]
    try:
        text = run(
            kubectl,
            "config",
            "view",
            "--minify",
            "--flatten",
            "--raw",
            f"--context={context}",
            "--output=json",
        )
    except ClusterError as fault:
        raise ClusterError(
            f"Context {context} is not in your kubeconfig: see `kubectl config get-contexts`."
        ) from fault
    path = KUBECONFIG.with_name("kubeconfig-context")
    path.parent.mkdir(exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({**json.loads(text), "current-context": context}))
    cluster = Cluster(path, context, None, progress)
    cluster.kubectl("get", "--raw=/readyz", "--request-timeout=10s")
    return cluster
