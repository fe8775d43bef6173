"""What serves a model, read from its Deployment, its pods and what their Tritons said."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Final

from ferryman.api import names
from ferryman.api.batching import Batching
from ferryman.api.conditions import Reason
from ferryman.api.model_fetch import SourceStatus
from ferryman.api.statistics import ServerModel
from ferryman.core.manifests import Manifest, condition
from ferryman.core.pods.diagnosis import diagnose, fetched, unscheduled
from ferryman.core.pods.eviction import outgrown
from ferryman.core.render import ANNOTATION_CONFIG_HASH
from ferryman.core.render.slots import SOLE, Slot
from ferryman.core.snapshot import LiveCapView, PodView, ServingState
from ferryman.core.triton.live_cap import bound_in_force

_ENDED: Final = ("Succeeded", "Failed")


def serving_state(
    deployment: Manifest | None,
    pods: Sequence[Manifest],
    server_models: Mapping[str, ServerModel],
    slot: Slot = SOLE,
) -> ServingState:
    """Return what currently serves the model, which may be one of several on its servers.

    ``server_models`` maps the names of the pods whose Triton answered to what it said. Pods
    that end or have ended serve nobody and are left out.
    """
    living = sorted((pod for pod in pods if _lives(pod)), key=_name)
    answers = [server_models[_name(pod)] for pod in living if _name(pod) in server_models]
    reason, message = diagnose(living, deployment)
    if not reason:
        ended = [pod for pod in pods if not _lives(pod)]
        reason, message = outgrown(ended, living)
    return ServingState(
        problem_reason=reason,
        problem_message=message,
        unscheduled_since=min(filter(None, map(_unscheduled_since, living)), default=None),
        model_ready=all(answer.ready for answer in answers) if answers else None,
        model_message=next((answer.reason for answer in answers if not answer.ready), ""),
        batchable=all(answer.batchable for answer in answers),
        variable_inputs=any(answer.variable_inputs for answer in answers),
        shape_tensors=any(answer.shape_tensors for answer in answers),
        source=_source(living, slot),
        pods=tuple(_view(pod, server_models.get(_name(pod)), slot) for pod in living),
        **_rollout(deployment),
    )


#: Of those that serve: more digests than this say no more than that there are many.
_MOST: Final = 8


def _source(pods: Sequence[Manifest], slot: Slot) -> SourceStatus | None:
    found = fetched(pods, slot.path)
    if not found:
        return None
    digests = sorted({one.digest for one in found})
    revisions = sorted({one.revision for one in found if one.revision})
    return SourceStatus(digests=tuple(digests[:_MOST]), revisions=tuple(revisions[:_MOST]))


def _lives(pod: Manifest) -> bool:
    ended = pod.get("status", {}).get("phase") in _ENDED
    return not ended and not pod["metadata"].get("deletionTimestamp")


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])


def _unscheduled_since(pod: Manifest) -> str | None:
    return (unscheduled(pod) or {}).get("lastTransitionTime")


def _view(pod: Manifest, answer: ServerModel | None, slot: Slot) -> PodView:
    status = pod.get("status", {})
    takes_live_cap = _takes_live_cap(pod, slot)
    live_cap = _live_cap(answer) if takes_live_cap else None
    return PodView(
        name=_name(pod),
        ip=status.get("podIP", ""),
        node=pod.get("spec", {}).get("nodeName", ""),
        ready=condition(pod, "Ready") is not None,
        batching=_in_force(pod, live_cap, slot)
        if live_cap
        else answer.batching
        if answer
        else None,
        instances_known=answer.instances_known if answer else True,
        config_hash=_annotations(pod).get(ANNOTATION_CONFIG_HASH, ""),
        takes_live_cap=takes_live_cap,
        live_cap=live_cap,
    )


def _live_cap(answer: ServerModel | None) -> LiveCapView | None:
    """Return the live cap of a pod that was made for one.

    Another that started from a new configuration is about to be replaced.
    """
    if answer is None or answer.batching is None or answer.largest_batch_size is None:
        return None
    return LiveCapView(loaded=answer.batching, largest=answer.largest_batch_size)


def _in_force(pod: Manifest, live_cap: LiveCapView, slot: Slot) -> Batching:
    """Return what was loaded, with the bound that the pod's annotation states."""
    loaded = live_cap.loaded
    text = _annotations(pod).get(slot.cap_annotation)
    bound = bound_in_force(text, loaded.max_batch_size, live_cap.largest)
    return loaded.with_(max_batch_size=bound).canonical()


def _annotations(pod: Manifest) -> Mapping[str, str]:
    return pod["metadata"].get("annotations") or {}


def _takes_live_cap(pod: Manifest, slot: Slot) -> bool:
    volumes = pod.get("spec", {}).get("volumes") or ()
    ours = (each for each in volumes if each.get("name") == names.VOLUME_LIVE_CAP)
    items = (each.get("downwardAPI", {}).get("items", ()) for each in ours)
    return any(item["path"] == slot.cap_path for item in chain.from_iterable(items))


def _rollout(deployment: Manifest | None) -> dict[str, Any]:
    """Return how far the Deployment is; of a generation not yet looked at, nothing is updated."""
    if deployment is None:
        return {"exists": False}
    status = deployment.get("status", {})
    current = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return {
        "exists": True,
        "desired_replicas": deployment.get("spec", {}).get("replicas", 1),
        "ready_replicas": status.get("readyReplicas", 0),
        "updated_replicas": status.get("updatedReplicas", 0) if current else 0,
        "observed": current,
        "progress_deadline_exceeded": current and _is_stuck(deployment),
    }


def _is_stuck(deployment: Manifest) -> bool:
    found = condition(deployment, "Progressing", status="False") or {}
    return found.get("reason") == Reason.PROGRESS_DEADLINE_EXCEEDED
