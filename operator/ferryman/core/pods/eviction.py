"""Pods that the kubelet evicted because their models' files outgrew their volumes.

What fetches keeps within ``sizeLimit`` by its own count; file systems may take more than that.
"""

import re
from collections.abc import Sequence
from typing import Final

from ferryman.core.fetching.report import Problem, explained
from ferryman.core.manifests import Manifest, condition
from ferryman.core.pods.diagnosis import NOTHING_WRONG, Finding
from ferryman.core.render.slots import is_model_volume

#: What the kubelet says of it (pkg/kubelet/eviction, emptyDirMessageFmt).
_OUTGROWN: Final = re.compile(r'Usage of EmptyDir volume "([^"]+)" exceeds the limit "([^"]+)"')
#: By which a Deployment's controller tells the pods of one template from others.
_TEMPLATE: Final = "pod-template-hash"


def outgrown(ended: Sequence[Manifest], living: Sequence[Manifest]) -> Finding:
    """Return why pods of a template end, of which others begin and none is ready."""
    ready = {_template(pod) for pod in living if condition(pod, "Ready") is not None}
    begun = {_template(pod) for pod in living} - ready - {None}
    for pod in ended:
        found = _OUTGROWN.search(str(pod.get("status", {}).get("message") or ""))
        if found and is_model_volume(found[1]) and _template(pod) in begun:
            words = f"pod {pod['metadata']['name']} was evicted: its files exceed {found[2]}"
            return explained(Problem.TOO_LARGE, words)
    return NOTHING_WRONG


def _template(pod: Manifest) -> str | None:
    labels = pod["metadata"].get("labels") or {}
    template: str | None = labels.get(_TEMPLATE)
    return template
