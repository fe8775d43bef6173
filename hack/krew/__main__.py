"""``python -m hack.krew``: write the archive and the manifest for krew to build/krew.

The same sources make the same archive, byte for byte.
"""

import argparse
import gzip
import io
import os
import tarfile
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from hack.images.recipes import RECIPES, PythonImage, build_own_wheel
from hack.manifests import ROOT
from hack.version import VERSION

FOLDER: Final = ROOT / "build" / "krew"
LAUNCHER: Final = ROOT / "hack" / "krew" / "launcher.py"
LOCK: Final = ROOT / "requirements" / "operator.lock"
NAME: Final = f"kubectl-ferryman-v{VERSION}.tar.gz"
#: What the archive runs, by the names that kubectl looks for.
COMMANDS: Final = ("kubectl-ferryman", "kubectl_complete-ferryman")
#: Where a release is: of the repository that the workflow runs for.
HOME: Final = "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}"
#: Where nobody says which that is.
NOWHERE: Final = {
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "example/ferryman",
}
DESCRIPTION: Final = (
    "Ferryman places Triton models on the best node type of a cluster and tunes their batching "
    "live. Explain its decisions, watch what serves, look for faults of an installation, tune any "
    "Triton, put load on it, and simulate what would come of it."
)
CAVEATS: Final = (
    "It needs Python 3.11 or later with venv as python3. At the first call pip fetches what it "
    "depends on, by the hashes of a lock, into ~/.cache/kubectl-ferryman."
)


def main() -> None:
    """Write both files."""
    parser = argparse.ArgumentParser(prog="python -m hack.krew", description=__doc__)
    home = HOME.format(**{**NOWHERE, **os.environ})
    parser.add_argument("--home", default=home, help="the repository's URL (default: %(default)s)")
    args = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        content = archive(_wheel(Path(scratch)))
    (FOLDER / NAME).write_bytes(content)
    text = yaml.safe_dump(manifest(content, args.home), sort_keys=False, width=100)
    (FOLDER / "ferryman.yaml").write_text(text, encoding="utf-8")
    print(f"wrote {FOLDER / NAME} and ferryman.yaml beside it")


def manifest(content: bytes, home: str) -> dict[str, Any]:
    """Return the manifest of an archive that a release at a URL has."""
    systems = {"key": "os", "operator": "In", "values": ["darwin", "linux"]}
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "ferryman"},
        "spec": {
            "version": f"v{VERSION}",
            "homepage": home,
            "shortDescription": "Explain, watch and tune Triton models that Ferryman serves",
            "description": DESCRIPTION,
            "caveats": CAVEATS,
            "platforms": [
                {
                    "selector": {"matchExpressions": [systems]},
                    "uri": f"{home}/releases/download/v{VERSION}/{NAME}",
                    "sha256": sha256(content).hexdigest(),
                    "files": [{"from": "*", "to": "."}],
                    "bin": COMMANDS[0],
                }
            ],
        },
    }


def archive(wheel: Path) -> bytes:
    """Return the archive: launchers, Ferryman's wheel, the lock and the licence."""
    launcher = LAUNCHER.read_bytes()
    files = {
        **dict.fromkeys(COMMANDS, (launcher, 0o755)),
        wheel.name: (wheel.read_bytes(), 0o644),
        "requirements.lock": (LOCK.read_bytes(), 0o644),
        "LICENSE": ((ROOT / "LICENSE").read_bytes(), 0o644),
    }
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)


def _wheel(folder: Path) -> Path:
    recipe = RECIPES["operator"]
    assert isinstance(recipe, PythonImage)  # noqa: S101  it is one
    os.environ["SOURCE_DATE_EPOCH"] = "315532800"  # the first moment that a wheel can hold
    build_own_wheel(recipe.own_wheel_sources, folder)
    return next(folder.glob("ferryman-*.whl"))


if __name__ == "__main__":
    main()
