"""The checks: each says what it looked at, and for every fault what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from ferryman.core.doctor import cluster, installation, serving
from ferryman.core.doctor.facts import ClusterFacts
from ferryman.core.doctor.fault import Ailment

Verdict = Literal["ok", "fault", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the facts."""

    name: str
    asks: str
    """What is the case where nothing is wrong."""
    needs: tuple[str, ...]
    """The kinds and pages without which it cannot be answered."""
    look: Callable[[ClusterFacts], Iterator[Ailment]]


@dataclass(frozen=True, slots=True)
class Diagnosed:
    """What came of a check; one with several faults has one of these for each."""

    check: str
    verdict: Verdict
    message: str
    remedy: str = ""


CHECKS: Final = (
    Check("kubernetes", "Kubernetes is recent enough", (), cluster.kubernetes),
    Check("objects", "no object is too large to be read", (), installation.too_large),
    Check("crds", "all CRDs are there and established", ("resources",), installation.crds),
    Check("operator", "one operator runs", ("operators",), installation.operator),
    Check("versions", "all parts have one version", ("operators", "agents"), installation.versions),
    Check("ready", "the operator is at work", ("readyz",), installation.ready),
    Check("metrics", "its metrics can be read", ("metrics",), installation.metrics),
    Check(
        "permissions",
        "it may do what it does",
        ("roles", "namespaced roles"),
        installation.permissions,
    ),
    Check("policies", "admission policies keep its token", ("bindings",), installation.policies),
    Check("agents", "the agents run", ("agents",), installation.agents),
    Check("profiles", "every Linux node has a profile", ("nodes", "profiles"), cluster.profiles),
    Check("heartbeats", "agents report", ("profiles",), cluster.heartbeats),
    Check("clocks", "clocks agree", ("profiles", "leases"), cluster.clocks),
    Check("gpu-labels", "GPU nodes say what they have", ("nodes",), cluster.gpu_labels),
    Check("gpus", "agents see the GPUs", ("nodes", "profiles"), cluster.gpus),
    Check("processors", "no processor is out of use", ("profiles",), cluster.processors),
    Check("runtimes", "runtimes serve what nodes have", ("runtimes", "profiles"), serving.runtimes),
    Check("advisories", "no Triton has published advisories", ("runtimes",), serving.vulnerable),
    Check(
        "image-volumes", "nodes mount models' images", ("nodes", "models"), cluster.image_volumes
    ),
    Check("benchmarks", "benchmarks are fresh", ("profiles", "runtimes"), serving.benchmarks),
    Check("prices", "what is to be cheapest has prices", ("models", "profiles"), serving.prices),
    Check("models", "no model waits for a person", ("models", "pipelines"), serving.stalled),
    Check(
        "services",
        "Services balance over all pods",
        ("models", "services", "endpoints"),
        serving.services,
    ),
)


def diagnose(facts: ClusterFacts) -> tuple[Diagnosed, ...]:
    """Return what every check found, in their order."""
    return tuple(found for check in CHECKS for found in _of(check, facts))


def _of(check: Check, facts: ClusterFacts) -> Iterator[Diagnosed]:
    lacking = [need for need in check.needs if need in facts.unread]
    if lacking:
        why = "; ".join(f"{need}: {facts.unread[need]}" for need in lacking)
        yield Diagnosed(check.name, "unknown", f"could not be read: {why}")
        return
    faults = list(check.look(facts))
    for fault in faults:
        yield Diagnosed(check.name, "fault", fault.message, fault.remedy)
    if not faults:
        yield Diagnosed(check.name, "ok", check.asks)
