"""What keeps replicas of a model apart, and gets them off nodes that died.

Left alone, Kubernetes waits five minutes before it replaces the pods of a node that is gone
(``DefaultTolerationSeconds``), although nothing on it has served since.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ferryman.api import names
from ferryman.api.pods.scheduling import Toleration
from ferryman.core.manifests import Manifest

#: Taint -> how long pods stay. Of a node that is unreachable nothing was heard for the whole grace
#: period already; one that says it is not ready may say so for a moment only.
STAYS_S: Final[Mapping[str, int]] = {
    "node.kubernetes.io/unreachable": 0,
    "node.kubernetes.io/not-ready": 5,
}
_EFFECT: Final = "NoExecute"


def tolerations(stated: Sequence[Toleration]) -> tuple[Toleration, ...]:
    """Return what is stated, and how long pods stay on nodes that died where nothing says it."""
    added = (
        Toleration(key=key, operator="Exists", effect=_EFFECT, toleration_seconds=seconds)
        for key, seconds in STAYS_S.items()
        if not any(_speaks_of(each, key) for each in stated)
    )
    return (*stated, *added)


def over(further_node_types: Sequence[str]) -> tuple[str, ...]:
    """Return the labels over whose values replicas are kept apart."""
    return (*([names.LABEL_NODE_TYPE] if further_node_types else []), names.LABEL_HOSTNAME)


def spread(selector: Mapping[str, str], key: str) -> Manifest:
    """Return the constraint that replicas go to nodes that differ in a label, where there are."""
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector)},
        **_OF_ONE_ROLLOUT,
    }


def anti_affinity(selector: Mapping[str, str], keys: Sequence[str]) -> Manifest:
    """Return the same once more, as a preference.

    kube-scheduler weighs the preferred node as much as the constraint, so that one of them alone
    would leave it to chance whether the second replica joins the first there.
    """
    weighted = [{"weight": 100, "podAffinityTerm": _term(selector, key)} for key in keys]
    return {"preferredDuringSchedulingIgnoredDuringExecution": weighted}


def _term(selector: Mapping[str, str], key: str) -> dict[str, Any]:
    return {
        "topologyKey": key,
        "labelSelector": {"matchLabels": dict(selector)},
        **_OF_ONE_ROLLOUT,
    }


#: The pods that a rollout replaces do not count: they would push new ones together elsewhere.
_OF_ONE_ROLLOUT: Final = {"matchLabelKeys": ["pod-template-hash"]}


def _speaks_of(toleration: Toleration, key: str) -> bool:
    return toleration.key in {None, key} and toleration.effect in {None, _EFFECT}
