"""``python -m hack.generate [--check]``: write what is generated, or say what is out of date."""

import argparse
import difflib
import sys
from pathlib import Path

from hack.generate.crds import crd_documents, kustomization, to_yaml
from hack.generate.reference import api_reference
from hack.manifests import BASE, CHART, base

ROOT = Path(__file__).resolve().parents[2]


def generated_files() -> dict[Path, str]:
    """Return the text of every generated file by its path below the repository's root."""
    crds = {name: to_yaml(crd) for name, crd in crd_documents().items()}
    return {
        **{Path("crds") / name: text for name, text in crds.items()},
        # Helm reads no file outside the chart.
        **{CHART.relative_to(ROOT) / "files" / "crds" / name: text for name, text in crds.items()},
        Path("crds/Kustomization"): kustomization(),
        Path("docs/api.md"): api_reference(),
        BASE.relative_to(ROOT): base(),
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
    """Return the files in ``crds/`` that no type stands for any more."""
    present = {path.relative_to(root) for path in (root / "crds").glob("*.yaml")}
    return sorted(present - files.keys())


def write(root: Path, files: dict[Path, str]) -> None:
    """Write all files and remove those that are no longer generated."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    for path in unexpected(root, files):
        (root / path).unlink()


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command and return its exit status: 1 when ``--check`` found a difference."""
    parser = argparse.ArgumentParser(prog="python -m hack.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, show the difference")
    files = generated_files()
    if not parser.parse_args(arguments).check:
        write(root, files)
        return 0
    problems = differences(root, files)
    problems += "".join(f"{path}: no longer generated\n" for path in unexpected(root, files))
    if problems:
        print(f"{problems}\nout of date: run `python -m hack.generate` and commit the result")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
