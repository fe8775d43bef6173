"""Kubernetes and its tools, found on PATH or built by Go from the module proxy, and cached.

Every program is one cache entry named by its version, so that an interrupted run resumes
after the last finished one, and the integration tests need only the few they use.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hack.cluster import daemon
from hack.cluster.shell import ClusterError, Progress, run, to_stderr
from hack.images.cache import entry

KUBERNETES = "v1.36.3"
GO_MINIMUM = (1, 26)
BUILD_TIMEOUT_S = 1800  # kube-apiserver takes 7 minutes of processor time; others compete
MODULES = Path(__file__).parents[1] / "node-image"

_STAMP = "k8s.io/component-base/version.git"
_VERSION_FLAGS = (
    f"-X {_STAMP}Version={KUBERNETES} -X {_STAMP}Major=1 -X {_STAMP}Minor=36 "
    f"-X {_STAMP}TreeState=clean"
)


@dataclass(frozen=True)
class Source:
    """Where a program comes from: a package at a version, or one of our wrapper modules.

    A wrapper is needed where a module's own replace directives forbid `go install`.
    """

    package: str
    version: str
    wrapper: str = ""
    link_flags: str = ""
    tags: str = ""
    cgo: bool = False
    #: Reads the version of such a program on PATH; without it the PATH is not looked at.
    on_path: tuple[str, ...] = ()

    def command(self, output: Path) -> list[str]:
        """Return the go command that builds this into the folder `output`."""
        flags = ["-trimpath", f"-ldflags=-s -w {self.link_flags}".rstrip(), f"-tags={self.tags}"]
        if self.wrapper:
            place = ["-C", str(MODULES / self.wrapper)]
            return [
                "go",
                "build",
                *place,
                "-buildvcs=false",
                *flags,
                "-o",
                f"{output}/",
                self.package,
            ]
        return ["go", "install", *flags, f"{self.package}@{self.version}"]


def _kubernetes(name: str, *on_path: str) -> Source:
    package = f"k8s.io/kubernetes/cmd/{name}"
    return Source(package, KUBERNETES, "kubernetes", link_flags=_VERSION_FLAGS, on_path=on_path)


_CONTAINERD = "github.com/containerd/containerd/v2/cmd/"

SOURCES: dict[str, Source] = {
    "kube-apiserver": _kubernetes("kube-apiserver"),
    "kube-controller-manager": _kubernetes("kube-controller-manager"),
    "kube-scheduler": _kubernetes("kube-scheduler"),
    "kube-proxy": _kubernetes("kube-proxy"),
    "kubelet": _kubernetes("kubelet"),
    "kubeadm": _kubernetes("kubeadm"),
    "kubectl": _kubernetes("kubectl", "version", "--client"),
    "etcd": Source(".", "v3.7.3", "etcd"),
    "coredns": Source(".", "v1.14.2", "coredns"),
    "containerd": Source(f"{_CONTAINERD}containerd", "v2.4.2"),
    "containerd-shim-runc-v2": Source(f"{_CONTAINERD}containerd-shim-runc-v2", "v2.4.2"),
    "ctr": Source(f"{_CONTAINERD}ctr", "v2.4.2"),
    # Static, so that it runs in the node image whatever this machine's C library is.
    "runc": Source(
        "github.com/opencontainers/runc",
        "v1.5.2",
        link_flags="-extldflags -static",
        tags="seccomp netgo osusergo static_build",
        cgo=True,
    ),
    "kwok": Source("sigs.k8s.io/kwok/cmd/kwok", "v0.8.0"),
    "kind": Source("sigs.k8s.io/kind", "v0.33.0", on_path=("version",)),
    "helm": Source("helm.sh/helm/v4/cmd/helm", "v4.3.1", on_path=("version", "--short")),
    # An S3 server that keeps its objects in a folder: tests fetch models from it.
    "versitygw": Source("github.com/versity/versitygw/cmd/versitygw", "v1.8.0"),
    # kubectl's plugins: a test has it install ours.
    "krew": Source("sigs.k8s.io/krew/cmd/krew", "v0.5.0"),
    # A server that speaks Google Cloud Storage's protocol: likewise.
    "fake-gcs-server": Source("github.com/fsouza/fake-gcs-server", "v1.56.1"),
    # 3.16: its module counts as 0.316. Without the clouds' service discoveries, which are most of
    # its compile time, and without its web page, which is no part of the module.
    "prometheus": Source(
        "github.com/prometheus/prometheus/cmd/prometheus", "v0.316.0", tags="remove_all_sd"
    ),
}


def ensure(*names: str, progress: Progress = to_stderr) -> dict[str, Path]:
    """Return the path of each program, building those neither cached nor recent on PATH."""
    if unknown := [name for name in names if name not in SOURCES]:
        raise ClusterError(f"Unknown program {unknown[0]}: known are {', '.join(SOURCES)}.")
    return {name: _one(name, SOURCES[name], progress) for name in names}


def _one(name: str, source: Source, progress: Progress) -> Path:
    return _on_path(name, source) or entry(
        "binaries", f"{name}-{source.version}", _builder(name, source, progress)
    ).joinpath(name)


def _on_path(name: str, source: Source) -> Path | None:
    """Return the program on PATH if its minor version is ours or later."""
    found = shutil.which(name)
    if not source.on_path or not found:
        return None
    try:
        version = _minor(run(found, *source.on_path, timeout_s=10))
    except ClusterError:
        return None
    return Path(found) if version >= _minor(source.version) else None


def _minor(text: str) -> tuple[int, int]:
    match = re.search(r"v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _builder(name: str, source: Source, progress: Progress) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        require_go()
        if source.cgo:
            _require_c()
        progress(f"building {name} {source.version} (once: it is cached)")
        env = {
            **os.environ,
            "CGO_ENABLED": "1" if source.cgo else "0",
            "GOBIN": str(folder),
            "GOFLAGS": "",
            "GOTOOLCHAIN": "local",  # a toolchain download would be a surprise of 70 MB
        }
        run(*source.command(folder), env=env, timeout_s=BUILD_TIMEOUT_S)

    return fill


def require_go() -> None:
    """Raise a `ClusterError` unless a recent enough Go is on PATH."""
    found = shutil.which("go")
    version = _minor(run(found, "env", "GOVERSION")) if found else (0, 0)
    if version < GO_MINIMUM:
        wanted = ".".join(map(str, GO_MINIMUM))
        raise ClusterError(
            f"Go {wanted} or later is needed to build the tools: install it from go.dev."
        )


def _require_c() -> None:
    """Runc needs a C compiler and libseccomp's static library."""
    missing = {} if shutil.which("gcc") else {"gcc": "gcc", "libc": "libc6-dev"}
    if not any(Path("/usr/lib").glob("*/libseccomp.a")):
        missing["libseccomp.a"] = "libseccomp-dev"
    daemon.install_packages(missing)
