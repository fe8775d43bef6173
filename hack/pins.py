"""What is built from others' work names it by digest: base images, actions of workflows.

A tag can be moved by whoever owns it, and by whoever steals their account; a digest cannot.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).resolve().parents[1]
_USES: Final = re.compile(r"^\s*(?:-\s+)?uses:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)
_COMMIT: Final = re.compile(r"[^@]+@[0-9a-f]{40}")
_FROM: Final = re.compile(
    r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE
)
_ARGUMENT: Final = re.compile(r"^ARG\s+(\w+)=(\S+)", re.MULTILINE)
_DIGEST: Final = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def unpinned_actions(workflow: str) -> Iterator[str]:
    """Yield the actions of a workflow that are not named by commit; those beside it are ours."""
    for used in _USES.findall(workflow):
        if not used.startswith("./") and not _COMMIT.fullmatch(used) and not _is_digest(used):
            yield used


def unpinned_bases(dockerfile: str) -> Iterator[str]:
    """Yield the images that a Dockerfile builds from by default and does not name by digest."""
    defaults, stages = dict(_ARGUMENT.findall(dockerfile)), {"scratch"}
    for base, stage in _FROM.findall(dockerfile):
        name = base.strip("${}")
        image = defaults.get(name, "") if base.startswith("$") else base
        # Without a default it is whatever the builder was told.
        if image and image not in stages and not _is_digest(image):
            yield image
        stages.add(stage)


def faults(root: Path = _ROOT) -> list[str]:
    """Return what is named by a tag alone, with its file."""
    workflows = sorted((root / ".github" / "workflows").glob("*.yaml"))
    dockerfiles = sorted(
        path for path in root.glob("*/**/Dockerfile") if "build" not in path.relative_to(root).parts
    )
    dockerfiles += [path for path in (root / "Dockerfile",) if path.exists()]
    found = [(path, name) for path in workflows for name in unpinned_actions(path.read_text())]
    found += [(path, name) for path in dockerfiles for name in unpinned_bases(path.read_text())]
    return [f"{path.relative_to(root)}: {name} is named by no digest" for path, name in found]


def _is_digest(image: str) -> bool:
    return _DIGEST.fullmatch(image) is not None
