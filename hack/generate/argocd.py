"""The health checks for Argo CD as one patch of its ConfigMap, from the scripts beside it."""

from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path("manifests/argocd")
PATCH: Final = FOLDER / "argocd-cm.yaml"
HEADER: Final = (
    "# Generated from the health.lua beside it by `python -m hack.generate`: docs/gitops.md.\n"
)


class _Blocks(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Blocks.add_representer(str, _text)


def patch(root: Path) -> str:
    """Return the patch: each GROUP/KIND/health.lua under the key where Argo CD looks for it."""
    scripts = sorted((root / FOLDER).glob("*/*/health.lua"))
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "argocd-cm"},
        "data": {_key(script): script.read_text(encoding="utf-8") for script in scripts},
    }
    return HEADER + yaml.dump(document, Dumper=_Blocks, sort_keys=False)


def _key(script: Path) -> str:
    group, kind = script.parts[-3:-1]
    return f"resource.customizations.health.{group}_{kind}"
