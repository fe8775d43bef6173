"""Lint what ruff does not read: the chart, every set of manifests that users apply, and pins.

Run as ``python -m hack.lint`` (or ``make verify``).
"""

import sys

from hack import pins
from hack.cluster import binaries
from hack.cluster.shell import ClusterError, run
from hack.manifests import CHART, ROOT, load_all

KUSTOMIZATIONS = ("crds", "manifests/base", "manifests/overlays/dev")


def main() -> int:
    """Lint everything, say what was looked at, and return 1 at the first fault."""
    unpinned = pins.faults()
    if unpinned:
        print(*unpinned, sep="\n")
        return 1
    print("actions and base images are named by digest")
    tools = binaries.ensure("helm", "kubectl")
    try:
        print("helm lint", CHART.relative_to(ROOT))
        run(tools["helm"], "lint", "--strict", "--quiet", CHART)
        for folder in KUSTOMIZATIONS:
            objects = load_all(run(tools["kubectl"], "kustomize", ROOT / folder))
            print(f"kustomize {folder}: {len(objects)} objects")
    except ClusterError as fault:
        print(fault)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
