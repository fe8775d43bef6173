"""The kustomize base, rendered from the chart: both install the same objects."""

from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.cluster.shell import run

ROOT = Path(__file__).parent.parent
CHART = ROOT / "charts" / "ferryman"
BASE = ROOT / "manifests" / "base" / "ferryman.yaml"
NAMESPACE = "ferryman-system"
HEADER = "# Generated from charts/ferryman by `make generate`: edit the chart.\n"


def render_chart(*arguments: str) -> list[dict[str, Any]]:
    """Return the chart's objects as ``helm template`` renders them with these arguments.

    Raises ClusterError with Helm's own words when the chart does not render.
    """
    helm = binaries.ensure("helm")["helm"]
    rendered = run(helm, "template", "ferryman", CHART, "--namespace", NAMESPACE, *arguments)
    return [document for document in yaml.safe_load_all(rendered) if document]


def base() -> str:
    """Return the text of the kustomize base: the chart's defaults without the CRDs."""
    objects = render_chart("--set", "crds.enabled=false")
    return HEADER + yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=100)
