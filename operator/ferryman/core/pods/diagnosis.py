"""What keeps pods from serving that a person must know of, in words that say what to do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from ferryman.api import names
from ferryman.api.conditions import Reason
from ferryman.core.batching.changes import clip
from ferryman.core.fetching.report import Fetched, Problem, explained, read_report
from ferryman.core.manifests import Manifest, condition
from ferryman.core.render.fetching import CACHE_VOLUME
from ferryman.core.render.layout import EMPTY_VOLUME
from ferryman.core.render.slots import is_model_volume

#: A reason and a message; both are empty when nothing is wrong.
Finding = tuple[str, str]
NOTHING_WRONG: Final[Finding] = ("", "")

#: What the kubelet says while it cannot get an image.
_IMAGE_REASONS: Final = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
)
#: What it says while a container cannot be created or does not stay up.
_FAILING_REASONS: Final = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "StartError",
)
#: What containerd before 2.1 says of an image volume that it does not know.
_NO_IMAGE_VOLUMES: Final = 'failed to mkdir ""'
#: What the kernel says of a program for other processors.
_FOREIGN_PROGRAM: Final = "exec format error"
#: Of a long log the end says why it ended.
_LOG_CHARACTERS: Final = 600


def diagnose(pods: Sequence[Manifest], deployment: Manifest | None) -> Finding:
    """Return the first problem that pods have, or that keeps them from being created."""
    for pod in pods:
        for rule in _POD_RULES:
            finding = rule(pod)
            if finding is not None:
                return finding[0], clip(finding[1])
    return _not_created(deployment) or NOTHING_WRONG


#: An older container runtime leaves the folder empty without a word.
_CHECK_IMAGE_VOLUMES: Final = (
    "see whether the nodes' container runtime mounts image volumes (containerd 2.1, CRI-O 1.33, or "
    "later): where it does not, put the model on a volume claim (pvc://)"
)


def failure(pod: Manifest) -> str:
    """Return why a pod did not do its work: what the first container that failed says; or "".

    Containers start one after the other: the ones after it wait for it, and know nothing.
    """
    return next((_failed(pod, each) for each in _containers(pod) if _ended_badly(each)), "")


def _failed(pod: Manifest, container: Manifest) -> str:
    words = _last_words(container)
    if _FOREIGN_PROGRAM in words:
        words = _foreign(container, words)
    return f"container {container.get('name', '')} of pod {pod['metadata']['name']} fails: {words}"


def _foreign(container: Manifest, words: str) -> str:
    image = container.get("image") or "of the container"
    return (
        f"the image {image} is not made for the node's processor architecture: name one in the "
        "InferenceRuntime that is, or keep to other nodes by a node selector on "
        f"kubernetes.io/arch: {words}"
    )


def _image_missing(pod: Manifest) -> Finding | None:
    for container in _containers(pod):
        waiting = _waiting(container)
        if waiting.get("reason") not in _IMAGE_REASONS:
            continue
        words = waiting.get("message") or waiting["reason"]
        model_image = next((image for image in _model_images(pod) if image in words), "")
        if model_image:
            return Reason.MODEL_SOURCE_NOT_FOUND, (
                f"the model's image {model_image} cannot be pulled: correct storageUri, or make "
                f"the image available to the nodes: {words}"
            )
        return Reason.IMAGE_NOT_AVAILABLE, (
            f"the runtime's image {container.get('image', '')} cannot be pulled: correct it in "
            f"the InferenceRuntime, or make it available to the nodes: {words}"
        )
    return None


def _source_missing(pod: Manifest) -> Finding | None:
    """Find a volume that is there but holds no model, or lacks the folder asked for."""
    for container in _containers(pod):
        words = _last_words(container)
        images = _model_images(pod)
        if container.get("name") == names.CONTAINER_LAYOUT and EMPTY_VOLUME in words:
            also = f", or {_CHECK_IMAGE_VOLUMES}" if images else ""
            return Reason.MODEL_SOURCE_NOT_FOUND, f"{words}{also}"
        waiting = _waiting(container)
        if images and _NO_IMAGE_VOLUMES in waiting.get("message", ""):
            return Reason.MODEL_SOURCE_NOT_FOUND, (
                f"the model's image {' or '.join(images)} was not mounted: {_CHECK_IMAGE_VOLUMES}: "
                f"{waiting['message']}"
            )
        if "subPath" in waiting.get("message", ""):
            return Reason.MODEL_SOURCE_NOT_FOUND, (
                "the folder that storageUri names is not in the volume claim: correct the path or "
                f"create it: {waiting['message']}"
            )
    return None


def _failing(pod: Manifest) -> Finding | None:
    for container in _containers(pod):
        waiting = _waiting(container)
        fails = waiting.get("reason") in _FAILING_REASONS or _ended_badly(container)
        if not fails or container.get("ready"):
            continue
        name = f"container {container.get('name', '')} of pod {pod['metadata']['name']}"
        if _last_end(container).get("reason") == "OOMKilled":
            return Reason.POD_FAILING, (
                f"{name} was killed because its memory limit was reached: raise "
                "spec.resources.limits.memory, or lower the batching limits"
            )
        if _ended_badly(container):
            return Reason.POD_FAILING, _failed(pod, container)
        words = waiting.get("message") or waiting.get("reason", "")
        if _FOREIGN_PROGRAM in words:
            words = _foreign(container, words)
        return Reason.POD_FAILING, f"{name} fails: {words}"
    return None


def unscheduled(pod: Manifest) -> Mapping[str, str] | None:
    """Return the condition by which kube-scheduler tells that it has no node for a pod, if so."""
    return condition(pod, "PodScheduled", status="False")


def _without_node(pod: Manifest) -> Finding | None:
    found = unscheduled(pod)
    if found is None:
        return None
    words = found.get("message") or found.get("reason", "no node was found")
    if "persistentvolumeclaim" in words and "not found" in words:
        caches = any(f'"{claim}"' in words for claim in _caches(pod))
        named = "fetch.cache names does not exist: create it, or remove fetch.cache"
        stated = named if caches else "storageUri names does not exist: create it"
        return Reason.MODEL_SOURCE_NOT_FOUND, f"the volume claim that {stated}: {words}"
    return Reason.POD_UNSCHEDULABLE, (
        f"pod {pod['metadata']['name']} has no node: free resources on the chosen node type, "
        f"or add a node of it: {words}"
    )


def _not_fetched(pod: Manifest) -> Finding | None:
    """Find what the fetching container says: it knows best, where its words are known ones."""
    container = next(
        (each for each in _containers(pod) if each.get("name") == names.CONTAINER_FETCH), {}
    )
    if container.get("ready") or not _ended_badly(container):
        return None
    end = _last_end(container)
    if end.get("reason") == "OOMKilled":
        words = (
            "fetching the model's files took more memory than its container has, as an archive by "
            "xz with a large dictionary does: pack it by gzip"
        )
        return explained(Problem.TOO_LARGE, words)
    report = read_report(str(end.get("message") or ""))
    if report is None or report.problem is None:
        return None
    return explained(report.problem, report.detail)


_POD_RULES: Final[tuple[Callable[[Manifest], Finding | None], ...]] = (
    _without_node,
    _image_missing,
    _not_fetched,
    _source_missing,
    _failing,
)


def _not_created(deployment: Manifest | None) -> Finding | None:
    """Quotas and admission may forbid pods altogether."""
    found = condition(deployment, "ReplicaFailure")
    if found is None:
        return None
    return Reason.POD_FAILING, clip(f"pods cannot be created: {found.get('message', '')}")


def _containers(pod: Manifest) -> Iterator[Manifest]:
    """Yield the container statuses, init containers first, as they start."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def _waiting(container: Manifest) -> Manifest:
    waiting: Manifest = container.get("state", {}).get("waiting") or {}
    return waiting


