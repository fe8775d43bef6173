"""A kind cluster of three unlike nodes: a control plane, a worker, and a worker of half a core."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import archives, binaries, network, node_image, oci_runtime, proxies
from hack.cluster.engine import Engine
from hack.cluster.shell import ClusterError, Progress, run, succeeds, wait_until, with_path

NAME = "ferryman"
#: What kind itself would use, by digest: a release newer than that of our own image.
STOCK_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
STOCK_PULL_TIMEOUT_S = 300
CREATE_TIMEOUT_S = 300
READY_TIMEOUT_S = 120
RECOVERY_TIMEOUT_S = 60
NODES = 3
SLOW_NODE = f"{NAME}-worker2"
SLOW_MILLICORES = 500
LABEL = f"label=io.x-k8s.kind.cluster={NAME}"


@dataclass(frozen=True)
class Kind:
    """Our kind cluster on an engine, whether it runs or not; its kubeconfig is our own file."""

    engine: Engine
    kubeconfig: Path

    def kind(self, *arguments: str | Path, timeout_s: float = 60, stdin: str = "") -> str:
        """Run a kind command on this engine and file."""
        programs = binaries.ensure("kind", "kubectl")
        env = {**self.engine.environment(), "KUBECONFIG": str(self.kubeconfig)}
        env = with_path(env, programs["kubectl"].parent)
        return run(programs["kind"], *arguments, env=env, timeout_s=timeout_s, stdin=stdin)

    def kubectl(self, *arguments: str, timeout_s: float = 60, stdin: str = "") -> str:
        """Run kubectl against this cluster."""
        program = binaries.ensure("kubectl")["kubectl"]
        where = f"--kubeconfig={self.kubeconfig}"
        return run(program, where, *arguments, timeout_s=timeout_s, stdin=stdin)

    def containers(self) -> list[str]:
        """Return the names of the node containers, running or not."""
        names = self.engine.docker("ps", "--all", "--filter", LABEL, "--format", "{{.Names}}")
        return sorted(names.split())

    def healthy(self) -> bool:
        """Tell whether the API server answers and all nodes are Ready."""
        if len(self.containers()) != NODES or not self._export_kubeconfig():
            return False
        try:
            return self._all_ready()
        except ClusterError:
            return False

    def recovers(self) -> bool:
        """Give running nodes a while: a busy machine is not a reason to start over."""
        filters = ("--filter", LABEL, "--filter", "status=running")
        if len(self.engine.docker("ps", "--quiet", *filters).split()) != NODES:
            return False
        try:
            wait_until(self.healthy, timeout_s=RECOVERY_TIMEOUT_S, what="Recovery", poll_s=1)
        except ClusterError:
            return False
        return True

    def create(self, progress: Progress) -> None:
        """Create the cluster anew and wait until its nodes are Ready and resolve names."""
        self.delete()
        image = self._image(progress)
        stock = image == STOCK_IMAGE
        progress(f"creating three nodes from {image}")
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        self.kind(
            "create", "cluster", f"--name={NAME}", f"--image={image}", "--config=-", "--quiet",
            f"--kubeconfig={self.kubeconfig}",
            timeout_s=CREATE_TIMEOUT_S, stdin=json.dumps(config(stock=stock)),
        )  # fmt: skip
        self.repair()
        progress("waiting for the nodes and DNS")
        wait_until(self._all_ready, timeout_s=READY_TIMEOUT_S, what="Ready nodes")
        self.kubectl(
            "rollout", "status", "deployment/coredns", "--namespace=kube-system",
            f"--timeout={READY_TIMEOUT_S}s", timeout_s=READY_TIMEOUT_S + 10,
        )  # fmt: skip

    def repair(self) -> None:
        """Set what a restart of a node loses: its pod network, and the slow one's limit."""
        self.engine.docker("update", f"--cpus={SLOW_MILLICORES / 1000}", SLOW_NODE)
        if not succeeds(
            "docker", "exec", SLOW_NODE, "test", "-e", "/kind/manifests/default-cni.yaml",
            env=self.engine.environment(),
        ):  # fmt: skip
            network.connect(self.engine, json.loads(self.kubectl("get", "nodes", "-o", "json")))
        self.kubectl(
            "patch", "deployment", "coredns", "--namespace=kube-system",
            f"--patch={json.dumps(DNS_ON_CONTROL_PLANE)}",
        )  # fmt: skip

    def verify_services(self) -> None:
        """Raise a `ClusterError` unless Services work on every node, those of many pods too."""
        proxies.verify(self.engine, self.kubectl, self.containers())

    def remove(self) -> None:
        """Remove the cluster, and kind's network if no other cluster uses it."""
        self.delete()
        if not self.engine.docker("ps", "--all", "--quiet", "--filter", "network=kind"):
            with suppress(ClusterError):  # there was none
                self.engine.docker("network", "rm", "kind")

    def delete(self) -> None:
        """Remove the node containers, with their volumes, and the kubeconfig."""
        if containers := self.containers():
            self.engine.docker("rm", "--force", "--volumes", *containers, timeout_s=120)
        self.kubeconfig.unlink(missing_ok=True)

    def load(self, archive: Path) -> None:
        """Load an image archive into the nodes that lack it."""
        wanted = archives.identity(archive)
        lacking = [node for node in self.containers() if not wanted <= self._images(node)]
        if lacking:
            nodes = f"--nodes={','.join(lacking)}"
            self.kind("load", "image-archive", archive, f"--name={NAME}", nodes, timeout_s=600)

    def _images(self, node: str) -> set[tuple[str, str]]:
        """Return a node's images as (tag, image id): the id is a name of the same target."""
        lines = self.engine.docker("exec", node, "ctr", "--namespace=k8s.io", "images", "ls")
        targets = {words[0]: words[2] for words in map(str.split, lines.splitlines()[1:])}
        ids = {target: name for name, target in targets.items() if name.startswith("sha256:")}
        return {(name, ids.get(target, "")) for name, target in targets.items()}

    def _image(self, progress: Progress) -> str:
        """Prefer kind's own image, where it can be pulled; else make ours."""
        if not self.engine.registry_reachable():
            progress("no image registry can be reached: using a node image of our own")
            return node_image.ensure(self.engine, progress)
        progress(f"pulling {STOCK_IMAGE}")
        try:
            self.engine.docker("pull", "--quiet", STOCK_IMAGE, timeout_s=STOCK_PULL_TIMEOUT_S)
        except ClusterError as fault:
            progress(f"{fault} Using a node image of our own.")
            return node_image.ensure(self.engine, progress)
        return STOCK_IMAGE

    def _export_kubeconfig(self) -> bool:
        if self.kubeconfig.exists() and self._answers():
            return True
        try:
            self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            self.kind("export", "kubeconfig", f"--name={NAME}", f"--kubeconfig={self.kubeconfig}")
        except ClusterError:
            return False
        return self._answers()

    def _answers(self) -> bool:
        try:
            return (
                self.kubectl("get", "--raw=/readyz", "--request-timeout=5s", timeout_s=15) == "ok"
            )
        except ClusterError:
            return False

    def _all_ready(self) -> bool:
        wanted = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}'
        states = self.kubectl("get", "nodes", f"--output=jsonpath={wanted}").split()
        return bool(states) and set(states) == {"True"}


