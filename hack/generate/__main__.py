"""``python -m hack.generate [--check]``: write what is generated, or say what is out of date."""

import argparse
import difflib
import sys
from pathlib import Path

from hack.cluster.shell import ClusterError
from hack.generate import argocd, monitoring
from hack.generate.chart_readme import chart_readme
from hack.generate.crds import crd_documents, kustomization, to_yaml
from hack.generate.metrics import metrics_reference
from hack.generate.permissions import permissions_reference
from hack.generate.reasons import reasons_reference
from hack.generate.reference import api_reference
from hack.manifests import BASE, CHART, base, light_runtime, versioned

ROOT = Path(__file__).resolve().parents[2]


FOLDERS = (Path("crds"), CHART.relative_to(ROOT) / "files" / "crds")


def from_types() -> dict[Path, str]:
    """Return the text of every file that is made without Helm, by its path."""
    crds = {name: to_yaml(crd) for name, crd in crd_documents().items()}
    return {
        # Twice, because Helm reads no file outside the chart.
        **{folder / name: text for folder in FOLDERS for name, text in crds.items()},
        Path("crds/Kustomization"): kustomization(),
        CHART.relative_to(ROOT) / "README.md": chart_readme(),
        Path("docs/api.md"): api_reference(),
        Path("docs/reference/metrics.md"): metrics_reference(),
        Path("docs/reference/reasons.md"): reasons_reference(),
        argocd.PATCH: argocd.patch(ROOT),
        **monitoring.files(),
        **versioned(),
    }


def from_chart() -> dict[Path, str]:
    """Return the text of every file that Helm renders from the chart, by its path."""
    overlay = Path("manifests/overlays/dev/runtimes.yaml")
    return {
        BASE.relative_to(ROOT): base(),
        overlay: light_runtime(),
        Path("docs/reference/permissions.md"): permissions_reference(),
    }


def differences(root: Path, files: dict[Path, str]) -> str:
    """Return a unified diff from the files on disk to what they should be, empty if equal."""
    parts: list[str] = []
    for path, text in files.items():
        present = (root / path).read_text(encoding="utf-8") if (root / path).exists() else ""
        parts += difflib.unified_diff(
            present.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"{path} (committed)",
            f"{path} (generated)",
        )
    return "".join(parts)


def unexpected(root: Path, files: dict[Path, str]) -> list[Path]:
    """Return the files among those generated that nothing stands for any more."""
    present = {
        path.relative_to(root)
        for folder in (*FOLDERS, monitoring.RUNBOOKS)
        for path in (root / folder).glob("*.*")
    }
    return sorted(present - files.keys())


def write(root: Path, files: dict[Path, str]) -> None:
    """Write all files and remove those that are no longer generated."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for path in unexpected(root, files):
        (root / path).unlink()


def problems(root: Path, files: dict[Path, str]) -> str:
    """Say how the files on disk differ from what they should be, and what to do; or nothing."""
    found = differences(root, files)
    found += "".join(f"{path}: no longer generated\n" for path in unexpected(root, files))
    advice = "out of date: run `python -m hack.generate` and commit the result"
    return f"{found}\n{advice}" if found else ""


def main() -> int:
    """Run the command and return its exit status: 1 when ``--check`` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m hack.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, show the difference")
    check = parser.parse_args().check
    try:
        files = from_types()
        if not check:
            write(ROOT, files)  # the chart is rendered with its own copies
        files |= from_chart()
    except ClusterError as fault:
        print(fault)
        return 1
    if not check:
        write(ROOT, files)
        return 0
    found = problems(ROOT, files)
    print(found, end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
