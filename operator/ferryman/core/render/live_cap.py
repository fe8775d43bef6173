"""What a pod needs for the live cap: the annotation as a file, and the library.

A downward-API volume projects the annotation, so that the bound reaches Triton with no access to
the API server and no open port. An init container copies the library into the model's folder,
where Triton finds it by its name.
"""

from pathlib import PurePosixPath

from ferryman.api import names
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.core.manifests import Manifest
from ferryman.core.render import pod


def add(spec: Manifest, live_cap: RuntimeLiveCap | None, model_name: str) -> Manifest:
    """Return a pod's specification with what the live cap needs; as it is without one.

    The first init container lays the model repository out, the first container serves.
    """
    if live_cap is None:
        return spec
    layout, triton = spec["initContainers"][0], spec["containers"][0]
    mount = {"name": names.VOLUME_LIVE_CAP, "mountPath": names.PATH_LIVE_CAP, "readOnly": True}
    guard = {"name": pod.LIVE_CAP_ENV, "value": "1"}
    return {
        **spec,
        "initContainers": [
            {**layout, "env": [*layout["env"], guard]},
            _copying_container(live_cap, model_name, layout),
        ],
        # Not by subPath: the kubelet does not update files that are mounted so.
        "containers": [{**triton, "volumeMounts": [*triton["volumeMounts"], mount]}],
        "volumes": [*spec["volumes"], _bound_volume()],
    }


def _bound_volume() -> Manifest:
    """Project the annotation: absent at first, an empty file, and the configured start stands."""
    annotation = f"metadata.annotations['{names.ANNOTATION_MAX_BATCH_SIZE}']"
    item = {
        "path": PurePosixPath(names.LIVE_CAP_FILE).name,
        "fieldRef": {"apiVersion": "v1", "fieldPath": annotation},
    }
    return {"name": names.VOLUME_LIVE_CAP, "downwardAPI": {"items": [item]}}


def _copying_container(live_cap: RuntimeLiveCap, model_name: str, layout: Manifest) -> Manifest:
    """Return the container that copies the library, from Triton's own image if none is stated."""
    target = f"{names.PATH_REPOSITORY}/{model_name}/{names.STRATEGY_LIBRARY}"
    container = {
        "name": names.CONTAINER_LIVE_CAP,
        "image": live_cap.image or layout["image"],
        "volumeMounts": [{"name": "repository", "mountPath": names.PATH_REPOSITORY}],
    }
    return pod.copying(container, live_cap.library, target, layout)