#: One replica on the control plane: two of 100m would crowd the slow worker.
DNS_ON_CONTROL_PLANE = {
    "spec": {
        "replicas": 1,
        "template": {
            "spec": {
                "nodeSelector": {
                    "kubernetes.io/os": "linux",
                    "node-role.kubernetes.io/control-plane": "",
                }
            }
        },
    }
}


def config(*, stock: bool) -> dict[str, object]:
    """Return kind's configuration; `stock` is its own image, with its own pod network."""
    return {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "featureGates": {"ImageVolume": True},
        "networking": {"disableDefaultCNI": not stock},
        "containerdConfigPatches": _containerd_patches(),
        "kubeadmConfigPatches": _kubelet_patches(),
        "nodes": [{"role": "control-plane"}, {"role": "worker"}, _slow_worker()],
    }


def _slow_worker() -> dict[str, object]:
    """Half a core by quota, and as honest about it: kubelet counts the machine's processors."""
    reserved = 1000 * (os.cpu_count() or 1) - SLOW_MILLICORES
    argument = {"name": "kube-reserved", "value": f"cpu={reserved}m"}
    added = {"op": "add", "path": "/nodeRegistration/kubeletExtraArgs/-", "value": argument}
    patch = {
        "group": "kubeadm.k8s.io",
        "version": "v1beta4",
        "kind": "JoinConfiguration",
        "patch": json.dumps([added]),
    }
    return {"role": "worker", "kubeadmConfigPatchesJSON6902": [patch]}


def _containerd_patches() -> list[str]:
    """Without CAP_SYS_RESOURCE no process may become less likely to be killed for memory."""
    status = Path("/proc/self/status").read_text()
    if "CAP_SYS_RESOURCE" not in oci_runtime.missing_capabilities(status):
        return []
    return ['[plugins."io.containerd.grpc.v1.cri"]\n  restrict_oom_score_adj = true\n']


def _kubelet_patches() -> list[str]:
    """Kubelet refuses cgroup version 1 by default."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return []
    return [json.dumps({"kind": "KubeletConfiguration", "failCgroupV1": False})]