def _last_end(container: Manifest) -> Manifest:
    """Return how the container ended last: just now, or before it was started again."""
    now: Manifest = container.get("state", {}).get("terminated") or {}
    before: Manifest = container.get("lastState", {}).get("terminated") or {}
    return now or before


def _ended_badly(container: Manifest) -> bool:
    return bool(_last_end(container).get("exitCode", 0))


def _last_words(container: Manifest) -> str:
    end = _last_end(container)
    code = f"exit code {end.get('exitCode')}" if end else ""
    words = str(end.get("message") or "").strip()[-_LOG_CHARACTERS:]
    return words or code


def _caches(pod: Manifest) -> list[str]:
    """Return the claims that keep what the pod fetches."""
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod.get("spec", {}).get("volumes", ())
        if volume.get("name", "").startswith(CACHE_VOLUME) and "persistentVolumeClaim" in volume
    ]


def _model_images(pod: Manifest) -> list[str]:
    """Return the images with models, the longest first: one's name may begin like another's."""
    volumes = pod.get("spec", {}).get("volumes", ())
    found = [
        str(volume.get("image", {}).get("reference", ""))
        for volume in volumes
        if is_model_volume(volume.get("name", ""))
    ]
    return sorted({image for image in found if image}, key=len, reverse=True)


def fetched(pods: Sequence[Manifest], folder: str) -> tuple[Fetched, ...]:
    """Return what pods fetched for one of their models, each once: more where it changed between.

    Of pods that were changed to fetch something else the old ones are among them.
    """
    found: dict[Fetched, None] = {}
    for pod in pods:
        for container in _containers(pod):
            if container.get("name") != names.CONTAINER_FETCH or _ended_badly(container):
                continue
            report = read_report(str(_last_end(container).get("message") or ""))
            each = report.fetched if report else ()
            found |= dict.fromkeys(one for one in each if one.into == folder)
    return tuple(sorted(found, key=lambda one: (one.digest, one.revision)))
