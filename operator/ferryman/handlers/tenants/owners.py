"""Whose a pod is: its ReplicaSet's, which is its Deployment's, which is an object's of ours.

A label says so of any pod that somebody makes. What pods are asked and shown, they are as members
of that chain alone: pod, ReplicaSet, Deployment and object, each the controller of the next by uid.
ReplicaSets are not watched, since there are many for each Deployment: one is asked for once, when
a pod of it is first seen.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ferryman.api.resources import Key
from ferryman.clients.kubernetes import Kubernetes
from ferryman.core.manifests import Manifest

#: ReplicaSets that are asked for in one look: a Deployment has two while it rolls.
_MOST: Final = 16


def controller(manifest: Manifest) -> Manifest:
    """Return the owner reference of what controls an object; empty where nothing does."""
    owners = manifest["metadata"].get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), {})


def controller_only(manifest: Manifest) -> list[dict[str, Any]]:
    """Return of an object's owner references what the chain is made of."""
    found = controller(manifest)
    kept = {field: found[field] for field in ("kind", "name", "uid") if field in found}
    return [{**kept, "controller": True}] if kept else []


class Chains:
    """Which ReplicaSets belong to which Deployments, as far as it was asked."""

    def __init__(self) -> None:
        self._controllers: dict[Key, dict[str, str]] = {}
        """By ReplicaSet the uid of what controls it; empty if nothing does, or it is not there."""

    def holds(self, key: Key, pod: Manifest, deployment: Manifest | None, uid: str) -> bool:
        """Whether a pod belongs to the object of this key and uid, through its Deployment."""
        if deployment is None or controller(deployment).get("uid") != uid:
            return False
        found = self._controllers.get(key, {}).get(str(controller(pod).get("uid", "")))
        return found == deployment["metadata"].get("uid") and bool(found)

    def unknown(
        self, key: Key, pods: Iterable[Manifest], deployment: Manifest
    ) -> Mapping[str, str]:
        """Return uid and name of ReplicaSets to ask for; forget those that no pod names."""
        named = {
            str(found["uid"]): str(found["name"])
            for found in map(controller, pods)
            if found.get("kind") == "ReplicaSet"
            and str(found.get("name")).startswith(f"{deployment['metadata']['name']}-")
        }
        known = self._controllers.setdefault(key, {})
        for uid in known.keys() - named.keys():
            del known[uid]
        return dict([each for each in named.items() if each[0] not in known][:_MOST])

    def note(self, key: Key, replica_set: str, controller_uid: str) -> None:
        """Take note of what controls a ReplicaSet."""
        self._controllers.setdefault(key, {})[replica_set] = controller_uid

    def forget(self, key: Key) -> None:
        """Forget all of an object that is gone."""
        self._controllers.pop(key, None)


async def prove(
    kubernetes: Kubernetes,
    chains: Chains,
    key: Key,
    pods: Iterable[Manifest],
    deployment: Manifest | None,
) -> None:
    """Ask for the ReplicaSets that are not known yet. Raises KubernetesError."""
    if deployment is None:
        return
    for uid, name in chains.unknown(key, pods, deployment).items():
        found = await kubernetes.replica_set(key.namespace, name)
        is_it = found is not None and found["metadata"].get("uid") == uid
        owner = controller(found).get("uid", "") if found is not None and is_it else ""
        chains.note(key, uid, str(owner))
