"""Lint what ruff does not read: the chart, and every set of manifests that users apply.

Run as ``python -m hack.lint`` (or ``make verify``).
"""

import sys

from hack.cluster import binaries
from hack.cluster.shell import ClusterError, run
from hack.installation import parse
from hack.manifests import CHART, ROOT

KUSTOMIZATIONS = ("crds", "manifests/base", "manifests/overlays/dev")


def main() -> int:
    """Lint everything, say what was looked at, and return 1 at the first fault."""
    tools = binaries.ensure("helm", "kubectl")
    try:
        print("helm lint", CHART.relative_to(ROOT))
        run(tools["helm"], "lint", "--strict", "--quiet", CHART)
        for folder in KUSTOMIZATIONS:
            objects = parse(run(tools["kubectl"], "kustomize", ROOT / folder))
            print(f"kustomize {folder}: {len(objects)} objects")
    except ClusterError as fault:
        print(fault)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
