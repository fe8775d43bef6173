"""Resolve the requirements into hashed lock files that name no package index.

Run as ``python -m hack.lock`` (or ``make lock``).
"""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
OPTIONS = (
    "--quiet",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-annotate",
    "--no-header",
)
#: What is resolved, and how: an image's set is for its own platform, ours for any.
SOURCES = {
    "requirements/operator.in": ("--universal",),
    "requirements/dev.in": ("--universal",),
    "requirements/docs.in": ("--universal",),
    "requirements/fuzz.in": ("--no-deps",),
    "requirements/sbom.in": ("--universal",),
    "requirements/triton-cpu.in": ("--no-deps",),
    "requirements/ocr.in": ("--no-deps",),
    "hack/images/installer.in": (),
}


def main() -> None:
    """Rewrite every lock file."""
    for source, options in SOURCES.items():
        target = Path(source).with_suffix(".lock")
        print(f"==> {target}")
        command = ["uv", "pip", "compile", *OPTIONS, *options, source, "--output-file", str(target)]
        subprocess.run(command, check=True, cwd=ROOT)


if __name__ == "__main__":
    main()
