"""Checks of nodes: what they can do, whether their agents report, and whether clocks agree."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from ferryman.api import names
from ferryman.core import timestamps
from ferryman.core.doctor.facts import ClusterFacts
from ferryman.core.doctor.fault import Ailment, listed, name
from ferryman.core.manifests import Manifest
from ferryman.core.placement.filters import STALE_AFTER

#: The feature gate ImageVolume is there, and is on by default, from these versions on.
IMAGE_VOLUMES: Final = (1, 33)
BY_DEFAULT: Final = (1, 35)
#: Container runtimes that mount images, from these versions on.
MOUNTING: Final = {"containerd": (2, 1), "cri-o": (1, 31)}
#: Kubelets renew their leases every 10 s.
CLOCK_TOLERANCE: Final = timedelta(seconds=60)
GPU: Final = "nvidia.com/gpu"


def kubernetes(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether the API server is of a version that has what Ferryman uses."""
    if not facts.kubernetes:
        yield Ailment("the API server does not tell its version", "see whether it is Kubernetes")
    elif _version(facts.kubernetes) < IMAGE_VOLUMES:
        wanted = ".".join(map(str, IMAGE_VOLUMES))
        yield Ailment(f"the API server is {facts.kubernetes}", f"upgrade to {wanted} or later")


def image_volumes(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether nodes can mount images, where models are images."""
    images = [each for each in facts.of("models") if _is_image(each)]
    if not images:
        return
    if _version(facts.kubernetes) < BY_DEFAULT and facts.kubernetes:
        message = f"{len(images)} models are images, and {facts.kubernetes} has the gate off"
        yield Ailment(message, "set the feature gate ImageVolume on API server and kubelets")
    old = [
        f"{name(node)} ({runtime})"
        for node in facts.of("nodes")
        if (runtime := _runtime(node)) and not _mounts(runtime)
    ]
    if old:
        remedy = "upgrade to containerd 2.1 or CRI-O 1.31, or take the models from a claim"
        yield Ailment(f"container runtimes too old for models' images: {listed(old)}", remedy)


def profiles(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether every Linux node that takes pods has a profile."""
    known = {each["metadata"]["name"] for each in facts.of("profiles")}
    lacking = {
        node["metadata"]["name"]
        for node in facts.of("nodes")
        if _labels(node).get(names.LABEL_OS) == names.OS
        and not node["spec"].get("unschedulable")
        and not _is_control_plane(node)
    }
    if missing := lacking - known:
        remedy = "have the agent tolerate their taints (agent.tolerations), or leave them out"
        yield Ailment(f"no NodeProfile, so no models: {listed(missing)}", remedy)


def heartbeats(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether an agent has been silent for longer than placement believes it."""
    silent = [
        name(profile)
        for profile in facts.of("profiles")
        if (at := _heartbeat(profile)) is None or facts.now - timestamps.parse(at) > STALE_AFTER
    ]
    if silent:
        remedy = "look at the agent there: docs/runbooks/FerrymanAgentSilent.md"
        yield Ailment(f"no report lately: {listed(silent)}", remedy)


def clocks(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether a node's clock, or this machine's, is far from the others."""
    ahead = [
        name(profile)
        for profile in facts.of("profiles")
        if (at := _heartbeat(profile)) and timestamps.parse(at) - facts.now > CLOCK_TOLERANCE
    ]
    if ahead:
        yield Ailment(f"reports from the future: {listed(ahead)}", "set the nodes' clocks by NTP")
    renewed = [
        timestamps.parse(at) for each in facts.of("leases") if (at := each["spec"].get("renewTime"))
    ]
    if renewed and abs(facts.now - max(renewed)) > CLOCK_TOLERANCE:
        message = f"the newest lease of a node is of {timestamps.text(max(renewed))}"
        yield Ailment(message, "set this machine's clock, or mend the kubelets")


def gpu_labels(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether nodes that offer GPUs have GPU feature discovery's labels."""
    bare = [
        name(node)
        for node in facts.of("nodes")
        if _has_gpus(node) and f"{GPU}.product" not in _labels(node)
    ]
    if bare:
        remedy = "install GPU feature discovery: MIG and sharing are unknown without it"
        yield Ailment(f"no labels {GPU}.…: {listed(bare)}", remedy)


def gpus(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether the agent sees GPUs where a device plugin offers them."""
    seeing = {
        profile["metadata"]["name"]
        for profile in facts.of("profiles")
        for processor in (profile.get("status") or {}).get("processors") or ()
        if processor["class"] == "gpu"
    }
    known = {profile["metadata"]["name"] for profile in facts.of("profiles")}
    blind = {node["metadata"]["name"] for node in facts.of("nodes") if _has_gpus(node)} & known
    if blind - seeing:
        remedy = "make NVML visible: agent.runtimeClassName: nvidia"
        yield Ailment(f"agents that see no GPU: {listed(blind - seeing)}", remedy)


def processors(facts: ClusterFacts) -> Iterator[Ailment]:
    """Ask whether a processor is marked as unusable."""
    for profile in facts.of("profiles"):
        for processor in (profile.get("status") or {}).get("processors") or ():
            if why := processor.get("unavailable"):
                message = f"{name(profile)}, {processor['class']}: {why}"
                yield Ailment(message, "docs/processors.md says what each error asks for")


def _version(text: str) -> tuple[int, int]:
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _is_image(model: Manifest) -> bool:
    return str(model["spec"]["model"]["storageUri"]).startswith("oci://")


def _runtime(node: Manifest) -> str:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return str(info.get("containerRuntimeVersion", ""))


def _mounts(runtime: str) -> bool:
    """Whether a container runtime mounts images; of one that is not known nothing is said."""
    kind, _, version = runtime.partition("://")
    return kind not in MOUNTING or _version(version) >= MOUNTING[kind]


def _labels(node: Manifest) -> Manifest:
    return node["metadata"].get("labels") or {}


def _is_control_plane(node: Manifest) -> bool:
    return "node-role.kubernetes.io/control-plane" in _labels(node)


def _heartbeat(profile: Manifest) -> str | None:
    return (profile.get("status") or {}).get("heartbeatTime")


def _has_gpus(node: Manifest) -> bool:
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    return str(allocatable.get(GPU, "0")) != "0"
