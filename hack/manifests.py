"""The kustomize base, rendered from the chart: both install the same objects."""

import re
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import binaries
from hack.cluster.shell import run
from hack.version import VERSION

ROOT = Path(__file__).parent.parent
CHART = ROOT / "charts" / "ferryman"
BASE = ROOT / "manifests" / "base" / "ferryman.yaml"
NAMESPACE = "ferryman-system"
#: What repeats the version of pyproject.toml.
VERSIONED = (Path("charts/ferryman/Chart.yaml"), Path("operator/ferryman/__init__.py"))
HEADER = "# Generated from charts/ferryman by `make generate`: edit the chart.\n"


def render_chart(*arguments: str) -> list[dict[str, Any]]:
    """Return the chart's objects as ``helm template`` renders them with these arguments.

    Raises ClusterError with Helm's own words when the chart does not render.
    """
    helm = binaries.ensure("helm")["helm"]
    rendered = run(helm, "template", "ferryman", CHART, "--namespace", NAMESPACE, *arguments)
    return load_all(rendered)


def load_all(text: str) -> list[dict[str, Any]]:
    """Return the objects of a stream of YAML documents, by libyaml: the CRDs are a megabyte."""
    documents = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return [document for document in documents if document]


def versioned() -> dict[Path, str]:
    """Return the text of the files that repeat the project's version, by their path."""
    return {path: _with_version((ROOT / path).read_text("utf-8")) for path in VERSIONED}


def _with_version(text: str) -> str:
    lines = r"^(version: |appVersion: |__version__ = )(\"?)[0-9][^\"\n]*\2$"
    return re.sub(lines, rf"\g<1>\g<2>{VERSION}\g<2>", text, flags=re.MULTILINE)


def light_runtime() -> str:
    """Return the text of a patch that has the light runtime installed instead of NVIDIA's."""
    runtimes = "runtimes.triton.enabled=false,runtimes.triton-cpu.enabled=true"
    [patch] = render_chart("--show-only", "templates/runtimes.yaml", "--set", runtimes)
    del patch["metadata"]["labels"]
    patch["data"]["triton.yaml"] = None
    return HEADER + yaml.safe_dump(patch, sort_keys=False, explicit_start=True, width=100)


def base() -> str:
    """Return the text of the kustomize base: the chart's defaults without CRDs and `helm test`."""
    objects = render_chart("--set", "crds.enabled=false", "--skip-tests")
    return HEADER + yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True, width=100)
