"""Container image archives made of files, and their import into a containerd's store."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from hack.cluster.shell import ClusterError, run, wait_until

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
PATH_IN_IMAGE = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(
    archive: Path, tags: Sequence[str], files: Mapping[str, Path], entrypoint: Sequence[str]
) -> None:
    """Write an archive in docker's format with one layer: each file at its path in the image.

    Symbolic links are kept as such.
    """
    layer = _layer(files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": list(entrypoint), "Env": [PATH_IN_IMAGE]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": list(tags), "Layers": [f"{digest}.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, config_name, config)
        _add(tar, f"{digest}.tar", layer)
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, source in files.items():
            tar.add(source, name.lstrip("/"), recursive=False, filter=_owned_by_root)
    return buffer.getvalue()


def _owned_by_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = "root"
    return member


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def identity(archive: Path) -> set[tuple[str, str]]:
    """Return the archive's images as a node lists them: (full tag, image id)."""
    with tarfile.open(archive) as tar:
        member = tar.extractfile("manifest.json")
        manifest = json.load(member) if member else []
    return {
        (_full(tag), f"sha256:{Path(image['Config']).name.removesuffix('.json')}")
        for image in manifest
        for tag in image["RepoTags"] or ()
    }


def _full(tag: str) -> str:
    """Spell a tag out as containerd does: the first part is a registry only with a dot or port."""
    first, slash, _ = tag.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return tag
    return f"docker.io/{tag}" if slash else f"docker.io/library/{tag}"


def import_into(store: Path, archives: Sequence[Path], programs: Mapping[str, Path]) -> None:
    """Import image archives into a containerd store that no containerd uses at present."""
    with _containerd(store, programs["containerd"]) as socket:
        for archive in archives:
            run(
                programs["ctr"], f"--address={socket}", "--namespace=k8s.io",
                "images", "import", "--no-unpack", "--digests", archive,
                timeout_s=120,
            )  # fmt: skip


@contextmanager
def _containerd(store: Path, program: Path) -> Iterator[Path]:
    """Run a containerd on the store for a while, and yield its socket.

    Its state lies in a temporary folder, because the path of a socket has 107 characters at most
    and the cache may lie anywhere.
    """
    with tempfile.TemporaryDirectory(prefix="ferryman-") as folder:
        state = Path(folder)
        socket = state / "c.sock"
        config = state / "config.toml"
        config.write_text('version = 3\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        command = [str(program), f"--config={config}", f"--root={store}", f"--state={state}/run"]
        with (state / "log").open("wb") as log:
            process = subprocess.Popen([*command, f"--address={socket}"], stdout=log, stderr=log)
        try:
            wait_until(
                lambda: socket.exists() or process.poll() is not None,
                timeout_s=30,
                what="The start of containerd",
            )
            if process.poll() is not None:
                raise ClusterError(f"containerd ended: {(state / 'log').read_text()[-600:]}")
            yield socket
        finally:
            process.terminate()
            process.wait(20)
