"""The health checks for Argo CD as one patch of its ConfigMap, from the scripts beside it."""

from pathlib import Path
from typing import Any, Final

import yaml

from ferryman.api import names

FOLDER: Final = Path("manifests/argocd")
PATCH: Final = FOLDER / "argocd-cm.yaml"
HEADER: Final = (
    "# Generated from the health.lua beside it by `python -m hack.generate`: docs/gitops.md.\n"
)
#: Kinds whose conditions say the same as those of the kind whose script they share.
SHARED: Final = {"InferencePipeline": "InferenceModel"}


class _Blocks(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Blocks.add_representer(str, _text)


def patch(root: Path) -> str:
    """Return the patch: each GROUP/KIND/health.lua under the key where Argo CD looks for it."""
    scripts = {_key(path): path for path in (root / FOLDER).glob("*/*/health.lua")}
    for kind, other in SHARED.items():
        scripts[_key_of(names.GROUP, kind)] = scripts[_key_of(names.GROUP, other)]
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm"},
        "data": {key: scripts[key].read_text(encoding="utf-8") for key in sorted(scripts)},
    }
    return HEADER + yaml.dump(document, Dumper=_Blocks, sort_keys=False)


def _key(script: Path) -> str:
    return _key_of(*script.parts[-3:-1])


def _key_of(group: str, kind: str) -> str:
    return f"resource.customizations.health.{group}_{kind}"
