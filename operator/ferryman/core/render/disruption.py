"""What holds back whoever evicts pods: the drain of a node, an autoscaler, an upgrade."""

from ferryman.core.manifests import Manifest


def budget_spec(selector: dict[str, str]) -> Manifest:
    """Return the PodDisruptionBudget's spec: one pod at a time, the next when another serves.

    A single replica may be evicted: a budget that forbids it would hold up a drain for ever. Pods
    that are not ready serve nobody, and are no reason to wait.
    """
    return {
        "maxUnavailable": 1,
        "selector": {"matchLabels": selector},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
