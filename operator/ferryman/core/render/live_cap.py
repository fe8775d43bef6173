"""What a pod needs for live caps: annotations as files, and the library.

A downward-API volume projects the annotations, so that bounds reach Triton with no access to
the API server and no open port. An init container copies the library into the model's folder,
where Triton finds it by its name.
"""

from collections.abc import Iterable, Sequence

from ferryman.api import names
from ferryman.api.inference_runtime import RuntimeLiveCap
from ferryman.core.manifests import Manifest
from ferryman.core.render import pod
from ferryman.core.render.layout import LIVE_CAP_ENV, suffix
from ferryman.core.render.slots import ServedModel, Slot


def add(spec: Manifest, models: Sequence[ServedModel]) -> Manifest:
    """Return a pod's specification with what live caps need; as it is where no model has one.

    The first init container lays the model repository out, the first container serves.
    """
    capped = [(index, each) for index, each in enumerate(models) if each.live_cap is not None]
    source = next((each.live_cap for _, each in capped if each.live_cap is not None), None)
    if source is None:
        return spec
    layout, triton = spec["initContainers"][0], spec["containers"][0]
    mount = {"name": names.VOLUME_LIVE_CAP, "mountPath": names.PATH_LIVE_CAP, "readOnly": True}
    guards = [
        {"name": f"{LIVE_CAP_ENV}{suffix(index, models)}", "value": "1"} for index, _ in capped
    ]
    # Of several models each has a link to the one copy.
    folder = f"/{models[0].name}" if len(models) == 1 else ""
    return {
        **spec,
        "initContainers": [
            {**layout, "env": [*layout["env"], *guards]},
            _copying_container(source, folder, layout),
        ],
        # Not by subPath: the kubelet does not update files that are mounted so.
        "containers": [{**triton, "volumeMounts": [*triton["volumeMounts"], mount]}],
        "volumes": [*spec["volumes"], _bounds_volume([each.slot for _, each in capped])],
    }


def _bounds_volume(slots: Iterable[Slot]) -> Manifest:
    """Project annotations: absent at first, an empty file, and the configured start stands."""
    items = [
        {
            "path": slot.cap_path,
            "fieldRef": {
                "apiVersion": "v1",
                "fieldPath": f"metadata.annotations['{slot.cap_annotation}']",
            },
        }
        for slot in slots
    ]
    return {"name": names.VOLUME_LIVE_CAP, "downwardAPI": {"items": items}}


def _copying_container(live_cap: RuntimeLiveCap, folder: str, layout: Manifest) -> Manifest:
    """Return the container that copies the library, from Triton's own image if none is stated."""
    target = f"{names.PATH_REPOSITORY}{folder}/{names.STRATEGY_LIBRARY}"
    container = {
        "name": names.CONTAINER_LIVE_CAP,
        "image": live_cap.image or layout["image"],
        "volumeMounts": [{"name": "repository", "mountPath": names.PATH_REPOSITORY}],
    }
    return pod.copying(container, live_cap.library, target, layout)
